"""Checks of merging, of the error as a product, and of a test that names a lost block."""

import numpy as np

from msa_course.checking import exercise, expect
from msa_ref import dense


@exercise("merge_partials")
def check_merge_partials(merge_partials):
    """`merge_partials(outs, lses)` is output [..., d] and LSE [...] of all P parts together."""
    with np.errstate(all="ignore"):
        outs, lses = np.array([[4.0], [8.0]]), np.log([3.0, 1.0])
        out, lse = merge_partials(outs, lses)
        where = "outputs 4 and 8 with sums of exponentials 3 and 1"
        expect(not np.allclose(out, 6), f"{where}: expected 5, got the plain average, 6")
        expect(not np.allclose(out, 12), f"{where}: expected 5, got the plain sum, 12")
        expect(np.allclose(out, 5), f"{where}: expected output 5, got {_first(out)}")
        same = np.allclose(lse, np.log(4))
        expect(same, f"{where}: expected LSE ln 4 = 1.386, got {_first(lse)}")
        for shift in (1000.0, -1000.0):
            out, lse = merge_partials(outs, lses + shift)
            same = np.allclose(out, 5) and np.allclose(lse, shift + np.log(4))
            expect(
                same, f"the same parts with LSEs near {shift:.0f}: expected output 5, got "
                f"{_first(out)}; subtract the peak before the exp, or it overflows or vanishes",
            )  # fmt: skip
        out, lse = merge_partials(np.array([[4.0], [0.0]]), np.array([2.0, -np.inf]))
        same = np.allclose(out, 4) and np.allclose(lse, 2)
        expect(same, f"an empty second part: expected output 4, got {_first(out)}")
        out, lse = merge_partials(np.zeros((2, 1)), np.full(2, -np.inf))
        same = np.array_equal(np.ravel(out), [0]) and np.array_equal(np.ravel(lse), [-np.inf])
        expect(
            same, f"two empty parts: expected output 0 and LSE -inf, got {_first(out)} and "
            f"{_first(lse)} (-inf - -inf is NaN)",
        )  # fmt: skip
        rng = np.random.default_rng(8)
        for shape in ((3, 5), (2, 4, 6), (4, 1, 2, 3)):
            outs, lses = rng.normal(size=shape), rng.normal(0, 3, shape[:-1])
            got = merge_partials(outs, lses)
            truth = dense.merge_partials(outs, lses)
            for name, one, other in zip(("output", "LSE"), got, truth):
                where = f"{shape[0]} parts, outs of shape {shape}, {name}"
                shapes = np.shape(one) == np.shape(other)
                expect(shapes, f"{where}: expected shape {np.shape(other)}, got {np.shape(one)}")
                expect(np.allclose(one, other), f"{where}: expected other numbers than you got")


@exercise("sparse_error")
def check_sparse_error(sparse_error):
    """`sparse_error(weights, values, read)` is dense minus sparse output [d] of one query."""
    rng = np.random.default_rng(8)
    with np.errstate(all="ignore"):
        weights, values = np.array([0.5, 0.25, 0.25]), np.array([[4.0], [8.0], [0.0]])
        read = np.array([True, True, False])
        got = sparse_error(weights, values, read)
        # read: (0.5 * 4 + 0.25 * 8) / 0.75 = 16/3; unread: 0; missed 0.25
        where = "weights 1/2, 1/4, 1/4, values 4, 8, 0, the last unread"
        expect(
            not np.allclose(got, 4 / 3), f"{where}: expected -1.333, got 1.333: dense minus sparse"
        )
        expect(
            not np.allclose(got, 0),
            f"{where}: expected -1.333, got 0: the read weights must be divided by their sum",
        )
        expect(
            not np.allclose(got, -16 / 3),
            f"{where}: expected -1.333, got -5.333: times the missed mass",
        )
        expect(np.allclose(got, -4 / 3), f"{where}: expected -1.333, got {_first(got)}")
        got = sparse_error(weights, values, np.ones(3, dtype=bool))
        expect(
            np.shape(got) == (1,) and np.allclose(got, 0),
            f"everything read: expected an error of 0, got {_first(got)} (0 / 0 is NaN)",
        )
        for size in (4, 9):
            weights = rng.dirichlet(np.ones(size))
            values, read = rng.normal(size=(size, 3)), rng.permutation(size) < size // 2
            sparse = weights[read] @ values[read] / weights[read].sum()
            got, truth = sparse_error(weights, values, read), weights @ values - sparse
            expect(
                np.shape(got) == (3,) and np.allclose(got, truth),
                f"{size} keys, {size // 2} read: expected {truth.round(3)}, got {_short(got)}",
            )


@exercise("merge_base_two")
def check_merge_base_two(merge_base_two):
    """`merge_base_two(outs, lses)` is output and LSE of all parts, the LSEs in base 2."""
    with np.errstate(all="ignore"):
        outs, lses = np.array([[4.0], [8.0]]), np.log2([3.0, 1.0])
        out, lse = merge_base_two(outs, lses)
        where = "outputs 4 and 8 with sums of exponentials 3 and 1"
        natural, _ = dense.merge_partials(outs, lses)
        expect(
            not np.allclose(out, natural),
            f"{where}: expected 5, got {natural[0]:.3f}, a merge that takes base 2 for base e",
        )
        expect(np.allclose(out, 5), f"{where}: expected output 5, got {_first(out)}")
        expect(
            not np.allclose(lse, np.log(4)),
            f"{where}: expected LSE log2 4 = 2, got 1.386, the natural log",
        )
        expect(np.allclose(lse, 2), f"{where}: expected LSE log2 4 = 2, got {_first(lse)}")
        rng = np.random.default_rng(8)
        outs, lses = rng.normal(size=(3, 5, 2)), rng.normal(0, 4, (3, 5))
        out, lse = merge_base_two(outs, lses)
        truth, truth_lse = dense.merge_partials(outs, lses * np.log(2))
        same = np.shape(out) == (5, 2) and np.allclose(out, truth)
        same = same and np.allclose(lse, truth_lse / np.log(2))
        expect(same, "3 parts of 5 rows: expected other numbers than you got")


@exercise("without_part")
def check_without_part(without_part):
    """`without_part(out, lse, part_out, part_lse)` is output and LSE of the keys that are left."""
    rng = np.random.default_rng(7)
    with np.errstate(all="ignore"):
        # e^scores are 1 and 3: the whole is (1 * 8 + 3 * 4) / 4 = 5, the part is the second key.
        out, lse = without_part(np.array([5.0]), np.log(4), np.array([4.0]), np.log(3))
        where = "keys of e^score 1 and 3 with values 8 and 4, the second taken out"
        expect(
            np.isclose(lse, 0, atol=1e-9),
            f"{where}: expected LSE ln(4 - 3) = 0, got {_first(lse)}",
        )
        expect(
            not np.allclose(out, 2),
            f"{where}: expected 8, got output 2, which is 5 - 3: divide by the share that is left",
        )
        expect(np.allclose(out, 8), f"{where}: expected output 8, got {_first(out)}")
        out, lse = without_part(np.array([5.0]), 2.0, np.zeros(1), -np.inf)
        same = np.allclose(out, 5) and np.isclose(lse, 2)
        expect(
            same, f"an empty part: expected the whole, 5 and 2, got {_first(out)} and {_first(lse)}"
        )
        out, lse = without_part(np.array([5.0]), 2.0, np.array([5.0]), 2.0)
        same = np.allclose(out, 0) and lse == -np.inf
        expect(
            same, "the part is all there is: expected output 0 and LSE -inf, got "
            f"{_first(out)} and {_first(lse)}",
        )  # fmt: skip
        for size in (3, 8, 20):
            scores, values = rng.normal(size=size), rng.normal(size=(size, 4))
            parts = [_attend(scores, values, keys) for keys in (slice(0, 2), slice(2, size))]
            out, lse = without_part(*_attend(scores, values, slice(None)), *parts[0])
            same = np.isclose(lse, parts[1][1]) and np.allclose(out, parts[1][0])
            expect(same, f"{size} keys without the first 2: expected other numbers than you got")


@exercise("lost_blocks")
def check_lost_blocks(lost_blocks):
    """`lost_blocks(attend, num_blocks, block_size)` is the list of the blocks that are lost."""
    cases = [
        (4, 8, [3], 1), (4, 8, [], 1), (20, 32, [7], 1), (20, 32, [0, 19], 1), (3, 1, [0, 1], 1),
        (64, 16, [63], 8),
    ]  # fmt: skip
    for num_blocks, block_size, lost, noise in cases:
        attend = _forgetful(block_size, lost, noise)
        got = lost_blocks(attend, num_blocks, block_size)
        where = f"{num_blocks} blocks of {block_size}, lost: {lost}"
        same = np.shape(got) == (len(lost),) and sorted(np.ravel(got).tolist()) == lost
        expect(same, f"{where}: expected {lost}, got {_short(got)}")


def _forgetful(block_size, lost, noise):
    """Attention of one query that never reads some blocks, and rounds as 16 bits do."""

    def attend(q, k, v):
        q, k, v = (np.asarray(array, dtype=float) for array in (q, k, v))
        kept = ~np.isin(np.arange(len(k)) // block_size, lost)
        weights, _ = dense.softmax_lse(k[kept] @ q * len(q) ** -0.5)
        out = weights @ v[kept]
        return out * (1 + 2.0**-9 * noise / 8 * np.cos(np.arange(len(out))))

    return attend


def _attend(scores, values, keys):
    weights, lse = dense.softmax_lse(scores[keys])
    return weights @ values[keys], lse


def _first(array):
    """The first number of an array, in four digits."""
    flat = np.ravel(array)
    return f"{flat[0]:.4g}" if flat.size else "nothing"


def _short(got):
    text = " ".join(str(got).split())
    return text if len(text) < 60 else f"{text[:57]}..."
