"""Known wrong answers to the exercises of the lesson on blocks."""

import numpy as np

from msa_ref import blocks


def queries_start_at_zero(num_queries, num_keys, query_tile, block_size):
    states = blocks.tile_states(
        num_queries, num_queries, query_tile=query_tile, block_size=block_size
    )
    width = -(-num_keys // block_size)
    return np.pad(states, ((0, 0), (0, width - states.shape[1])))


def ragged_ends_dropped(num_queries, num_keys, query_tile, block_size):
    states = blocks.tile_states(num_queries, num_keys, query_tile=query_tile, block_size=block_size)
    return states[: max(1, num_queries // query_tile), : max(1, num_keys // block_size)]


def visible_when_the_last_query_sees_all(num_queries, num_keys, query_tile, block_size):
    rows = np.arange(num_keys - num_queries, num_keys)[::query_tile]
    last = np.minimum(rows + query_tile, num_keys) - 1
    first_key = np.arange(0, num_keys, block_size)
    last_key = np.minimum(first_key + block_size, num_keys) - 1
    return (first_key <= last[:, None]).astype(int) + (last_key <= last[:, None])


def unread_blocks_dropped(selection, num_blocks):
    offsets, queries = blocks.invert_selection(selection, num_blocks)
    return offsets[: selection.max() + 2], queries


def unused_slots_kept(selection, num_blocks):
    ids = np.where(selection < 0, num_blocks - 1, selection)
    return blocks.invert_selection(ids, num_blocks)


def counts_for_offsets(selection, num_blocks):
    offsets, queries = blocks.invert_selection(selection, num_blocks)
    return np.append(np.diff(offsets), len(queries)), queries


def not_sorted_by_block(selection, num_blocks):
    offsets, _ = blocks.invert_selection(selection, num_blocks)
    return offsets, np.nonzero(selection >= 0)[0]


def every_pick_loaded(selection, query_tile):
    starts = range(0, len(selection), query_tile)
    return [int((selection[first : first + query_tile] >= 0).sum()) for first in starts]


def unused_slots_loaded(selection, query_tile):
    starts = range(0, len(selection), query_tile)
    return [len(np.unique(selection[first : first + query_tile])) for first in starts]


def last_tile_dropped(selection, query_tile):
    starts = range(0, len(selection) // query_tile * query_tile, query_tile)
    tiles = [selection[first : first + query_tile] for first in starts]
    return [len(np.unique(tile[tile >= 0])) for tile in tiles]


def ragged_tiles_forgotten(num_keys, size):
    count = num_keys // size
    below = count * (count - 1) // 2
    diagonal = count if size > 1 else 0
    return below, diagonal, below + count - diagonal


def whole_diagonal_partial(num_keys, size):
    count = -(-num_keys // size)
    below = count * (count - 1) // 2
    return below, count, below


def diagonal_counted_twice(num_keys, size):
    count = -(-num_keys // size)
    below = count * (count + 1) // 2
    return below, count, below


def list_alone(context, budget, max_list, max_scores):
    return next(2**n for n in range(21) if -(-budget // 2**n) <= max_list)


def scores_alone(context, budget, max_list, max_scores):
    return next(2**n for n in range(21) if -(-context // 2**n) <= max_scores)


def rounded_down(context, budget, max_list, max_scores):
    sizes = (2**n for n in range(21))
    return next(s for s in sizes if budget // s <= max_list and context // s <= max_scores)


WRONG = {
    "tile_states": [
        (queries_start_at_zero, "not at 0"),
        (ragged_ends_dropped, "may be smaller"),
        (visible_when_the_last_query_sees_all, "every query must see every key"),
    ],
    "invert_selection": [
        (unread_blocks_dropped, "blocks that nobody reads"),
        (unused_slots_kept, "it is no block"),
        (counts_for_offsets, "where the lists before it end"),
        (not_sorted_by_block, "a stable sort"),
    ],
    "loads_per_tile": [
        (every_pick_loaded, "loaded once"),
        (unused_slots_loaded, "no block"),
        (last_tile_dropped, "ragged last tile"),
    ],
    "count_tiles": [
        (ragged_tiles_forgotten, "the ragged last ones included"),
        (whole_diagonal_partial, "one single token"),
        (diagonal_counted_twice, "counted once"),
    ],
    "smallest_block": [
        (list_alone, "more scores than allowed"),
        (scores_alone, "longer than allowed"),
        (rounded_down, "round up"),
    ],
}
