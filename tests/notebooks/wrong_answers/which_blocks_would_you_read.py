"""Known wrong answers to the exercises of the lesson on guessing rules."""

import math

import numpy as np


def blocks(k, block_size):
    return [k[i : i + block_size] for i in range(0, len(k), block_size)]


def mean_of_full_blocks(q, k, block_size):
    return np.array([chunk.sum(axis=0) @ q / block_size for chunk in blocks(k, block_size)])


def sum_of_keys(q, k, block_size):
    return np.array([chunk.sum(axis=0) @ q for chunk in blocks(k, block_size)])


def highest_score(q, k, block_size):
    return np.array([(chunk @ q).max() for chunk in blocks(k, block_size)])


def highest_channels(q, k, block_size):
    return np.array([chunk.max(axis=0) @ q for chunk in blocks(k, block_size)])


def absolute_values(q, k, block_size):
    return np.array([np.abs(chunk).max(axis=0) @ np.abs(q) for chunk in blocks(k, block_size)])


def parts_of(q, k, block_size, parts):
    return [
        [part.mean(axis=0) @ q for part in blocks(chunk, block_size // parts)]
        for chunk in blocks(k, block_size)
    ]


def mean_of_parts(q, k, block_size, parts):
    return np.array([np.mean(row) for row in parts_of(q, k, block_size, parts)])


def one_mean(q, k, block_size, parts):
    return np.array([chunk.mean(axis=0) @ q for chunk in blocks(k, block_size)])


def every_token(q, k, block_size, parts):
    return highest_score(q, k, block_size)


def cold_tokens_forgotten(block_size, warm, cold):
    return block_size * warm, np.log(block_size * np.exp(warm) - (block_size - 1) * np.exp(cold))


def mass_of_scores(block_size, warm, cold):
    by_mean = block_size * warm - (block_size - 1) * cold
    return by_mean, by_mean


def mass_without_the_cold(block_size, warm, cold):
    return block_size * warm - (block_size - 1) * cold, np.log(block_size) + warm


def spread(worse, better):
    return math.sqrt(worse * (1 - worse)) + math.sqrt(better * (1 - better))


def one_standard_error(worse, better):
    return math.floor((spread(worse, better) / (better - worse)) ** 2) + 1


def squares_added(worse, better):
    both = worse * (1 - worse) + better * (1 - better)
    return math.floor(1.96**2 * both / (better - worse) ** 2) + 1


def rounded_down(worse, better):
    return math.floor((1.96 * spread(worse, better) / (better - worse)) ** 2)


WRONG = {
    "mean_key_scores": [
        (mean_of_full_blocks, "the last block is ragged"),
        (sum_of_keys, "not their mean"),
        (highest_score, "needs every key"),
    ],
    "bound_scores": [
        (highest_channels, "where q is negative"),
        (absolute_values, "promises more than the box holds"),
        (highest_score, "not the keys"),
    ],
    "part_mean_scores": [
        (mean_of_parts, "the highest counts"),
        (one_mean, "one mean for the whole block"),
        (every_token, "each part has one mean key"),
    ],
    "loud_enough": [
        (cold_tokens_forgotten, "pull its mean down"),
        (mass_of_scores, "mass adds exponentials"),
        (mass_without_the_cold, "help a little"),
    ],
    "needles_to_hide": [
        (one_standard_error, "1.96 standard errors"),
        (squares_added, "the half widths add up"),
        (rounded_down, "still touch"),
    ],
}
