"""Small made-up readings and training progress, in the layout of the shipped files."""

import numpy as np

from msa_ref import data

TOKENS, BLOCK_SIZE, TOP_K = 45, 8, 3
NUM_BLOCKS = 6  # the last of 5 tokens
LAYERS = [2, 7]
STEPS = [0, 3, 20, 90]


def ranks(scores):
    """Place of every block by score, the own block first; 255 in the future."""
    own = np.arange(TOKENS) // BLOCK_SIZE
    block = np.arange(NUM_BLOCKS)
    scores = np.where(block == own[:, None], np.inf, scores)
    scores = np.where(block > own[:, None], -np.inf, scores)
    order = np.argsort(np.argsort(-scores, axis=-1, kind="stable"), axis=-1)
    return np.where(block > own[:, None], 255, order).astype(np.uint8)


def made_mass(seed=0):
    """Attention mass of 2 layers and 3 groups, rows that sum to 1."""
    mass = np.random.default_rng(seed).random((2, 3, TOKENS, NUM_BLOCKS)) ** 4
    mass *= np.arange(NUM_BLOCKS) <= np.arange(TOKENS)[:, None] // BLOCK_SIZE
    return mass / mass.sum(axis=-1, keepdims=True)


def reading_arrays():
    mass = made_mass()
    words = [f" w{n}" for n in range(TOKENS)]
    words[7], words[20], words[21] = "\n", "<b>", " $x$"
    return {
        "words": np.array(words),
        "parts": np.array(["prose", "code"]),
        "part_starts": np.array([0, 30], np.int32),
        "layers": np.array(LAYERS, np.int32),
        "block_size": np.array(BLOCK_SIZE),
        "rank": ranks(made_mass(seed=1)),
        "mass_rank": ranks(mass),
        "mass": mass.astype(np.float16),
    }


def progress_arrays():
    """Four snapshots: the first two by chance, the last two ever closer to the best."""
    best = ranks(made_mass()) < TOP_K
    chosen = np.stack([ranks(made_mass(seed=n)) < TOP_K for n in (1, 2)] + [best, best])
    chosen[2, :, :, 44] = chosen[1, :, :, 44]
    recall = np.linspace(0.3, 0.95, 8, dtype=np.float32).reshape(4, 2)
    return {
        "steps": np.array(STEPS, np.int32),
        "stage": np.array(["warm-up", "warm-up", "sparse", "sparse"]),
        "layers": np.array(LAYERS, np.int32),
        "chosen": np.packbits(chosen, axis=-1),
        "ideal": np.packbits(best, axis=-1),
        "score_recall": recall,
        "block_recall": recall - 0.2,
        "block_size": np.array(BLOCK_SIZE),
        "top_k": np.array(TOP_K),
    }


READING = data.unpack_reading(reading_arrays())
PROGRESS = data.unpack_progress(progress_arrays())
