"""Known wrong answers on the whole layer, and the words that must name each mistake."""

import numpy as np

from msa_ref import MSAConfig


def third_lane_forgotten(cache, k, v, index_k):
    cache.append(k, v, np.zeros_like(index_k))


def one_page_for_all(cache, k, v, index_k):
    cache.append(k, v, index_k)
    cache.block_table[:] = cache.block_table[0]


def length_left(cache, k, v, index_k):
    before = cache.length
    cache.append(k, v, index_k)
    cache.length = before


def block_for_a_page(cache, sequence, group, block):
    size = cache.config.block_size
    stop = min(size, cache.length - block * size)
    return cache.k_pages[block, group, :stop], cache.v_pages[block, group, :stop]


def uncut(cache, sequence, group, block):
    page = cache.block_table[sequence, block]
    return cache.k_pages[page, group], cache.v_pages[page, group]


def pages_of_sequence_0(cache, sequence, group, block):
    return cache.load_block(0, group, block)


def left_as_they_are(x, rotary_dim):
    return x


def all_channels_reordered(x, rotary_dim):
    return np.concatenate([x[..., 0::2], x[..., 1::2]], axis=-1)


def the_way_back(x, rotary_dim):
    halves = x[..., :rotary_dim].reshape(*x.shape[:-1], 2, rotary_dim // 2)
    neighbours = halves.swapaxes(-1, -2).reshape(*x.shape[:-1], rotary_dim)
    return np.concatenate([neighbours, x[..., rotary_dim:]], axis=-1)


def length_alone(cache, count):
    cache.length -= count


def page_of_a_partial_block_given_away(cache, count):
    cache.length -= count
    cache.block_table[:, cache.length // cache.config.block_size :] = -1


def first_sequence_alone(cache, count):
    cache.length -= count
    cache.block_table[0, -(-cache.length // cache.config.block_size) :] = -1


def within_the_budget():
    return MSAConfig(6, 2, 10, 12, 5, 4), 3, 19


def whole_blocks():
    return MSAConfig(6, 2, 10, 12, 5, 4), 3, 40


def one_sequence():
    return MSAConfig(6, 2, 10, 12, 5, 4), 1, 37


def equal_dims():
    return MSAConfig(6, 2, 10, 10, 5, 4), 3, 37


WRONG = {
    "append": [
        (third_lane_forgotten, "is not in the lane of index keys"),
        (one_page_for_all, "block_table is wrong"),
        (length_left, "cache.length is wrong"),
    ],
    "load_block": [
        (block_for_a_page, "block_table says where it lives"),
        (uncut, "behind the last stored token"),
        (pages_of_sequence_0, "another page of the pool"),
    ],
    "to_halves": [
        (left_as_they_are, "neighbours are still neighbours"),
        (all_channels_reordered, "channels that do not rotate stay where they are"),
        (the_way_back, "that is the way back"),
    ],
    "take_back": [
        (length_alone, "pages of empty blocks are free again"),
        (page_of_a_partial_block_given_away, "still holds a token keeps its page"),
        (first_sequence_alone, "sequence 1's row"),
    ],
    "revealing_sizes": [
        (within_the_budget, "index keys do not matter"),
        (whole_blocks, "a partial last block"),
        (one_sequence, "cannot be mixed up"),
        (equal_dims, "head_dim and index_dim"),
    ],
}
