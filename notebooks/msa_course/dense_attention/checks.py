"""Checks of lesson 02: which KV head, one row by slicing, a window."""

from __future__ import annotations

import numpy as np

from msa_course.checking import exercise, expect
from msa_ref import dense


@exercise("2.1")
def check_2_1(kv_head_of):
    """`kv_head_of(head, num_heads, num_kv_heads)` is head // G."""
    for num_heads, num_kv_heads in [(1, 1), (4, 4), (4, 1), (8, 2), (6, 3), (48, 8), (64, 4)]:
        group_size = num_heads // num_kv_heads
        for head in range(num_heads):
            right = head // group_size
            got = kv_head_of(head, num_heads, num_kv_heads)
            case = f"query head {head} of {num_heads} on {num_kv_heads} KV heads: got {got!r}, "
            hint = f"takes {right}"
            if not isinstance(got, (int, np.integer)):
                hint += "; a head's number is an integer"
            elif got == head % num_kv_heads:
                hint += "; the G heads of a group are neighbours, not dealt out like cards"
            elif got == head // num_kv_heads:
                hint += "; divide by G = Hq / Hkv, not by the number of KV heads"
            expect(isinstance(got, (int, np.integer)) and got == right, case + hint)


@exercise("2.2")
def check_2_2(attend_one):
    """`attend_one(q_row, k, v, position)` is one row of causal attention."""
    rng = np.random.default_rng(22)
    for num_keys, head_dim in [(2, 2), (2, 4), (5, 3), (9, 16)]:
        k = rng.normal(size=(num_keys, head_dim))
        v = rng.normal(size=(num_keys, head_dim))
        for position in [*range(1, num_keys), 0]:
            q_row = rng.normal(size=head_dim)
            _check_row(attend_one, q_row, k, v, position)
    _check_row(attend_one, np.array([1.0, 0.0]), np.full((2, 2), 2000.0), np.eye(2), 1)


def _check_row(attend_one, q_row, k, v, position):
    case = f"{len(k)} keys of {k.shape[1]} channels, position {position}: "

    def row(keys, scale=None):
        out, _ = dense.attention(
            q_row[None, None, None], k[None, None, keys], v[None, None, keys], scale=scale
        )
        return out[0, 0, 0]

    with np.errstate(all="ignore"):
        got = np.asarray(attend_one(q_row, k, v, position))
        poisoned = [np.where(np.arange(len(k))[:, None] > position, np.nan, x) for x in (k, v)]
        from_poison = np.asarray(attend_one(q_row, *poisoned, position))
    right = row(slice(position + 1))
    expect(got.shape == right.shape, f"{case}got shape {got.shape}, takes one row {right.shape}")
    expect(
        np.isfinite(got).all(),
        f"{case}got {got} from scores up to {(k @ q_row).max():.0f}: an exponential overflowed, "
        "subtract the row's peak first",
    )
    if position:
        expect(
            not np.allclose(got, row(slice(position))),
            f"{case}the query's own token is missing: its position is visible to it",
        )
    expect(
        np.allclose(got, right) or not np.allclose(got, row(slice(position + 1), scale=1.0)),
        f"{case}the scores are not scaled by d**-0.5",
    )
    if position + 1 < len(k):
        expect(
            not np.allclose(got, row(slice(None))) and np.isfinite(from_poison).all(),
            f"{case}a token of the future was read: the result changes with keys or values "
            f"after position {position}",
        )
    expect(np.allclose(got, right), f"{case}got {got.round(3)}, takes {right.round(3)}")


@exercise("2.3")
def check_2_3(window_mask):
    """`window_mask(num_queries, num_keys, window)` sees the last `window` keys, own included."""
    for num_queries, num_keys, window in [(2, 2, 1), (3, 3, 2), (2, 4, 2), (1, 6, 3), (5, 9, 20)]:
        got = np.asarray(window_mask(num_queries, num_keys, window))
        case = f"{num_queries} queries, {num_keys} keys, window {window}: "
        expect(
            got.shape == (num_queries, num_keys),
            f"{case}got shape {got.shape}, takes {(num_queries, num_keys)}",
        )
        expect(got.dtype == bool, f"{case}got dtype {got.dtype}, takes True and False")
        for row in range(num_queries):
            position = num_keys - num_queries + row
            right = [position - window < j <= position for j in range(num_keys)]
            _check_window(got[row].tolist(), right, case, row, position)


def _check_window(got, right, case, row, position):
    case += f"row {row} stands at position {position} "
    expect(not any(got[position + 1 :]), f"{case}and sees the future")
    expect(
        got[position],
        f"{case}and does not see its own token: row r stands at S - T + r, and a window ends there",
    )
    expect(sum(got) <= sum(right), f"{case}and sees {sum(got)} keys, takes at most {sum(right)}")
    expect(
        got == right, f"{case}and sees keys {np.flatnonzero(got)}, takes {np.flatnonzero(right)}"
    )
