"""Checks of the lesson's exercises: the branch, block scores, the winner, a crowd, a design."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from msa_course.checking import exercise, expect
from msa_course.index_branch.branch import project_index as project_as_here
from msa_ref import blocks, scoring


@exercise("project_index")
def check_project_index(project_index: Callable) -> None:
    """`project_index(x, w_iq, w_ik, num_groups)`: index_q [1,Hkv,T,di] and index_k [1,1,T,di]."""
    rng = np.random.default_rng(0)
    for tokens, width, groups, dim in ((1, 2, 1, 1), (3, 3, 2, 2), (5, 4, 3, 2), (3, 6, 2, 5)):
        x = rng.integers(-3, 4, (tokens, width)).astype(float)
        w_iq = rng.integers(-3, 4, (width, groups * dim)).astype(float)
        w_ik = rng.integers(-3, 4, (width, dim)).astype(float)
        right = project_as_here(x, w_iq, w_ik, groups)
        index_q, index_k = (np.asarray(array) for array in project_index(x, w_iq, w_ik, groups))
        case = f"{tokens} tokens, {groups} groups of {dim} channels"
        for name, array, wanted in (("index_q", index_q, right[0]), ("index_k", index_k, right[1])):
            expect(array.shape == wanted.shape, f"{case}: {name}: expected shape {wanted.shape}, "
                   f"got {array.shape}; heads come before tokens, the key has one")  # fmt: skip
            head, token = _first(~np.isclose(array, wanted).all(axis=-1)) or (0, 0)
            expect(np.allclose(array, wanted), f"{case}: {name}, group {head}, token {token}: "
                   f"expected {wanted[0, head, token]}, got {array[0, head, token]}; a row of X W "
                   "holds its heads side by side: split it into heads first")  # fmt: skip


@exercise("block_scores")
def check_block_scores(block_scores: Callable) -> None:
    """`block_scores(index_q, index_k, block_size)` [1, Hkv, T, nb], the best visible token's."""
    rng = np.random.default_rng(1)
    cases = ((1, 1, 2, 1, 2), (1, 2, 4, 4, 2), (2, 3, 5, 4, 2), (3, 4, 4, 4, 3), (2, 2, 9, 9, 16))
    for groups, num_queries, num_keys, dim, block_size in cases:
        index_q = rng.normal(size=(1, groups, num_queries, dim)).round(1)
        index_k = rng.normal(size=(1, 1, num_keys, dim)).round(1)
        right = scoring.block_scores(index_q, index_k, block_size=block_size)
        got = np.asarray(block_scores(index_q, index_k, block_size), dtype=float)
        case = f"{num_queries} queries, {num_keys} keys in blocks of {block_size}"
        expect(got.shape == right.shape, f"{case}: expected shape {right.shape}, got {got.shape}; "
               "the last block may be partial")  # fmt: skip
        _check_hidden(case, got, right)
        raw = scoring.block_scores(index_q, index_k, block_size=block_size, scale=1.0)
        expect(dim == 1 or not np.allclose(got, raw), f"{case}: expected scores divided by "
               f"sqrt({dim}), got the raw dot products")  # fmt: skip
        late = _first(got > right + 1e-9)
        if late is not None:
            _, query, block = late
            position = num_keys - num_queries + query
            expect(False, f"{case}: query at position {position}, block {block}: expected "
                   f"{right[0][late]:.2f}, got {got[0][late]:.2f}, the score of a token from the "
                   "future; mask the tokens before the max")  # fmt: skip
        wrong = _first(~np.isclose(got, right))
        expect(wrong is None, f"{case}: expected {right[0][wrong]}, got {got[0][wrong]} for "
               f"(group, query, block) {wrong}; the best token speaks for the block")  # fmt: skip


def _check_hidden(case, got, right):
    hidden = _first((right == -np.inf) & (got != -np.inf))
    if hidden is not None:
        expect(False, f"{case}: expected -inf, got {got[0][hidden]:.2f} for a block that lies "
               f"wholly in the future, (group, query, block) {hidden}")  # fmt: skip
    lost = _first((right > -np.inf) & ~np.isfinite(got))
    if lost is not None:
        expect(False, f"{case}: expected {right[0][lost]:.2f}, got {got[0][lost]} for (group, "
               f"query, block) {lost}; the queries are the last tokens")  # fmt: skip


def _first(where):
    """Place of the first True in the only sequence, such as (group, query, block), or None."""
    found = np.argwhere(where[0])
    return tuple(map(int, found[0])) if len(found) else None


def _scores(rng, num_queries: int, num_keys: int) -> np.ndarray:
    """Token scores of the last queries of a sequence, -inf in the future."""
    scores = rng.normal(size=(num_queries, num_keys)).round(2)
    positions = blocks.query_positions(num_queries, num_keys)
    return np.where(np.arange(num_keys) <= positions[:, None], scores, -np.inf)


@exercise("winning_token")
def check_winning_token(winning_token: Callable) -> None:
    """`winning_token(scores, block, block_size)`: position of the block's best token, or -1."""
    scores = np.array([0.0, 3.0, 1.0, 2.0, 5.0, -np.inf, -np.inf, -np.inf])
    for block, wanted, hint in (
        (1, 3, "count from the start of the sequence, not of the block"),
        (3, -1, "no token of that block is visible"),
        (2, 4, "token 4 is visible, token 5 is not"),
    ):
        got = winning_token(scores, block, 2)
        expect(got == wanted, f"block {block} of {scores} in blocks of 2: expected {wanted}, "
               f"got {got}; {hint}")  # fmt: skip
    got = winning_token(np.array([-1.0, 2.0, 2.0, 0.0]), 0, 4)
    expect(got == 1, f"tokens 1 and 2 tie: expected the first, 1, got {got}")
    rng = np.random.default_rng(0)
    for num_keys, block_size in ((1, 1), (7, 3), (11, 4), (9, 16)):
        (row,) = _scores(rng, 1, num_keys)
        for block in range(-(-num_keys // block_size)):
            first = block * block_size
            best = first + int(row[first : first + block_size].argmax())
            got = winning_token(row, block, block_size)
            expect(got == best, f"block {block} of {row} in blocks of {block_size}: expected "
                   f"{best}, got {got}; the last block may be partial")  # fmt: skip


@exercise("crowd_that_wins")
def check_crowd_that_wins(crowd_that_wins: Callable) -> None:
    """`crowd_that_wins(needle, filler)`: fewest filler tokens whose log-sum-exp is larger."""
    cases = [
        (math.log(2.5), 0.0, 3),
        (math.log(4.5), math.log(3), 2),
        (0.0, 1.0, 1),
        (6.0, 0.0, 404),
    ]
    cases += [(6.0, 2.0, 55), (4.0, -1.0, 149), (1.0, 1.0, 2)]
    for needle, filler, wanted in cases:
        got = crowd_that_wins(needle, filler)
        case = (
            f"a needle of {needle:.2f} against filler of {filler:.2f}: expected {wanted}, got {got}"
        )
        hint = "; they must beat the needle, not just come close or tie"
        if needle != filler and got in (math.ceil(needle), math.floor(needle) + 1):
            hint = "; exponentials add up, scores do not"
        elif got == math.floor(math.exp(needle)) + 1:
            hint = "; what counts is how far the needle is above the filler"
        expect(got == wanted, case + hint)


@exercise("widest_index")
def check_widest_index(widest_index: Callable) -> None:
    """`widest_index(num_heads, num_kv_heads, head_dim, key_bytes, ratio)`: a number of channels.

    The widest index key for which a scan stays `ratio` times lighter than dense attention in
    multiplications and in bytes; K and V have two bytes per number.
    """
    cases = [(64, 4, 128, 2, 8), (64, 4, 128, 2, 16), (64, 4, 128, 1, 16), (8, 8, 64, 1, 4)]
    cases += [(16, 2, 128, 2, 5), (9, 3, 64, 2, 8), (32, 8, 128, 2, 100)]
    for num_heads, num_kv_heads, head_dim, key_bytes, ratio in cases:
        by_work = 2 * num_heads * head_dim // (num_kv_heads * ratio)
        by_bytes = 4 * num_kv_heads * head_dim // (key_bytes * ratio)
        wanted = min(by_work, by_bytes)
        got = widest_index(num_heads, num_kv_heads, head_dim, key_bytes, ratio)
        case = f"{num_heads} heads, {num_kv_heads} KV heads of {head_dim}, {key_bytes} bytes per "
        case += f"index number, {ratio} times lighter: expected {wanted}, got {got}"
        hint = ""
        if got == by_work:
            hint = f"; the work allows it, but its bytes do not: they allow {by_bytes}"
        elif got == by_bytes:
            hint = f"; the bytes allow it, but its work does not: it allows {by_work}"
        expect(got == wanted, case + hint)
