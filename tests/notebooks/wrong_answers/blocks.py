"""Known wrong answers to the exercises of lesson 04."""

import numpy as np


def own_block_read_whole(position, chosen, block_size):
    return len(chosen) * block_size


def own_token_not_counted(position, chosen, block_size):
    own = position // block_size
    return sum(position % block_size if block == own else block_size for block in chosen)


def last_block_always_partial(position, chosen, block_size):
    return (len(chosen) - 1) * block_size + position % block_size + 1


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


WRONG = {
    "4.1": [
        (own_block_read_whole, "sees only tokens up to"),
        (own_token_not_counted, "its own token too"),
        (last_block_always_partial, "every chosen block is read whole"),
    ],
    "4.2": [
        (ragged_tiles_forgotten, "the ragged last ones included"),
        (whole_diagonal_partial, "one single token"),
        (diagonal_counted_twice, "counted once"),
    ],
    "4.3": [
        (every_pick_loaded, "loaded once"),
        (unused_slots_loaded, "no block"),
        (last_tile_dropped, "ragged last tile"),
    ],
}
