"""Checks of Index score and top-16: two rounds, packed scores, decode scores.

What a kernel must not read holds poison, and so does what lies around its output.
"""

from itertools import pairwise

import numpy as np

from msa_course.checking import exercise, expect

MARGIN = 64  # cells of poison on either side of an output
UNTOUCHED = 77  # what an output holds before the kernel runs


def _run(kernel, grid, shape, dtype, inputs, sizes, constants, where):
    """What the kernel wrote into an output of this shape; it may write nowhere else."""
    import torch

    count = int(np.prod(shape))
    arena = torch.full((count + 2 * MARGIN,), UNTOUCHED, dtype=getattr(torch, dtype))
    out = arena[MARGIN : MARGIN + count].view(shape)
    with np.errstate(all="ignore"):
        kernel[grid](*inputs, out, *sizes, **constants)
    outside = torch.cat([arena[:MARGIN], arena[-MARGIN:]])
    expect(bool((outside == UNTOUCHED).all()), f"{where}: the kernel writes outside its output")
    left = int((out == UNTOUCHED).sum())
    expect(left == 0, f"{where}: {left} of {count} outputs were never written")
    return out.numpy()


@exercise("13.1")
def check_13_1(numbers_read):
    """`numbers_read(num_blocks, top_k, group_size)` is the most numbers that two rounds read.

    Group maxima in the first round, and no more blocks than there are in the second.
    """
    for num_blocks, top_k, group_size in (
        (8, 2, 2), (9, 2, 4), (8, 4, 4), (96, 4, 8), (100, 16, 8), (8192, 16, 16), (1, 16, 16),
    ):  # fmt: skip
        where = f"{num_blocks} blocks, k = {top_k}, groups of {group_size}"
        got = numbers_read(num_blocks, top_k, group_size)
        groups = -(-num_blocks // group_size)
        opened = min(top_k * group_size, num_blocks)
        expect(got != opened, f"{where}: got {got}; round 1 reads a maximum of every group too")
        expect(
            got != num_blocks // group_size + opened or got == groups + opened,
            f"{where}: got {got}; the last, smaller group has a maximum as well",
        )
        expect(
            got != groups + top_k * group_size or got == groups + opened,
            f"{where}: got {got}; there are only {num_blocks} blocks to read in round 2",
        )
        expect(got == groups + opened, f"{where}: got {got}, takes {groups} + {opened}")


@exercise("13.2")
def check_13_2(pack):
    """`pack[grid](scores, packed, N, WIDTH=...)`: the larger int64 is the better block."""
    import torch

    rng = np.random.default_rng(11)
    rows = [
        [1.0, 2.0, 0.5, 3.0],
        [-1.0, -3.0, -2.0, 4.0],
        [2.0, 2.0, -1.0, 2.0, -1.0],
        [-np.inf, -5.0, 0.0, -np.inf, 1e-30, -1e-30, 3e30],
        rng.integers(-3, 4, 37),
        rng.normal(size=37),
    ]
    for row in rows:
        scores = np.array(row, dtype=np.float32)
        where = f"scores {scores.round(2).tolist()}"
        inputs = (torch.tensor(scores),)
        grid = (-(-len(scores) // 8),)
        packed = _run(
            pack, grid, (len(scores),), "int64", inputs, (len(scores),), {"WIDTH": 8}, where
        )
        expect(
            len(set(packed.tolist())) == len(scores),
            f"{where}: two blocks have the same number; the id must be in it",
        )
        got = np.argsort(-packed).tolist()
        wanted = np.lexsort((np.arange(len(scores)), -scores)).tolist()
        by_score = scores[got]
        for one, other in pairwise(by_score):
            expect(
                not (one < other < 0),
                f"{where}: {one:.2f} comes before {other:.2f}; negative scores are reversed",
            )
            expect(one >= other, f"{where}: {one:.2f} comes before {other:.2f}, order {got}")
        expect(got == wanted, f"{where}: order {got}, takes {wanted}; ties go to the lower id")


@exercise("13.3")
def check_13_3(decode_scores):
    """`decode_scores[(nb,)](q, pages, table, out, length, ...)`: scores [Hkv, nb] of one query."""
    import torch

    rng = np.random.default_rng(11)
    for heads, dim, size, length in ((1, 4, 2, 2), (2, 4, 2, 6), (2, 4, 4, 5), (4, 8, 4, 23)):
        where = f"{heads} groups, {length} tokens, pages of {size}"
        num_blocks = -(-length // size)
        q = rng.normal(size=(heads, dim)).astype(np.float32)
        keys = rng.normal(size=(length, dim)).astype(np.float32)
        # Every group dislikes every key, so that a hidden score of 0 would win.
        keys -= (
            3 * np.linalg.pinv(q).sum(axis=1).astype(np.float32) * (1 + np.abs(q @ keys.T).max())
        )
        tail = np.full((num_blocks * size - length, dim), 1e6, dtype=np.float32)
        table = rng.permutation(2 * num_blocks)[:num_blocks] + 1
        pages = np.full((2 * num_blocks + 1, size, dim), 1e6, dtype=np.float32)
        pages[table] = np.concatenate([keys, tail]).reshape(num_blocks, size, dim)
        tokens = np.full((heads, num_blocks * size), -np.inf)
        tokens[:, :length] = q @ keys.T * dim**-0.5
        truth = tokens.reshape(heads, num_blocks, size).max(axis=-1)
        inputs = [torch.tensor(array) for array in (q, pages, table.astype(np.int32))]
        constants = {"HKV": heads, "DI": dim, "BS": size}
        out = _run(
            decode_scores, (num_blocks,), (heads, num_blocks), "float32", inputs, (), {
                "length": length, **constants,
            }, where,
        )  # fmt: skip
        for head, block in np.ndindex(*truth.shape):
            _expect_score(
                out[head, block], truth[head, block], dim, f"{where}: group {head}, block {block}"
            )


def _expect_score(got, truth, dim, at):
    expect(
        abs(got) < 1e4,
        f"{at}: got {got:.3g}, from a page or a token that is not the sequence's: "
        "read pages through the table, and hide tokens from `length` on before the max",
    )
    expect(got != 0, f"{at}: got 0; hidden tokens must give -inf, not 0")
    unscaled = np.isclose(got, truth * dim**0.5, rtol=1e-4)
    expect(not unscaled, f"{at}: got {got:.3f}, takes {truth:.3f}; the scale is missing")
    expect(np.isclose(got, truth, rtol=1e-4), f"{at}: got {got:.3f}, takes {truth:.3f}")
