"""Wrong answers to lesson 06's exercises."""

import numpy as np


def counts_unused_slots(chosen, position, block_size):
    return int(np.minimum(block_size, position + 1 - chosen * block_size).sum())


def counts_the_own_block_in_full(chosen, position, block_size):
    return int((chosen >= 0).sum()) * block_size


def forgets_the_query_itself(chosen, position, block_size):
    first = chosen[chosen >= 0] * block_size
    return int(np.minimum(block_size, position - first).sum())


def own_block_on_top_of_k(scores, position, top_k, block_size):
    own = position // block_size
    others = sorted(range(own), key=lambda block: (-scores[block], block))[:top_k]
    chosen = sorted([own, *others])
    return chosen + [-1] * (top_k - len(chosen))


def higher_id_on_a_tie(scores, position, top_k, block_size):
    own = position // block_size
    others = sorted(range(own), key=lambda block: (scores[block], block), reverse=True)
    chosen = sorted([own, *others[: top_k - 1]])
    return chosen + [-1] * (top_k - len(chosen))


def own_block_only_by_its_score(scores, position, top_k, block_size):
    visible = range(position // block_size + 1)
    chosen = sorted(sorted(visible, key=lambda block: (-scores[block], block))[:top_k])
    return chosen + [-1] * (top_k - len(chosen))


def positions_instead_of_ids(left, right, top_k):
    scores = np.concatenate([left[0], right[0]])
    order = np.argsort(-scores, kind="stable")[:top_k]
    return scores[order], order


def left_list_wins_a_tie(left, right, top_k):
    unused = np.full(top_k, -np.inf), np.full(top_k, -1)
    scores, ids = (np.concatenate(parts) for parts in zip(left, right, unused))
    order = np.argsort(-scores, kind="stable")[:top_k]
    return scores[order], ids[order]


def as_many_slots_as_blocks(left, right, top_k):
    scores, ids = (np.concatenate(parts) for parts in zip(left, right))
    order = [i for i in np.lexsort((ids, -scores)) if ids[i] >= 0][:top_k]
    return scores[order], ids[order]


WRONG = {
    "6.1": [
        (counts_unused_slots, "-1 is no block"),
        (counts_the_own_block_in_full, "up to itself"),
        (forgets_the_query_itself, "takes 4"),
    ],
    "6.2": [
        (own_block_on_top_of_k, "counts inside k"),
        (higher_id_on_a_tie, "lower ids"),
        (own_block_only_by_its_score, "without its local block"),
    ],
    "6.3": [
        (positions_instead_of_ids, "the blocks' ids"),
        (left_list_wins_a_tie, "lower id"),
        (as_many_slots_as_blocks, "unused slots"),
    ],
}
