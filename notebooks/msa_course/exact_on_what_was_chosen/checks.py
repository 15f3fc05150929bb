"""Checks of lesson 07: merging two LSEs, one step of online softmax, taking a part out again."""

import numpy as np

from msa_course.checking import exercise, expect
from msa_ref import dense


@exercise("7.1")
def check_7_1(merge_lse):
    """`merge_lse(lse_a, lse_b)` is the LSE of both sets of keys together."""
    with np.errstate(all="ignore"):
        got = merge_lse(1.0, 2.0)
        expect(not np.isclose(got, 3), "LSEs 1 and 2: got their sum, 3; sums add, not their logs")
        expect(not np.isclose(got, 2), "LSEs 1 and 2: got the larger, 2; the smaller counts too")
        expect(
            np.isclose(got, np.logaddexp(1, 2)), f"LSEs 1 and 2: got {got:.4f}, takes ln(e^1 + e^2)"
        )
        for lse in (1000.0, -1000.0):
            got = merge_lse(lse, lse)
            expect(
                np.isclose(got, lse + np.log(2), rtol=0, atol=1e-9),
                f"LSEs {lse:.0f} and {lse:.0f}: got {got}; subtract the peak before the exp, "
                "or it overflows or vanishes",
            )
        for pair in ((-np.inf, 2.0), (2.0, -np.inf)):
            got = merge_lse(*pair)
            expect(got == 2, f"LSEs {pair[0]} and {pair[1]}: got {got}; an empty part adds nothing")
        got = merge_lse(-np.inf, -np.inf)
        expect(got == -np.inf, f"two empty parts: got {got}, takes -inf (-inf - -inf is NaN)")
        for lse_a, lse_b in np.random.default_rng(7).normal(0, 5, (20, 2)):
            got, truth = merge_lse(lse_a, lse_b), np.logaddexp(lse_a, lse_b)
            expect(np.isclose(got, truth), f"LSEs {lse_a:.3f} and {lse_b:.3f}: got {got:.3f}")


@exercise("7.2")
def check_7_2(read_chunk):
    """`read_chunk(peak, total, weighted, scores, values)` is the row's state one chunk later."""
    rng = np.random.default_rng(7)
    empty = -np.inf, 0.0, np.zeros(1)
    one = np.ones((1, 1))
    with np.errstate(all="ignore"):
        state = read_chunk(*empty, np.array([2.0]), 3 * one)
        _expect_state(state, (2, 1, [3]), "the first chunk, score 2 and value 3")
        state = read_chunk(2.0, 1.0, np.array([3.0]), np.array([1.0]), one)
        _expect_state(state, (2, 1 + np.exp(-1), [3 + np.exp(-1)]), "a score below the peak")
        peak, total, weighted = read_chunk(2.0, 1.0, np.array([3.0]), np.array([4.0]), one)
        where = "peak 2, sum 1, weighted sum 3, then score 4 and value 1"
        expect(peak == 4, f"{where}: got peak {peak}, takes the new peak, 4")
        expect(
            np.isclose(total, 1 + np.exp(-2)),
            f"{where}: got sum {total:.3f}, takes {1 + np.exp(-2):.3f}: the old sum shrinks too",
        )
        expect(
            np.allclose(weighted, 1 + 3 * np.exp(-2)),
            f"{where}: got weighted sum {np.ravel(weighted)[0]:.3f}, takes "
            f"{1 + 3 * np.exp(-2):.3f}: the old weighted sum shrinks as the old sum does",
        )
        state = read_chunk(*empty, np.array([-np.inf]), one)
        _expect_state(state, empty, "an empty chunk before anything is read (-inf - -inf is NaN)")
        state = read_chunk(*state, np.array([-1000.0]), 3 * one)
        _expect_state(state, (-1000, 1, [3]), "an empty chunk, then score -1000 and value 3")
        state = read_chunk(2.0, 1.0, np.array([3.0]), np.array([-np.inf]), one)
        _expect_state(state, (2, 1, [3]), "an empty chunk later on")
        for size in (2, 5, 12):
            scores, values = rng.normal(0, 4, size), rng.normal(size=(size, 3))
            state = -np.inf, 0.0, np.zeros(3)
            for start in range(0, size, 2):
                state = read_chunk(*state, scores[start : start + 2], values[start : start + 2])
            weights, lse = dense.softmax_lse(scores)
            peak, total, weighted = state
            same = np.allclose(weighted / total, weights @ values)
            expect(same, f"{size} keys in chunks of 2: the output is not the softmax's")
            expect(np.isclose(peak + np.log(total), lse), f"{size} keys in chunks of 2: wrong LSE")


@exercise("7.3")
def check_7_3(without_part):
    """`without_part(out, lse, part_out, part_lse)` is the result of the keys that are left."""
    rng = np.random.default_rng(7)
    with np.errstate(all="ignore"):
        # e^scores are 1 and 3: the whole is (1 * 8 + 3 * 4) / 4 = 5, the part is the second key.
        out, lse = without_part(np.array([5.0]), np.log(4), np.array([4.0]), np.log(3))
        where = "keys of e^score 1 and 3 with values 8 and 4, the second taken out"
        expect(np.isclose(lse, 0, atol=1e-9), f"{where}: got LSE {lse:.3f}, takes ln(4 - 3) = 0")
        expect(
            not np.allclose(out, 2),
            f"{where}: got output 2, which is 5 - 3: divide by the share that is left",
        )
        expect(np.allclose(out, 8), f"{where}: got output {np.ravel(out)[0]:.3f}, takes 8")
        out, lse = without_part(np.array([5.0]), 2.0, np.zeros(1), -np.inf)
        same = np.allclose(out, 5) and np.isclose(lse, 2)
        expect(same, f"an empty part: got ({out}, {lse}), takes the whole, unchanged")
        out, lse = without_part(np.array([5.0]), 2.0, np.array([5.0]), 2.0)
        same = np.allclose(out, 0) and lse == -np.inf
        expect(same, f"the part is all there is: got ({out}, {lse}), takes output 0 and LSE -inf")
        for size in (3, 8, 20):
            scores, values = rng.normal(size=size), rng.normal(size=(size, 4))
            parts = [_attend(scores, values, keys) for keys in (slice(0, 2), slice(2, size))]
            out, lse = without_part(*_attend(scores, values, slice(None)), *parts[0])
            expect(np.isclose(lse, parts[1][1]), f"{size} keys without the first 2: wrong LSE")
            expect(np.allclose(out, parts[1][0]), f"{size} keys without the first 2: wrong output")


def _attend(scores, values, keys):
    weights, lse = dense.softmax_lse(scores[keys])
    return weights @ values[keys], lse


def _expect_state(state, truth, where):
    for name, got, wanted in zip(("peak", "sum", "weighted sum"), state, truth):
        got, wanted = np.ravel(got), np.ravel(wanted)
        same = got.shape == wanted.shape and np.allclose(got, wanted)
        expect(same, f"{where}: got {name} {got}, takes {wanted}")
