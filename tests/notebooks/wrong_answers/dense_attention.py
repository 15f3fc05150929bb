"""Known wrong answers to the exercises of lesson 02."""

import numpy as np


def head_dealt_out(head, num_heads, num_kv_heads):
    return head % num_kv_heads


def head_divided_by_kv_heads(head, num_heads, num_kv_heads):
    return head // num_kv_heads


def head_as_fraction(head, num_heads, num_kv_heads):
    return head * num_kv_heads / num_heads


def softmax_mean(scores, v):
    weights = np.exp(scores - scores.max())
    return weights @ v / weights.sum()


def row_without_own_token(q_row, k, v, position):
    visible = slice(max(position, 1))
    return softmax_mean(k[visible] @ q_row * k.shape[1] ** -0.5, v[visible])


def row_of_all_keys(q_row, k, v, position):
    return softmax_mean(k @ q_row * k.shape[1] ** -0.5, v)


def row_masked_after_softmax(q_row, k, v, position):
    scores = k @ q_row * k.shape[1] ** -0.5
    weights = np.exp(scores - scores.max())
    weights = weights / weights.sum() * (np.arange(len(k)) <= position)
    return weights @ v


def row_without_scale(q_row, k, v, position):
    return softmax_mean(k[: position + 1] @ q_row, v[: position + 1])


def row_without_peak(q_row, k, v, position):
    weights = np.exp(k[: position + 1] @ q_row * k.shape[1] ** -0.5)
    return weights @ v[: position + 1] / weights.sum()


def window_one_too_wide(num_queries, num_keys, window):
    positions = np.arange(num_keys - num_queries, num_keys)[:, None]
    keys = np.arange(num_keys)
    return (keys <= positions) & (keys >= positions - window)


def window_from_the_top(num_queries, num_keys, window):
    positions = np.arange(num_queries)[:, None]
    keys = np.arange(num_keys)
    return (keys <= positions) & (keys > positions - window)


def window_on_both_sides(num_queries, num_keys, window):
    positions = np.arange(num_keys - num_queries, num_keys)[:, None]
    return np.abs(np.arange(num_keys) - positions) < window


WRONG = {
    "2.1": [
        (head_dealt_out, "not dealt out"),
        (head_divided_by_kv_heads, "divide by G"),
        (head_as_fraction, "integer"),
    ],
    "2.2": [
        (row_without_own_token, "own token is missing"),
        (row_of_all_keys, "a token of the future was read"),
        (row_masked_after_softmax, "a token of the future was read"),
        (row_without_scale, "not scaled"),
        (row_without_peak, "subtract the row's peak"),
    ],
    "2.3": [
        (window_one_too_wide, "takes at most"),
        (window_from_the_top, "row r stands at S - T + r"),
        (window_on_both_sides, "sees the future"),
    ],
}
