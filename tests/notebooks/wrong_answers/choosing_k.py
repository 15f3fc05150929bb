"""Wrong answers to the exercises of choosing_k."""

import numpy as np

from msa_ref import selection


def local_block_on_top_of_k(scores, position, top_k, block_size):
    local = position // block_size
    others = sorted(range(local), key=lambda block: (-scores[block], block))[:top_k]
    chosen = sorted([local, *others])
    return chosen + [-1] * (top_k - len(chosen))


def higher_id_on_a_tie(scores, position, top_k, block_size):
    local = position // block_size
    others = sorted(range(local), key=lambda block: (scores[block], block), reverse=True)
    chosen = sorted([local, *others[: top_k - 1]])
    return chosen + [-1] * (top_k - len(chosen))


def local_block_only_by_its_score(scores, position, top_k, block_size):
    visible = range(position // block_size + 1)
    chosen = sorted(sorted(visible, key=lambda block: (-scores[block], block))[:top_k])
    return chosen + [-1] * (top_k - len(chosen))


def one_list_for_all_groups(block_scores, top_k, block_size, num_keys):
    merged = block_scores.max(axis=1, keepdims=True)
    shared = selection.select_blocks(merged, top_k=top_k, block_size=block_size, num_keys=num_keys)
    return np.repeat(shared, block_scores.shape[1], axis=1)


def nothing_forced(block_scores, top_k, block_size, num_keys):
    sizes = {"top_k": top_k, "block_size": block_size, "num_keys": num_keys}
    return selection.select_blocks(block_scores, **sizes, local_blocks=0)


def best_first(block_scores, top_k, block_size, num_keys):
    ranked = block_scores.copy()
    ranked[..., (num_keys - 1) // block_size] = np.inf
    return np.argsort(-ranked, axis=-1, kind="stable")[..., :top_k]


def queries_counted_from_zero(block_scores, top_k, block_size, num_keys):
    first = block_scores[:, :, :1]
    sizes = {"top_k": top_k, "block_size": block_size, "num_keys": num_keys}
    alone = selection.select_blocks(first, **sizes)
    return np.repeat(alone, block_scores.shape[2], axis=2)


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


def as_if_bad_rows_had_nothing(mean, num_rows, recall):
    return int(num_rows * (1 - mean) + 1e-9)


def rounded_up(mean, num_rows, recall):
    return min(num_rows, int(np.ceil(num_rows * (1 - mean) / (1 - recall) - 1e-9)))


def more_rows_than_there_are(mean, num_rows, recall):
    return int(num_rows * (1 - mean) / (1 - recall) + 1e-9)


def blocks_in_the_order_of_the_text(mass, held, of_rows):
    return int(((np.cumsum(mass, axis=-1) >= held).mean(axis=0) >= of_rows).argmax()) + 1


def mean_of_the_rows(mass, held, of_rows):
    most = np.cumsum(-np.sort(-mass, axis=-1), axis=-1)
    enough = most.mean(axis=0) >= held if of_rows == 1 else (most >= held).mean(axis=0) >= of_rows
    return int(enough.argmax()) + 1


def counted_from_zero(mass, held, of_rows):
    most = np.cumsum(-np.sort(-mass, axis=-1), axis=-1)
    return int(((most >= held).mean(axis=0) >= of_rows).argmax())


WRONG = {
    "select_row": [
        (local_block_on_top_of_k, "counts inside k"),
        (higher_id_on_a_tie, "lower ids"),
        (local_block_only_by_its_score, "expected its local block"),
    ],
    "select_blocks": [
        (one_list_for_all_groups, "a list for each group"),
        (nothing_forced, "expected the local block"),
        (best_first, "ids ascend"),
        (queries_counted_from_zero, "stands at S - T + r"),
    ],
    "merge_best": [
        (positions_instead_of_ids, "the blocks' ids"),
        (left_list_wins_a_tie, "lower id"),
        (as_many_slots_as_blocks, "unused slots"),
    ],
    "rows_a_mean_hides": [
        (as_if_bad_rows_had_nothing, "only half a row"),
        (rounded_up, "below 0.9"),
        (more_rows_than_there_are, "all 10 rows"),
    ],
    "smallest_k": [
        (blocks_in_the_order_of_the_text, "heaviest block comes first"),
        (mean_of_the_rows, "not the mean of the rows"),
        (counted_from_zero, "expected k = 1"),
    ],
}
