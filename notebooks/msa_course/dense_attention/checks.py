"""Checks of the lesson on dense attention: hide, weigh, one head, a window, copies, a budget."""

from __future__ import annotations

import numpy as np

from msa_course.checking import exercise, expect
from msa_ref import dense


@exercise("hide_future")
def check_hide_future(hide_future):
    """`hide_future(scores)` is a copy with -inf wherever a key comes after its query."""
    rng = np.random.default_rng(1)
    for rows, keys in [(1, 1), (2, 2), (1, 3), (2, 4), (8, 8), (3, 8)]:
        scores = rng.normal(size=(rows, keys))
        case = f"{rows} queries, {keys} keys: "
        got = np.asarray(hide_future(scores), dtype=float)
        expect(got.shape == scores.shape, f"{case}expected shape {scores.shape}, got {got.shape}")
        visible = dense.causal_mask(rows, keys)
        expect(
            not (got[~visible] == 0).all() or visible.all(),
            f"{case}a hidden score is 0, expected -inf: e**0 is 1, and that is not hidden",
        )
        for row in range(rows):
            position = keys - rows + row
            seen, right = np.isfinite(got[row]).sum(), visible[row].sum()
            hint = "the queries are the last rows of the square, so row r is at position S - T + r"
            if seen == right - 1 and seen:
                hint = "a query sees its own token"
            expect(
                np.array_equal(np.isfinite(got[row]), visible[row]),
                f"{case}row {row} is at position {position}: expected {right} visible keys, "
                f"got {seen}; {hint}",
            )
        expect(
            np.array_equal(got[visible], scores[visible]) and (got[~visible] == -np.inf).all(),
            f"{case}expected visible scores unchanged and hidden ones -inf, got {got.round(2)}",
        )


@exercise("weigh")
def check_weigh(weigh):
    """`weigh(scores)` turns every row of scores into positive shares that add up to 1."""
    rng = np.random.default_rng(2)
    small = [np.log([[1.0, 3.0]]), np.log([[1.0, 1.0, 2.0], [4.0, 3.0, 1.0]])]
    hidden = np.array([[0.0, -np.inf], [np.log(3.0), 0.0]])
    large = np.array([[2000.0, 1999.0], [-2000.0, -2001.0]])
    for scores in [*small, hidden, rng.normal(size=(3, 5)), large]:
        right, _ = dense.softmax_lse(scores)
        case = f"scores {scores.round(2).tolist()}: "
        with np.errstate(all="ignore"):
            got = np.asarray(weigh(scores), dtype=float)
        expect(got.shape == right.shape, f"{case}expected shape {right.shape}, got {got.shape}")
        expect(
            np.isfinite(got).all(),
            f"{case}expected finite weights, got {got.round(2).tolist()}: an exponential left the "
            "range of a float, subtract each row's highest score first",
        )
        sums = got.sum(axis=-1)
        hint = ""
        if np.isclose(got.sum(), 1) and len(got) > 1:
            hint = "; each row has a sum of its own (axis=-1, keepdims=True)"
        expect(
            np.allclose(sums, 1),
            f"{case}expected rows that add up to 1, got {sums.round(3).tolist()}{hint}",
        )
        expect(
            np.allclose(got, right),
            f"{case}expected {right.round(3).tolist()}, got {got.round(3).tolist()}: a weight is "
            "e**score over the sum of its row",
        )


@exercise("attend")
def check_attend(attend):
    """`attend(q, k, v)` is the output [T, d] of one head of causal attention."""
    rng = np.random.default_rng(3)
    for rows, keys, width in [(1, 1, 1), (1, 2, 4), (2, 2, 3), (2, 5, 3), (6, 6, 16)]:
        q, k, v = (rng.normal(size=(n, width)) for n in (rows, keys, keys))
        case = f"{rows} queries, {keys} keys of {width} channels: "

        def right(scale=None, causal=True, q=q, k=k, v=v):
            arrays = (x[None, None] for x in (q, k, v))
            return dense.attention(*arrays, scale=scale, causal=causal)[0][0, 0]

        got = np.asarray(attend(q, k, v), dtype=float)
        expect(got.shape == (rows, width), f"{case}expected {(rows, width)}, got shape {got.shape}")
        hint = ""
        if np.allclose(got, right(scale=1.0)):
            hint = "; the scores are not divided by the square root of d"
        elif np.allclose(got, right(causal=False)):
            hint = "; keys of the future were read, hide them before you weigh"
        elif rows > 1:
            changed_v = v.copy()
            changed_v[-1] += 1
            changed_k = k.copy()
            changed_k[-1] += 1
            again = np.asarray(attend(q, changed_k, changed_v), dtype=float)
            if not np.allclose(again[0], got[0]):
                hint = "; the first row changes with a token that comes after it"
        expect(
            np.allclose(got, right()),
            f"{case}expected {right()[0].round(3).tolist()} in row 0, "
            f"got {got[0].round(3).tolist()}{hint}",
        )


@exercise("window_mask")
def check_window_mask(window_mask):
    """`window_mask(num_queries, num_keys, window)` sees the last `window` keys."""
    for num_queries, num_keys, window in [(2, 2, 1), (3, 3, 2), (2, 4, 2), (1, 6, 3), (5, 9, 20)]:
        got = np.asarray(window_mask(num_queries, num_keys, window))
        case = f"{num_queries} queries, {num_keys} keys, window {window}: "
        shape = (num_queries, num_keys)
        expect(got.shape == shape, f"{case}expected shape {shape}, got {got.shape}")
        expect(got.dtype == bool, f"{case}expected True and False, got dtype {got.dtype}")
        for row in range(num_queries):
            position = num_keys - num_queries + row
            right = [position - window < j <= position for j in range(num_keys)]
            _check_window(got[row].tolist(), right, case, row, position)


def _check_window(got, right, case, row, position):
    case += f"row {row} is at position {position}, "
    expect(not any(got[position + 1 :]), f"{case}expected no key after that, got some")
    expect(
        got[position],
        f"{case}expected its own token to be visible, got hidden: row r is at S - T + r, and the "
        "window ends there",
    )
    expect(sum(got) <= sum(right), f"{case}expected {sum(right)} visible keys, got {sum(got)}")
    expected, seen = np.flatnonzero(right).tolist(), np.flatnonzero(got).tolist()
    expect(got == right, f"{case}expected keys {expected}, got {seen}")


@exercise("share_of_copies")
def check_share_of_copies(share_of_copies):
    """`share_of_copies(weight, copies)`: what that many equal keys get together, a number."""
    cases = [(0.5, 1), (0.5, 2), (0.25, 3), (0.0, 5), (1.0, 4), (0.9, 10), (0.01, 1000)]
    for weight, copies in cases:
        right = copies * weight / (copies * weight + 1 - weight)
        got = float(share_of_copies(weight, copies))
        hint = ""
        if copies > 1 and np.isclose(got, copies * weight) and weight > 0:
            hint = "; all weights still add up to 1, so the others shrink and the sum has grown"
        elif copies > 1 and np.isclose(got, weight) and 0 < weight < 1:
            hint = "; softmax knows no words: every copy adds its own exponential to the sum"
        elif copies > 1 and np.isclose(got * copies, right) and weight > 0:
            hint = "; that is the share of one copy, asked is that of all together"
        expect(
            np.isclose(got, right),
            f"weight {weight}, {copies} copies: expected {right:.3f}, got {got:.3f}{hint}",
        )


@exercise("choose_kv_heads")
def check_choose_kv_heads(choose_kv_heads):
    """`choose_kv_heads(num_heads, head_dim, context, budget)` is a number of KV heads, or 0."""
    cases = [
        (1, 1, 1, 4, 1),
        (1, 1, 1, 3, 0),
        (4, 8, 10, 640, 2),
        (4, 8, 10, 1279, 2),
        (6, 8, 10, 1919, 3),
        (6, 8, 10, 1600, 3),
        (8, 64, 1000, 10**9, 8),
        (64, 128, 131072, 2**30, 16),
        (64, 128, 1048576, 2**29, 1),
        (64, 128, 1048576, 2**28, 0),
    ]
    for num_heads, head_dim, context, budget, right in cases:
        got = choose_kv_heads(num_heads, head_dim, context, budget)
        case = f"{num_heads} heads of {head_dim}, {context:,} tokens, {budget:,} bytes: "
        integral = isinstance(got, (int, np.integer)) and not isinstance(got, bool)
        expect(integral, f"{case}expected an integer, got {got!r}")
        hint = ""
        if got and num_heads % got:
            hint = f"; {got} does not divide {num_heads}, so the groups would not be equal"
        elif got and got * head_dim * context * 2 * 2 > budget:
            bytes_needed = got * head_dim * context * 4
            hint = f"; keys and values of {got} take {bytes_needed:,} bytes, 2 per number"
        elif got < right:
            hint = f"; {right} fit as well"
        expect(got == right, f"{case}expected {right}, got {got}{hint}")
