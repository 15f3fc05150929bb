"""The pooling explorer: a needle in a block of noise, seen by the block's max and by its mean."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from msa_ref import scoring

NUM_BLOCKS = 16
NEEDLE_BLOCK = 9
BLOCK_SIZES = (2, 4, 8, 16, 32, 64)
DRAWS = 400


class Pooled(NamedTuple):
    """Token scores with a needle among them, and what each way of pooling makes of them."""

    height: float
    block_size: int
    scores: np.ndarray  # [S]
    block_max: np.ndarray  # [nb]
    block_mean: np.ndarray  # [nb]
    max_rank: int  # place of the needle's block by its max, 1 for the best
    mean_rank: int
    max_found: np.ndarray  # share of DRAWS in which the needle's block is the best, by block size
    mean_found: np.ndarray


def mean_pool(scores: np.ndarray, block_size: int) -> np.ndarray:
    """Mean token score of every block of visible tokens; the last block may be partial."""
    first_tokens = np.arange(0, scores.shape[-1], block_size)
    counts = np.diff(np.append(first_tokens, scores.shape[-1]))
    return np.add.reduceat(scores, first_tokens, axis=-1) / counts


@cache
def noise() -> np.ndarray:
    """Token scores of DRAWS texts without a needle, long enough for the largest blocks."""
    return np.random.default_rng(5).normal(size=(DRAWS, NUM_BLOCKS * max(BLOCK_SIZES)))


def with_needle(height: float, block_size: int) -> np.ndarray:
    """Token scores of DRAWS texts of 16 blocks, one token of block 9 raised by `height`."""
    scores = noise()[:, : NUM_BLOCKS * block_size].copy()
    scores[:, needle(block_size)] += height
    return scores


def needle(block_size: int) -> int:
    """The needle's token: the middle of its block."""
    return NEEDLE_BLOCK * block_size + block_size // 2


@cache
def found(height: float) -> tuple[np.ndarray, np.ndarray]:
    """For every block size: how often the needle's block is best, by max and by mean."""
    shares = np.zeros((2, len(BLOCK_SIZES)))
    for column, size in enumerate(BLOCK_SIZES):
        scores = with_needle(height, size)
        for row, pool in enumerate((scoring.max_pool, mean_pool)):
            shares[row, column] = (pool(scores, size).argmax(axis=-1) == NEEDLE_BLOCK).mean()
    return tuple(shares)


@cache
def compute(height: float, block_size: int) -> Pooled:
    """The first text with a needle `height` above the noise, pooled in blocks of this size."""
    scores = with_needle(height, block_size)[0]
    pooled = scoring.max_pool(scores, block_size), mean_pool(scores, block_size)
    ranks = [int((scores > scores[NEEDLE_BLOCK]).sum()) + 1 for scores in pooled]
    return Pooled(height, block_size, scores, *pooled, *ranks, *found(height))


def describe(pooled: Pooled) -> str:
    """Where max and mean put the needle's block, in this text and over many."""
    size = BLOCK_SIZES.index(pooled.block_size)
    by_max, by_mean = pooled.block_max[NEEDLE_BLOCK], pooled.block_mean[NEEDLE_BLOCK]
    return (
        f"A needle raised by {pooled.height:g}, in blocks of {pooled.block_size} tokens. Its block "
        f"is number {pooled.max_rank} of {NUM_BLOCKS} by the max ({by_max:.1f}) and "
        f"number {pooled.mean_rank} by the mean ({by_mean:.2f}). Over {DRAWS} texts the max "
        f"puts it first in {pooled.max_found[size]:.0%}, "
        f"the mean in {pooled.mean_found[size]:.0%}."
    )
