"""Known wrong answers to Sparse decode's exercises, and the words that must name each mistake."""

import torch


def groups_forgotten(batch, num_groups, top_k, multiprocessors):
    splits = 1
    while batch * splits < multiprocessors and 2 * splits <= top_k:
        splits *= 2
    return splits


def more_splits_than_blocks(batch, num_groups, top_k, multiprocessors):
    splits = 1
    while batch * num_groups * splits < multiprocessors:
        splits *= 2
    return splits


def a_plain_quotient(batch, num_groups, top_k, multiprocessors):
    return min(top_k, -(-multiprocessors // (batch * num_groups)))


def all_scores_sorted(scores, maxima, size, top_k):
    own = len(scores) - 1
    forced = scores.clone()
    forced[own] = torch.inf
    order = sorted(range(len(scores)), key=lambda block: (block != own, -forced[block], block))
    return sorted(order[:top_k])


def one_block_a_group(scores, maxima, size, top_k):
    own = len(scores) - 1
    ranked = maxima.clone()
    ranked[own // size] = torch.inf
    groups = torch.sort(ranked, descending=True, stable=True).indices[:top_k].tolist()
    best = [g * size + int(scores[g * size : (g + 1) * size].argmax()) for g in groups]
    return sorted({*best[1:], own})


def own_block_not_forced(scores, maxima, size, top_k):
    groups = torch.sort(maxima, descending=True, stable=True).indices[:top_k]
    candidates = (groups[:, None] * size + torch.arange(size)).flatten().sort().values
    candidates = candidates[candidates < len(scores)]
    best = torch.sort(scores[candidates], descending=True, stable=True).indices[:top_k]
    return candidates[best].sort().values


def ties_to_the_higher_id(scores, maxima, size, top_k):
    own = len(scores) - 1
    groups = sorted(range(len(maxima)), key=lambda g: (g != own // size, -maxima[g], g))[:top_k]
    candidates = [b for b in range(own) if b // size in groups]
    best = sorted(candidates, key=lambda block: (-scores[block], -block))
    return sorted([own, *best[: top_k - 1]])


def last_page_shared(cache, parent, child):
    cache.block_table[child] = cache.block_table[parent]
    cache.lengths[child] = cache.lengths[parent]


def _copy(cache, parent, child, first, lanes):
    length = int(cache.lengths[parent])
    used = -(-length // cache.block_size)
    cache.block_table[child, :first] = cache.block_table[parent, :first]
    for block in range(first, used):
        old = int(cache.block_table[parent, block])
        page = min(set(range(len(cache.k_pages))) - set(cache.block_table.flatten().tolist()))
        for lane in lanes:
            lane[page] = lane[old]
        cache.block_table[child, block] = page
    cache.lengths[child] = length


def third_lane_forgotten(cache, parent, child):
    full = int(cache.lengths[parent]) // cache.block_size
    _copy(cache, parent, child, full, (cache.k_pages, cache.v_pages))


def nothing_shared(cache, parent, child):
    _copy(cache, parent, child, 0, (cache.k_pages, cache.v_pages, cache.index_pages))


WRONG = {
    "15.1": [
        (groups_forgotten, "programs were enough"),
        (more_splits_than_blocks, "some programs have nothing to read"),
        (a_plain_quotient, "wants a power of two"),
    ],
    "15.2": [
        (all_scores_sorted, "the first round looks at maxima alone"),
        (one_block_a_group, "a group may give more than one block"),
        (own_block_not_forced, "is always chosen"),
        (ties_to_the_higher_id, "ties go to the lower id"),
    ],
    "15.3": [
        (last_page_shared, "a page that is not full must be copied"),
        (third_lane_forgotten, "three lanes"),
        (nothing_shared, "full pages are shared"),
    ],
}
