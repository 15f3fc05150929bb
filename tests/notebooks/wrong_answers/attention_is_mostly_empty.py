"""Known wrong answers to the exercises of lesson 03."""

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


def best_scores(q, k, block_size):
    return np.array([(chunk @ q).max() for chunk in split(k, block_size)])


def gap_of_highest_channels(q, k, block_size):
    bound = np.array([chunk.max(axis=0) @ q for chunk in split(k, block_size)])
    return bound - best_scores(q, k, block_size)


def gap_of_absolute_values(q, k, block_size):
    bound = np.array([np.abs(chunk).max(axis=0) @ np.abs(q) for chunk in split(k, block_size)])
    return bound - best_scores(q, k, block_size)


def gap_of_the_best_key(q, k, block_size):
    return best_scores(q, k, block_size) - best_scores(q, k, block_size)


WRONG = {
    "3.1": [
        (keys_that_fall_short, "one more is needed"),
        (keys_beyond_the_share, "exactly the share is enough"),
        (keys_in_text_order, "not the first in the text"),
        (keys_lightest_first, "heaviest first"),
    ],
    "3.2": [
        (first_blocks, "not the best"),
        (ragged_block_dropped, "the ragged last block is a block too"),
        (ragged_block_counted_as_full, "tokens: 1, not 1 x 2"),
        (as_many_keys_as_blocks, "as many keys as these blocks have tokens: 2, not 1"),
    ],
    "3.3": [
        (gap_of_highest_channels, "never below a real score"),
        (gap_of_absolute_values, "a block of one key"),
        (gap_of_the_best_key, "not the keys"),
    ],
}
