"""Real attention for the lesson: what stands in for a trained index, and how heavy blocks are."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from msa_ref import data, dense, scoring, selection

BLOCK_SIZE, NUM_TOKENS, NUM_GROUPS, GROUP_SIZE = 32, 1024, 3, 3


class Layer(NamedTuple):
    """One captured layer over 1,024 tokens."""

    token_scores: np.ndarray  # [Hkv, T, S] the group's loudest head, -inf in the future
    block_scores: np.ndarray  # [1, Hkv, T, nb] the loudest token of the block
    head_mass: np.ndarray  # [Hkv, G, T, nb] every head's attention, summed in blocks
    mass: np.ndarray  # [1, Hkv, T, nb] the mean over the group's heads


def loudest(q: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Score of every token for every group, [Hkv, T, S]: the highest of the group's heads."""
    scores = dense.group_matmul(q, k.swapaxes(-1, -2)) * q.shape[-1] ** -0.5
    scores = scores.reshape(k.shape[1], -1, *scores.shape[2:]).max(axis=1)
    return np.where(dense.causal_mask(*scores.shape[1:]), scores, -np.inf)


@cache
def layer(number: int) -> Layer:
    """Scores and masses of one captured layer: 0, 11 or 18."""
    q, k, _ = data.load_capture(number)
    token_scores = loudest(q, k)
    block_scores = scoring.max_pool(token_scores, BLOCK_SIZE)[None]
    weights, _ = dense.attention_weights(q, k)
    mass = selection.block_mass(weights, num_kv_heads=NUM_GROUPS, block_size=BLOCK_SIZE)
    of_heads = np.add.reduceat(weights[0], np.arange(0, NUM_TOKENS, BLOCK_SIZE), axis=-1)
    return Layer(
        token_scores, block_scores, of_heads.reshape(NUM_GROUPS, GROUP_SIZE, NUM_TOKENS, -1), mass
    )


def noisy_scores(number: int, noise: float, seed: int) -> np.ndarray:
    """Block scores of a layer, [1, Hkv, T, nb], that sees its keys through Gaussian noise."""
    q, k, _ = data.load_capture(number)
    blur = np.random.default_rng(seed).normal(scale=noise, size=k.shape)
    return scoring.max_pool(loudest(q, k + blur.astype(k.dtype)), BLOCK_SIZE)[None]


def text_of(words: list[str], block: int) -> str:
    """The text of a block on one line, of as much of it as there is."""
    return " ".join("".join(words[block * BLOCK_SIZE : (block + 1) * BLOCK_SIZE]).split())
