"""A small made-up text trace and training snapshots, in the layout of the shipped files."""

import numpy as np

from msa_ref import data

TOKENS, BLOCK_SIZE, TOP_K = 45, 8, 3
NUM_BLOCKS = 6  # the last of 5 tokens
LAYERS = [2, 7]
STEPS = [0, 3, 20, 90]


def ranks(scores):
    """Place of every block by score, the local block first; 255 in the future."""
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


READING = data.unpack_text_trace(reading_arrays())
PROGRESS = data.unpack_snapshots(progress_arrays())

SETTINGS = [(32, 8), (32, 32), (128, 8)]


def made_record():
    """A record of two methods, four layers and three texts; numbers that tell which is which."""
    rows = [
        {"method": name, "block_size": size, "top_k": k, "budget": size * k}
        for name in ("window", "learned")
        for size, k in SETTINGS
    ]
    recall = [row | {"score_recall": [0.1 * layer for layer in range(4)]} for row in rows]
    ratios = [row | {"ratio": 1 + 10 / row["budget"]} for row in rows]
    perplexity = [
        row | {"ratio_interval": [row["ratio"] - 0.01, row["ratio"] + 0.02]} for row in ratios
    ]
    needles = [
        row | {"length": length, "right": row["budget"] // 32, "of": 40, "interval": [0.1, 0.9]}
        for row in rows
        for length in (1024, 4096)
    ]
    dense = {"method": "dense", "block_size": None, "top_k": None, "budget": None}
    needles += [
        dense | {"length": n, "right": 38, "of": 40, "interval": [0.8, 1]} for n in (1024, 4096)
    ]
    return {
        "recall_curve": [
            {"step": step, "score_recall": [0.2, 0.4], "block_recall": [0.1, 0.3]}
            for step in (0, 50)
        ],
        "recall": recall,
        "perplexity": [dense | {"ratio": 1.0, "ratio_interval": [1, 1]}, *perplexity],
        "needles": needles,
        "agreement": [
            {"block_size": 128, "top_k": 8, "groups": [0.5, 0.6], "neighbours": [0.3]}
            | {"first_block": [0.9, 0.8], "chance": 0.25}
        ],
    }
