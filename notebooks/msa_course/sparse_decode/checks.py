"""Checks of Sparse decode: how many splits, a choice in two rounds, two sequences sharing pages."""

from __future__ import annotations

import numpy as np

from msa_course.checking import exercise, expect
from msa_ref import MSAConfig

TOY = MSAConfig(2, 1, 16, 16, 16, 2)
LANES = ("k_pages", "v_pages", "index_pages")


@exercise("15.1")
def check_15_1(splits_wanted):
    """`splits_wanted(batch, num_groups, top_k, multiprocessors)` is chosen from shapes alone."""
    for batch, groups, top_k, wanted in [
        (1, 1, 4, 2),
        (1, 1, 4, 4),
        (1, 2, 8, 4),
        (1, 1, 6, 100),
        (1, 4, 16, 132),
        (3, 4, 16, 132),
        (8, 4, 16, 132),
        (33, 4, 16, 132),
        (64, 4, 16, 132),
    ]:
        right = 1
        while batch * groups * right < wanted and 2 * right <= top_k:
            right *= 2
        got = splits_wanted(batch, groups, top_k, wanted)
        case = (
            f"batch {batch}, {groups} groups, k {top_k}, {wanted} multiprocessors: got {got} "
            f"splits, takes {right}"
        )
        hint = ""
        if got > top_k:
            hint = "; with more splits than blocks some programs have nothing to read"
        elif got < 1 or got & (got - 1):
            hint = "; the merge's tile wants a power of two"
        elif got > right:
            hint = f"; {batch * groups * right} programs were enough"
        elif got < right:
            hint = f"; {batch * groups * got} programs leave multiprocessors idle"
        expect(got == right, case + hint)


@exercise("15.2")
def check_15_2(two_rounds):
    """`two_rounds(scores, maxima, size, top_k)` reads scores of the best groups alone."""
    import torch

    rng = np.random.default_rng(132)
    for count, size, top_k, ties in [
        (4, 2, 1, False),
        (8, 2, 2, False),
        (9, 4, 3, False),
        (12, 3, 4, True),
        (24, 4, 3, False),
        (50, 8, 4, True),
        (50, 8, 4, False),
    ]:
        for _ in range(5):
            scores = rng.integers(0, 3, count) * 1.0 if ties else rng.normal(size=count).round(2)
            _check_rounds(two_rounds, torch.from_numpy(scores), size, top_k)


def _check_rounds(two_rounds, scores, size, top_k):
    import torch

    own = len(scores) - 1
    maxima = torch.stack([part.max() for part in scores.split(size)])
    order = sorted(range(own), key=lambda block: (-scores[block].item(), block))
    right = sorted([own, *order[: top_k - 1]])
    ranked = sorted(
        range(len(maxima)), key=lambda g: (g != own // size, -maxima[g].item(), g)
    )  # the own group first
    poisoned = scores.clone()
    for group in ranked[top_k:]:
        poisoned[group * size : (group + 1) * size] = torch.inf
    got = [int(block) for block in two_rounds(poisoned, maxima, size, top_k)]
    case = f"scores {scores.tolist()}, groups of {size}, k {top_k}: got {got}, takes {right}"
    hint = ""
    if own not in got:
        hint = f"; the local block, {own}, is always chosen"
    elif any(block // size in ranked[top_k:] for block in got):
        hint = "; a score outside the best groups was read: the first round looks at maxima alone"
    elif sorted(got) == right:
        hint = "; ids come in ascending order"
    elif len(set(got)) < len(right):
        hint = f"; {len(right)} different blocks are wanted"
    elif len({block // size for block in got}) > len({block // size for block in right}):
        hint = "; a group may give more than one block"
    elif sorted(scores[got].tolist()) == sorted(scores[right].tolist()):
        hint = "; ties go to the lower id"
    expect(got == right, case + hint)


@exercise("15.3", none=True)
def check_15_3(fork):
    """`fork(cache, parent, child)` shares full pages and copies the last one."""
    for length, parent, child in [(5, 0, 1), (16, 0, 1), (37, 0, 1), (48, 2, 0), (41, 1, 2)]:
        _check_fork(fork, length, parent, child)


def _check_fork(fork, length, parent, child):
    import torch

    from msa_kernels import PagedCache

    generator = torch.Generator().manual_seed(133)
    count = {"num_pages": 15, "batch": 3, "max_pages": 5}
    kind = {"dtype": torch.float32, "index_dtype": torch.float32, "device": "cpu"}
    cache = PagedCache(TOY, **count, **kind)
    new = [torch.randn(3, 1, 60, 16, generator=generator) for _ in range(3)]
    other = 3 - parent - child
    for stored in ({other: 20}, {parent: length}):
        cache.append(*new, new_lengths=[stored.get(b, 0) for b in range(3)])
    before, table = _tokens(cache, parent), cache.block_table.clone()
    fork(cache, parent, child)

    full = length // 16
    case = f"{length} tokens in pages of 16, sequence {parent} forked to {child}: "
    found = int(cache.lengths[child])
    expect(found == length, f"{case}the child's length is {found}, takes {length}")
    rows = [cache.block_table[b].tolist() for b in (parent, child)]
    kept = torch.equal(cache.block_table[parent], table[parent])
    expect(kept, f"{case}the parent's row of the table was changed to {rows[0]}")
    used = -(-length // 16)
    valid = min(rows[1][:used]) >= 0 and set(rows[1][used:]) == {-1}
    expect(valid, f"{case}the child's row is {rows[1]}, takes {used} pages and then -1")
    expect(
        rows[1][:full] == rows[0][:full],
        f"{case}the child's row is {rows[1]}, the parent's {rows[0]}; full pages are shared",
    )
    if length % 16:
        last = rows[1][full]
        expect(
            last != rows[0][full],
            f"{case}both will write into page {last}; a page that is not full must be copied",
        )
        free = sorted(set(range(15)) - set(table[table >= 0].tolist()))
        expect(last == free[0], f"{case}took page {last}, the lowest free page is {free[0]}")
    for lane, text, copied in zip(LANES, before, _tokens(cache, child)):
        expect(
            torch.equal(text, copied), f"{case}the child's {lane} are not the parent's: three lanes"
        )
    cache.append(*new, new_lengths=[3 * (b == child) for b in range(3)])
    for lane, text, kept in zip(LANES, before, _tokens(cache, parent)):
        same = torch.equal(text, kept)
        expect(same, f"{case}the child's next tokens changed the parent's {lane}")


def _tokens(cache, sequence):
    """What a sequence holds in each lane, read through the table."""
    length = int(cache.lengths[sequence])
    pages = cache.block_table[sequence, : -(-length // cache.block_size)].long()
    lanes = (cache.k_pages[:, 0], cache.v_pages[:, 0], cache.index_pages)
    return [lane[pages].flatten(0, 1)[:length] for lane in lanes]
