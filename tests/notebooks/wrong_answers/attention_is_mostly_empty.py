"""Known wrong answers to the exercises on how empty attention is."""

import numpy as np


def keys_that_fall_short(weights, share):
    return int((np.cumsum(np.sort(weights)[::-1]) < share).sum())


def keys_beyond_the_share(weights, share):
    return int((np.cumsum(np.sort(weights)[::-1]) <= share).sum()) + 1


def keys_in_text_order(weights, share):
    return int((np.cumsum(weights) < share).sum()) + 1


def keys_lightest_first(weights, share):
    return int((np.cumsum(np.sort(weights)) < share).sum()) + 1


def split(weights, block_size):
    return [weights[i : i + block_size] for i in range(0, len(weights), block_size)]


def whole_blocks_alone(weights, block_size):
    count = len(weights) // block_size
    return weights[: count * block_size].reshape(count, block_size).sum(axis=1)


def mean_of_blocks(weights, block_size):
    return np.array([chunk.mean() for chunk in split(weights, block_size)])


def highest_of_blocks(weights, block_size):
    return np.array([chunk.max() for chunk in split(weights, block_size)])


def first_blocks(weights, block_size, top_k):
    count = block_size * top_k
    return weights[:count].sum(), np.sort(weights)[::-1][:count].sum()


def ragged_block_dropped(weights, block_size, top_k):
    whole = weights[: max(1, len(weights) // block_size) * block_size]
    mass = sorted((chunk.sum() for chunk in split(whole, block_size)), reverse=True)
    count = block_size * top_k
    return sum(mass[:top_k]), np.sort(weights)[::-1][:count].sum()


def ragged_block_counted_as_full(weights, block_size, top_k):
    mass = sorted((chunk.sum() for chunk in split(weights, block_size)), reverse=True)
    return sum(mass[:top_k]), np.sort(weights)[::-1][: block_size * top_k].sum()


def as_many_keys_as_blocks(weights, block_size, top_k):
    mass = sorted((chunk.sum() for chunk in split(weights, block_size)), reverse=True)
    return sum(mass[:top_k]), np.sort(weights)[::-1][:top_k].sum()


def rounded_down(num_keys, block_size, num_blocks):
    return num_keys // block_size, min(num_keys, num_blocks)


def a_block_per_key(num_keys, block_size, num_blocks):
    return -(-num_keys // block_size), num_keys


def all_blocks(num_keys, block_size, num_blocks):
    return -(-num_keys // block_size), num_blocks


def head_that_is_served_well():
    return "layer 18 head 6", 1


def head_made_by_hand():
    return "flat (made)", 18


def head_with_four_blocks():
    return "layer 0 head 2", 4


def head_with_all_blocks():
    return "layer 0 head 0", 20


WRONG = {
    "keys_needed": [
        (keys_that_fall_short, "one more is needed"),
        (keys_beyond_the_share, "exactly the share is enough"),
        (keys_in_text_order, "not the first in the text"),
        (keys_lightest_first, "heaviest first"),
    ],
    "mass_of_blocks": [
        (whole_blocks_alone, "the last block is a block too"),
        (mean_of_blocks, "a sum, not a mean"),
        (highest_of_blocks, "not the highest weight"),
    ],
    "blocks_against_keys": [
        (first_blocks, "not the best"),
        (ragged_block_dropped, "the ragged last block is a block too"),
        (ragged_block_counted_as_full, "tokens: 1, not 1 x 2"),
        (as_many_keys_as_blocks, "as many keys as these blocks have tokens: 2, not 1"),
    ],
    "fewest_and_most_blocks": [
        (rounded_down, "the keys that are left over need a block as well"),
        (a_block_per_key, "there are only 20 blocks"),
        (all_blocks, "no key needs two"),
    ],
    "head_that_breaks": [
        (head_that_is_served_well, "they hold 97%"),
        (head_made_by_hand, "made by hand"),
        (head_with_four_blocks, "expected the least k that holds 90%, 17; got 4"),
        (head_with_all_blocks, "a smaller k would do"),
    ],
}
