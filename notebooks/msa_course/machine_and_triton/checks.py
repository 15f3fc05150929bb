"""Checks of Triton in twenty minutes: a sum, maxima of ragged rows, causal block maxima.

The arrays of every check lie in a larger array full of poison: a kernel that reads or writes
outside is caught, which the interpreter alone would not do.
"""

import numpy as np

from msa_course.checking import exercise, expect

MARGIN = 64  # cells of poison on either side; a stray lane must land there
UNTOUCHED = 7e7  # what an output holds before the kernel runs


def _poisoned(array, poison):
    """A float32 tensor of this array that lies between two stretches of poison, and the whole."""
    import torch

    arena = torch.full((array.size + 2 * MARGIN,), poison, dtype=torch.float32)
    view = arena[MARGIN : MARGIN + array.size].view(array.shape)
    view.copy_(torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)))
    return view, arena


def _result(kernel, grid, shape, inputs, sizes, constants, where):
    """What the kernel wrote into an output of this shape; it may write nowhere else."""
    out, arena = _poisoned(np.full(shape, UNTOUCHED), UNTOUCHED)
    with np.errstate(all="ignore"):
        kernel[grid](*inputs, out, *sizes, **constants)
    outside = np.concatenate([arena[:MARGIN].numpy(), arena[-MARGIN:].numpy()])
    expect(
        bool((outside == np.float32(UNTOUCHED)).all()),
        f"{where}: the kernel writes outside its output; the store takes a mask too",
    )
    left = np.argwhere(out.numpy() == np.float32(UNTOUCHED))
    expect(
        len(left) == 0,
        f"{where}: {len(left)} of {out.numel()} outputs were never written, "
        f"the first at {[int(i) for i in left[0]] if len(left) else None}",
    )
    return out.numpy()


@exercise("12.1")
def check_12_1(add):
    """`add[grid](x, y, out, N, WIDTH=...)` writes x + y into the N elements of out."""
    rng = np.random.default_rng(10)
    for size, width in ((4, 4), (8, 4), (1, 4), (5, 4), (13, 8), (33, 16)):
        where = f"N = {size}, tiles of {width}"
        x, y = rng.normal(size=(2, size))
        inputs = [_poisoned(array, np.nan)[0] for array in (x, y)]
        grid = (-(-size // width),)
        out = _result(add, grid, (size,), inputs, (size,), {"WIDTH": width}, where)
        expect(not np.isnan(out).any(), f"{where}: NaN from outside the input is in the sum")
        expect(np.allclose(out, x + y, atol=1e-6), f"{where}: the output is not x + y")


@exercise("12.2")
def check_12_2(row_max):
    """`row_max[(R,)](x, lengths, out, stride, WIDTH=...)` writes the maximum of every row.

    Row r holds lengths[r] numbers from x + r * stride on; what follows them is no part of it.
    """
    import torch

    rng = np.random.default_rng(10)
    for lengths, stride, width in (
        ((4, 4), 4, 4),
        ((3, 1), 4, 4),
        ((8, 5), 9, 4),
        ((2, 0), 4, 4),
        ((13, 0, 1, 29, 16), 31, 8),
    ):
        where = f"rows of {', '.join(map(str, lengths))} numbers, tiles of {width}"
        rows = np.full((len(lengths), stride), np.inf)
        for row, length in zip(rows, lengths):
            # Negative, and rising: the maximum is the last one, and no stray 0 is harmless.
            row[:length] = np.sort(rng.uniform(-9, -1, length))
        x = _poisoned(rows, np.inf)[0]
        inputs = (x, torch.tensor(lengths, dtype=torch.int32))
        sizes, constants = (stride,), {"WIDTH": width}
        out = _result(row_max, (len(lengths),), (len(lengths),), inputs, sizes, constants, where)
        for got, row, length in zip(out, rows, lengths):
            _expect_row_max(got, row[:length], f"{where}: the row of {length}", width)


def _expect_row_max(got, row, where, width):
    truth = row.max(initial=-np.inf).astype(np.float32)
    expect(got != np.inf, f"{where} has maximum inf: a lane read behind the row's end")
    expect(
        not (got == 0 and truth < 0),
        f"{where} has maximum 0, takes {truth:.3f}: masked lanes must give -inf, not 0",
    )
    if len(row) > width:
        first = row[:width].max().astype(np.float32)
        expect(got != first, f"{where}: only its first {width} numbers were read; loop over tiles")
    expect(got == truth, f"{where} has maximum {got:.3f}, takes {truth:.3f}")


@exercise("12.3")
def check_12_3(block_max):
    """`block_max[(T, nb)](scores, out, T, S, BS=...)` writes the causal block maxima [T, nb]."""
    rng = np.random.default_rng(10)
    for num_queries, num_keys, size in ((2, 2, 2), (4, 4, 2), (1, 4, 2), (3, 5, 4), (7, 13, 4)):
        where = f"T = {num_queries}, S = {num_keys}, blocks of {size}"
        num_blocks = -(-num_keys // size)
        scores = rng.uniform(-9, -1, (num_queries, num_keys)).astype(np.float32)
        position = num_keys - num_queries + np.arange(num_queries)
        # A query's own key is its best: a mask that leaves it out is seen.
        scores[np.arange(num_queries), position] = -0.5
        future = np.arange(num_keys) > position[:, None]
        truth = np.full((num_queries, num_blocks * size), -np.inf, dtype=np.float32)
        truth[:, :num_keys] = np.where(future, -np.inf, scores)
        truth = truth.reshape(num_queries, num_blocks, size).max(axis=-1)
        x = _poisoned(np.where(future, np.float32(1e6), scores), np.inf)[0]
        grid, shape = (num_queries, num_blocks), (num_queries, num_blocks)
        sizes = (num_queries, num_keys)
        out = _result(block_max, grid, shape, (x,), sizes, {"BS": size}, where)
        for t, block in np.ndindex(*shape):
            at = f"{where}: query {t} (position {position[t]}), block {block}"
            _expect_block_max(out[t, block], truth[t, block], at)


def _expect_block_max(got, truth, at):
    expect(got != np.inf, f"{at}: got inf; a lane read behind the last key of the last row")
    expect(got != 1e6, f"{at}: got 1e6, the score of a key in the future")
    expect(
        not (got == 0 and truth < 0),
        f"{at}: got 0; hidden keys must give -inf, not 0",
    )
    expect(
        not (truth == -0.5 and got < truth),
        f"{at}: got {got:.3f}; the query's own key, at its own position, is visible",
    )
    expect(
        got == truth,
        f"{at}: got {got:.3f}, takes {truth:.3f}; query t stands at position S - T + t",
    )
