"""Wrong answers to lesson 05's exercises."""

import numpy as np


def place_inside_the_block(scores, block, block_size):
    inside = scores[block * block_size : (block + 1) * block_size]
    return -1 if inside.max() == -np.inf else int(inside.argmax())


def hidden_block_names_a_future_token(scores, block, block_size):
    first = block * block_size
    return first + int(scores[first : first + block_size].argmax())


def last_token_wins_a_tie(scores, block, block_size):
    inside = scores[block * block_size : (block + 1) * block_size]
    if inside.max() == -np.inf:
        return -1
    return block * block_size + len(inside) - 1 - int(inside[::-1].argmax())


def hidden_tokens_drag_the_mean_to_minus_infinity(scores, block_size):
    starts = np.arange(0, scores.shape[-1], block_size)
    counts = np.diff(np.append(starts, scores.shape[-1]))
    return np.add.reduceat(scores, starts, axis=-1) / counts


def divides_by_the_block_size(scores, block_size):
    starts = np.arange(0, scores.shape[-1], block_size)
    visible = scores > -np.inf
    total = np.add.reduceat(np.where(visible, scores, 0), starts, axis=-1)
    seen = np.add.reduceat(visible.astype(int), starts, axis=-1) > 0
    return np.where(seen, total / block_size, -np.inf)


def hidden_blocks_score_zero(scores, block_size):
    starts = np.arange(0, scores.shape[-1], block_size)
    visible = scores > -np.inf
    total = np.add.reduceat(np.where(visible, scores, 0), starts, axis=-1)
    return total / np.maximum(np.add.reduceat(visible.astype(int), starts, axis=-1), 1)


def largest_keys_alone(query, key_min, key_max):
    return key_max @ query


def absolute_values(query, key_min, key_max):
    return np.maximum(np.abs(key_min), np.abs(key_max)) @ np.abs(query)


def better_end_of_the_whole_key(query, key_min, key_max):
    return np.maximum(key_min @ query, key_max @ query)


WRONG = {
    "5.1": [
        (place_inside_the_block, "not of the block"),
        (hidden_block_names_a_future_token, "is hidden"),
        (last_token_wins_a_tie, "takes the first"),
    ],
    "5.2": [
        (hidden_tokens_drag_the_mean_to_minus_infinity, "drag the mean"),
        (divides_by_the_block_size, "not by the block size"),
        (hidden_blocks_score_zero, "no visible token"),
    ],
    "5.3": [
        (largest_keys_alone, "below the true best"),
        (absolute_values, "not tight"),
        (better_end_of_the_whole_key, "below the true best"),
    ],
}
