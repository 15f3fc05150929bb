"""Checks of lesson 05: the token that speaks, a mean under the mask, a bound from extremes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from msa_course.checking import exercise, expect


def _scores(rng, num_queries: int, num_keys: int) -> np.ndarray:
    """Token scores of the last queries of a sequence, -inf in the future."""
    scores = rng.normal(size=(num_queries, num_keys)).round(2)
    positions = np.arange(num_keys - num_queries, num_keys)
    return np.where(np.arange(num_keys) <= positions[:, None], scores, -np.inf)


@exercise("5.1")
def check_5_1(winning_token: Callable) -> None:
    """`winning_token(scores, block, block_size)` is the position of the block's best token.

    Positions are the sequence's, hidden blocks have none (-1), ties go to the first.
    """
    scores = np.array([0.0, 3.0, 1.0, 2.0, 5.0, -np.inf, -np.inf, -np.inf])
    got = winning_token(scores, 1, 2)
    expect(got == 3, f"block 1 of {scores} in blocks of 2: got {got}, it is token 3 that speaks; "
           "count from the start of the sequence, not of the block")  # fmt: skip
    got = winning_token(scores, 3, 2)
    expect(got == -1, f"block 3 of {scores} in blocks of 2 is hidden: got {got}, takes -1")
    got = winning_token(scores, 2, 2)
    expect(got == 4, f"block 2 of {scores} in blocks of 2: got {got}, token 4 is visible")
    got = winning_token(np.array([-1.0, 2.0, 2.0, 0.0]), 0, 4)
    expect(got == 1, f"tokens 1 and 2 tie: got {got}, takes the first, 1")
    rng = np.random.default_rng(0)
    for num_keys, block_size in ((1, 1), (7, 3), (11, 4), (9, 16)):
        (row,) = _scores(rng, 1, num_keys)
        for block in range(-(-num_keys // block_size)):
            tokens = range(block * block_size, min((block + 1) * block_size, num_keys))
            best = max(tokens, key=lambda token: row[token])
            got = winning_token(row, block, block_size)
            expect(got == best, f"block {block} of {row} in blocks of {block_size}: got {got}, "
                   f"takes {best}; the last block may be partial")  # fmt: skip


@exercise("5.2")
def check_5_2(mean_of_visible: Callable) -> None:
    """`mean_of_visible(scores, block_size)` is the mean of each block's visible tokens.

    Hidden tokens neither count nor contribute, and a block of hidden ones scores -inf.
    """
    scores = np.array([[4.0, 2.0, 6.0, -np.inf, -np.inf, -np.inf]])
    got = np.asarray(mean_of_visible(scores, 2), dtype=float)
    expect(got.shape == (1, 3), f"three blocks of one query: got shape {got.shape}, takes (1, 3)")
    expect(got[0, 0] == 3, f"mean of 4 and 2: got {got[0, 0]}, takes 3")
    expect(got[0, 1] != -np.inf, "a block with one visible token got -inf: "
           "a hidden token must not drag the mean down")  # fmt: skip
    expect(got[0, 1] == 6, f"one visible token of score 6 beside a hidden one: got {got[0, 1]}, "
           "takes 6; divide by the visible tokens, not by the block size")  # fmt: skip
    expect(got[0, 2] == -np.inf, f"a block with no visible token: got {got[0, 2]}, takes -inf")
    rng = np.random.default_rng(1)
    for num_queries, num_keys, block_size in ((1, 5, 2), (4, 11, 4), (6, 6, 8), (9, 20, 3)):
        scores = _scores(rng, num_queries, num_keys)
        got = np.asarray(mean_of_visible(scores, block_size))
        for t, row in enumerate(scores):
            for block, first in enumerate(range(0, num_keys, block_size)):
                seen = [score for score in row[first : first + block_size] if score > -np.inf]
                mean = np.mean(seen) if seen else -np.inf
                expect(
                    got[t, block] == mean or np.isclose(got[t, block], mean),
                    f"query {t}, block {block} of {num_keys} tokens in blocks of {block_size}: "
                    f"got {got[t, block]}, takes {mean:.3f}; the last block may be partial",
                )


@exercise("5.3")
def check_5_3(upper_bound: Callable) -> None:
    """`upper_bound(query, key_min, key_max)` bounds each block's scores by its keys' extremes.

    Never below the true best score, exact for one key, and as tight as the extremes allow.
    """
    rng = np.random.default_rng(2)
    for num_keys, width, block_size in ((1, 1, 1), (6, 2, 1), (8, 3, 4), (10, 5, 4), (24, 8, 6)):
        keys = rng.normal(size=(num_keys, width)).round(2)
        starts = np.arange(0, num_keys, block_size)
        low, high = (pool.reduceat(keys, starts) for pool in (np.minimum, np.maximum))
        for query in (*rng.normal(size=(3, width)).round(2), -np.ones(width)):
            best = np.maximum.reduceat(keys @ query, starts)
            got = np.asarray(upper_bound(query, low, high))
            where = f"query {query}, keys from {low.tolist()} to {high.tolist()}"
            expect(got.shape == best.shape, f"{where}: got shape {got.shape}, takes {best.shape}")
            expect((got >= best - 1e-9).all(), f"{where}: got {got}, below the true best {best}; "
                   "a negative query is largest at the smallest key")  # fmt: skip
            if block_size == 1:
                expect(np.allclose(got, best), f"{where}: got {got}, not tight: a block of one key "
                       f"is known exactly, {best}")  # fmt: skip
            ends = [[max(q * a, q * b) for q, a, b in zip(query, *pair)] for pair in zip(low, high)]
            expect(np.allclose(got, np.sum(ends, axis=1)), f"{where}: got {got}, not tight: takes "
                   f"{np.sum(ends, axis=1)}")  # fmt: skip
