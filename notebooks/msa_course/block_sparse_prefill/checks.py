"""Checks of Block-sparse prefill: items of lists, combined partials, rows at work."""

import numpy as np

from msa_course.checking import exercise, expect
from msa_ref import dense


@exercise("14.1")
def check_14_1(cut):
    """`cut(counts, chunk)` is a list of items (block, start, stop), entries of the whole plan."""
    cases = [
        ([3], 2, "one list of 3 entries, chunk 2"),
        ([2, 3], 4, "lists of 2 and 3 entries, chunk 4"),
        ([2, 0, 1], 2, "lists of 2, 0 and 1 entries, chunk 2"),
    ]
    for counts, chunk, where in cases:
        _expect_items(cut(np.array(counts), chunk), counts, chunk, where)
    for counts in np.random.default_rng(12).integers(0, 9, (5, 6)):
        _expect_items(cut(counts, 3), counts, 3, f"lists of {counts} entries, chunk 3")


def _expect_items(items, counts, chunk, where):
    truth = _cut(counts, chunk)
    got = [tuple(int(number) for number in item) for item in items]
    for block, start, stop in got:
        expect(stop > start, f"{where}: got the item {block, start, stop}; an empty list has none")
        expect(
            stop - start <= chunk,
            f"{where}: item {block, start, stop} holds more than the chunk of {chunk} entries",
        )
    expect(len(got) == len(truth), f"{where}: got {len(got)} items, takes {len(truth)}")
    for item, wanted in zip(got, truth):
        expect(
            item[0] == wanted[0] and item[1] == wanted[1],
            f"{where}: got the item {item}, takes {wanted}: lists stand one behind the other, so "
            "a list starts where the one before ends",
        )
        expect(
            item[2] <= wanted[2],
            f"{where}: item {item} reads beyond its list, which ends at {wanted[2]}",
        )
    expect(got == truth, f"{where}: got {got}, takes {truth}")


def _cut(counts, chunk):
    items, first = [], 0
    for block, count in enumerate(int(count) for count in counts):
        for start in range(first, first + count, chunk):
            items.append((block, start, min(start + chunk, first + count)))
        first += count
    return items


@exercise("14.2")
def check_14_2(combine):
    """`combine(parts, lses, where)` is the output [T, G, d] of partials [E, G, d], LSEs base 2."""
    # One query, one head, two entries of weight 1 and 3: (1 * 8 + 3 * 4) / 4 = 5.
    parts = np.array([[[8.0]], [[4.0]]])
    lses = np.log2([[1.0], [3.0]])
    with np.errstate(all="ignore"):
        got = float(np.ravel(combine(parts, lses, np.array([[0, 1]])))[0])
        named = "weights 1 and 3 with outputs 8 and 4"
        expect(got != 6, f"{named}: got 6, the plain average; the LSEs say how much each counts")
        natural = (8 + 4 * 3 ** (1 / np.log(2))) / (1 + 3 ** (1 / np.log(2)))
        expect(
            not np.isclose(got, natural),
            f"{named}: got {got:.3f}, takes 5; the LSEs are in base 2, so undo them with 2^x",
        )
        expect(np.isclose(got, 5), f"{named}: got {got:.3f}, takes 5")
        got = float(np.ravel(combine(parts, lses, np.array([[0, -1]])))[0])
        expect(
            np.isclose(got, 8),
            f"entry 0 and an unused slot: got {got:.3f}, takes 8; NumPy reads -1 as the last entry",
        )
        got = float(np.ravel(combine(parts, lses + 5000, np.array([[0, 1]])))[0])
        expect(
            np.isclose(got, 5),
            f"LSEs near 5000: got {got}, takes 5; subtract the peak before the power",
        )
        rng = np.random.default_rng(12)
        for queries, slots, heads, d in ((3, 2, 1, 2), (5, 4, 3, 2), (8, 3, 2, 5)):
            parts = rng.normal(size=(queries * slots, heads, d))
            lses = rng.normal(0, 3, parts.shape[:2])
            where = rng.permutation(queries * slots).reshape(queries, slots)
            where[0, 1:] = -1
            got = combine(parts, lses, where)
            shape = (queries, heads, d)
            expect(np.shape(got) == shape, f"got shape {np.shape(got)}, takes {shape}")
            kept = np.where((where >= 0)[..., None], lses[where], -np.inf)
            share, _ = dense.softmax_lse(np.moveaxis(kept, 1, -1) * np.log(2))
            truth = np.einsum("tgs,tsgd->tgd", share, parts[where])
            same = np.allclose(got, truth)
            expect(same, f"{queries} queries of {slots} slots and {heads} heads: wrong output")


@exercise("14.3")
def check_14_3(tile_share):
    """`tile_share(selection, tile, group_size)` is the share of query-major rows that work."""
    one = np.array([[0, 1]])
    got = tile_share(one, 1, 16)
    expect(
        got != 1,
        "one query of 16 heads: got 1, takes 0.25; the tensor cores take 64 rows, 16 of them work",
    )
    expect(np.isclose(got, 0.25), f"one query of 16 heads: got {got:.3f}, takes 0.25")
    got = tile_share(np.array([[0, 1]] * 4), 4, 16)
    expect(np.isclose(got, 1), f"four queries that agree: got {got:.3f}, takes 1")
    # Four queries, no block in common: 8 blocks walked, each for one query of four.
    got = tile_share(np.arange(8).reshape(4, 2), 4, 16)
    expect(
        np.isclose(got, 0.25),
        f"four queries with no block in common: got {got:.3f}, takes 0.25; every row sits through "
        "the whole union",
    )
    got = tile_share(np.array([[0, -1]] * 3 + [[0, 1]]), 4, 16)
    expect(
        np.isclose(got, 5 / 8),
        f"three queries with an unused slot: got {got:.3f}, takes 0.625; -1 is no block",
    )
    got = tile_share(np.array([[0]] * 8), 8, 16)
    expect(np.isclose(got, 1), f"eight queries, 128 rows, that agree: got {got:.3f}, takes 1")
    rng = np.random.default_rng(12)
    for tile in (1, 2, 4, 8):
        selection = np.sort(rng.permuted(np.tile(np.arange(10), (16, 1)), axis=1)[:, :3], axis=1)
        walked = sum(len(np.unique(selection[t : t + tile])) for t in range(0, 16, tile))
        truth = selection.size * 16 / (walked * max(64, tile * 16))
        got = tile_share(selection, tile, 16)
        expect(np.isclose(got, truth), f"tiles of {tile} queries: got {got:.3f}, takes {truth:.3f}")
