"""Known wrong answers to the exercises of Block-sparse prefill."""

import numpy as np


def reads_beyond_the_list(counts, chunk):
    ends = np.cumsum(counts)
    return [
        (block, start, start + chunk)
        for block, (end, count) in enumerate(zip(ends, counts))
        for start in range(end - count, end, chunk)
    ]


def starts_every_list_at_0(counts, chunk):
    return [
        (block, start, min(start + chunk, count))
        for block, count in enumerate(counts)
        for start in range(0, count, chunk)
    ]


def gives_an_empty_list_an_item(counts, chunk):
    items, first = [], 0
    for block, count in enumerate(counts):
        for start in range(0, max(count, 1), chunk):
            items.append((block, first + start, first + min(start + chunk, count)))
        first += count
    return items


def averages(parts, lses, where):
    used = (where >= 0)[:, :, None, None]
    return (parts[where] * used).sum(axis=1) / used.sum(axis=1)


def takes_the_natural_exp(parts, lses, where):
    kept = np.where((where >= 0)[..., None], lses[where], -np.inf)
    share = np.exp(kept - kept.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    return (share[..., None] * parts[where]).sum(axis=1)


def reads_unused_slots(parts, lses, where):
    kept = lses[where]
    share = np.exp2(kept - kept.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    return (share[..., None] * parts[where]).sum(axis=1)


def takes_the_power_without_the_peak(parts, lses, where):
    share = np.where((where >= 0)[..., None], np.exp2(lses[where]), 0)
    share /= share.sum(axis=1, keepdims=True)
    return (share[..., None] * parts[where]).sum(axis=1)


def forgets_the_least_rows(selection, tile, group_size):
    tiles = [selection[t : t + tile] for t in range(0, len(selection), tile)]
    walked = sum(len(np.unique(part[part >= 0])) for part in tiles)
    return np.count_nonzero(selection >= 0) / (walked * tile)


def thinks_rows_leave_early(selection, tile, group_size):
    rows = max(64, tile * group_size)
    return min(1.0, tile * group_size / rows)


def counts_unused_slots_as_a_block(selection, tile, group_size):
    tiles = [selection[t : t + tile] for t in range(0, len(selection), tile)]
    walked = sum(len(np.unique(part)) for part in tiles)
    return np.count_nonzero(selection >= 0) * group_size / (walked * max(64, tile * group_size))


WRONG = {
    "14.1": [
        (reads_beyond_the_list, "reads beyond its list"),
        (starts_every_list_at_0, "a list starts where the one before ends"),
        (gives_an_empty_list_an_item, "an empty list has none"),
    ],
    "14.2": [
        (averages, "the plain average"),
        (takes_the_natural_exp, "the LSEs are in base 2"),
        (reads_unused_slots, "NumPy reads -1 as the last entry"),
        (takes_the_power_without_the_peak, "subtract the peak before the power"),
    ],
    "14.3": [
        (forgets_the_least_rows, "the tensor cores take 64 rows"),
        (thinks_rows_leave_early, "every row sits through the whole union"),
        (counts_unused_slots_as_a_block, "-1 is no block"),
    ],
}
