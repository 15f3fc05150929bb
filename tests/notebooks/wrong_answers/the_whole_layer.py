"""Known wrong answers to lesson 08's exercises, and the words that must name each mistake."""

import numpy as np


def block_for_a_page(block_table, sequence, position, block_size):
    return divmod(position, block_size)


def row_of_sequence_0(block_table, sequence, position, block_size):
    block, slot = divmod(position, block_size)
    return block_table[0, block], slot


def slot_before_page(block_table, sequence, position, block_size):
    block, slot = divmod(position, block_size)
    return slot, block_table[sequence, block]


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


WRONG = {
    "8.1": [
        (block_for_a_page, "block_table says in which page it lives"),
        (row_of_sequence_0, "has its own row"),
        (slot_before_page, "the page comes first"),
    ],
    "8.2": [
        (left_as_they_are, "neighbours are still neighbours"),
        (all_channels_reordered, "channels that do not turn stay where they are"),
        (the_way_back, "that is the way back"),
    ],
    "8.3": [
        (length_alone, "pages of empty blocks are free again"),
        (page_of_a_partial_block_given_away, "still holds a token keeps its page"),
        (first_sequence_alone, "sequence 1's row"),
    ],
}
