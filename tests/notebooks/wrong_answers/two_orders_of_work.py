"""Known wrong answers to the exercises of "Two orders of work"."""

import numpy as np

from msa_ref import blocks, dense, sparse


def forgets_to_shrink_the_sum(peak, total, weighted, scores, values):
    new_peak = max(peak, scores.max())
    safe_peak = 0.0 if new_peak == -np.inf else new_peak
    exponentials = np.exp(scores - safe_peak)
    shrunk = weighted * np.exp(peak - safe_peak)
    return new_peak, total + exponentials.sum(), shrunk + exponentials @ values


def forgets_to_shrink_the_weighted_sum(peak, total, weighted, scores, values):
    new_peak = max(peak, scores.max())
    safe_peak = 0.0 if new_peak == -np.inf else new_peak
    exponentials = np.exp(scores - safe_peak)
    shrunk = total * np.exp(peak - safe_peak)
    return new_peak, shrunk + exponentials.sum(), weighted + exponentials @ values


def a_hidden_first_chunk_sets_the_peak_to_0(peak, total, weighted, scores, values):
    new_peak = max(peak, scores.max())
    new_peak = 0.0 if new_peak == -np.inf else new_peak
    rescale = np.exp(peak - new_peak)
    exponentials = np.exp(scores - new_peak)
    return (
        new_peak,
        total * rescale + exponentials.sum(),
        weighted * rescale + exponentials @ values,
    )


def goes_query_by_query(q, selection, load_block, num_keys, block_size):
    out, lse = np.zeros_like(q), np.full(len(q), -np.inf)
    for row, position in enumerate(blocks.query_positions(len(q), num_keys)):
        for block in selection[row][selection[row] >= 0]:
            distance = np.array([position - block * block_size])
            part = tile(q[[row]], load_block(block), distance)
            out[[row]], lse[[row]] = merge((out[[row]], lse[[row]]), part)
    return out, lse


def masks_nothing(q, selection, load_block, num_keys, block_size):
    return by_block(q, selection, load_block, num_keys, block_size, masked=False)


def keeps_the_last_block_alone(q, selection, load_block, num_keys, block_size):
    return by_block(q, selection, load_block, num_keys, block_size, merged=False)


def by_block(q, selection, load_block, num_keys, block_size, masked=True, merged=True):
    positions = blocks.query_positions(len(q), num_keys)
    offsets, queries = blocks.invert_selection(selection, blocks.num_blocks(num_keys, block_size))
    out, lse = np.zeros_like(q), np.full(len(q), -np.inf)
    for block in np.flatnonzero(np.diff(offsets)):
        rows = queries[offsets[block] : offsets[block + 1]]
        distance = positions[rows] - block * block_size if masked else np.full(len(rows), num_keys)
        part = tile(q[rows], load_block(block), distance)
        out[rows], lse[rows] = merge((out[rows], lse[rows]), part) if merged else part
    return out, lse


def tile(q, block, distance):
    return sparse.attend_tile(q, *block, distance=distance, scale=q.shape[1] ** -0.5)


def merge(earlier, part):
    return dense.merge_partials(*(np.stack(pair) for pair in zip(earlier, part)))


def reads_from_left_to_right(scores, chunk):
    return list(range(-(-len(scores) // chunk)))


def reads_the_best_chunk_alone(scores, chunk):
    return [int(scores.argmax()) // chunk]


def adds_what_has_different_units(first, second):
    return max(first[0], second[0]), first[1] + second[1], first[2] + second[2]


def two_empty_walks_are_nan(first, second):
    peak = max(first[0], second[0])
    left, right = np.exp(first[0] - peak), np.exp(second[0] - peak)
    return peak, left * first[1] + right * second[1], left * first[2] + right * second[2]


def forgets_the_lses(budget, top_k, num_heads, head_dim):
    return 2 ** ((budget // (top_k * num_heads * head_dim * 2)).bit_length() - 1)


def counts_one_partial_per_query(budget, top_k, num_heads, head_dim):
    return 2 ** ((budget // (num_heads * (head_dim * 2 + 4))).bit_length() - 1)


WRONG = {
    "read_chunk": [
        (forgets_to_shrink_the_sum, "the old sum shrinks too"),
        (forgets_to_shrink_the_weighted_sum, "the old weighted sum shrinks as the old sum does"),
        (a_hidden_first_chunk_sets_the_peak_to_0, "a hidden chunk before anything is read"),
    ],
    "attend_by_block": [
        (goes_query_by_query, "expected one load per block, got 2 loads of block 0"),
        (masks_nothing, "expected no query to see a later token"),
        (keeps_the_last_block_alone, "every part is merged"),
    ],
    "quiet_order": [
        (
            reads_from_left_to_right,
            "expected no new peak after the first chunk, got one at chunk 1",
        ),
        (reads_the_best_chunk_alone, "expected each of the chunks 0 to 3 once"),
    ],
    "join_walks": [
        (adds_what_has_different_units, "in units of different peaks"),
        (two_empty_walks_are_nan, "-inf - -inf is NaN"),
    ],
    "largest_chunk": [
        (forgets_the_lses, "the LSEs take room too"),
        (counts_one_partial_per_query, "expected"),
    ],
}
