"""Known wrong answers to the exercises of the lesson on dense attention."""

import numpy as np


def visible(rows, keys):
    return np.arange(keys) <= np.arange(keys - rows, keys)[:, None]


def softmax(scores):
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def hidden_as_zero(scores):
    return np.where(visible(*scores.shape), scores, 0)


def hidden_from_the_top_left(scores):
    rows, keys = scores.shape
    return np.where(np.arange(keys) <= np.arange(rows)[:, None], scores, -np.inf)


def own_token_hidden(scores):
    rows, keys = scores.shape
    return np.where(np.arange(keys) < np.arange(keys - rows, keys)[:, None], scores, -np.inf)


def weigh_without_peak(scores):
    exponentials = np.exp(scores)
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def weigh_all_rows_together(scores):
    exponentials = np.exp(scores - scores.max())
    return exponentials / exponentials.sum()


def weigh_in_base_two(scores):
    exponentials = 2 ** (scores - scores.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def attend_without_scale(q, k, v):
    return softmax(np.where(visible(len(q), len(k)), q @ k.T, -np.inf)) @ v


def attend_to_everything(q, k, v):
    return softmax(q @ k.T / np.sqrt(k.shape[1])) @ v


def attend_masked_late(q, k, v):
    return softmax(q @ k.T / np.sqrt(k.shape[1])) * visible(len(q), len(k)) @ v


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


def copies_times_weight(weight, copies):
    return copies * weight


def copies_change_nothing(weight, copies):
    return weight


def one_of_the_copies(weight, copies):
    return weight / (copies * weight + 1 - weight)


def keys_alone(num_heads, head_dim, context, budget):
    fits = [n for n in range(1, num_heads + 1) if num_heads % n == 0]
    return max((n for n in fits if n * head_dim * context * 2 <= budget), default=0)


def any_number_of_heads(num_heads, head_dim, context, budget):
    return min(num_heads, budget // (4 * head_dim * context))


def one_is_always_kept(num_heads, head_dim, context, budget):
    fits = [n for n in range(1, num_heads + 1) if num_heads % n == 0]
    return max((n for n in fits if n * head_dim * context * 4 <= budget), default=1)


WRONG = {
    "hide_future": [
        (hidden_as_zero, "that is not hidden"),
        (hidden_from_the_top_left, "the queries are the last rows"),
        (own_token_hidden, "visible keys"),
    ],
    "weigh": [
        (weigh_without_peak, "subtract each row's highest score"),
        (weigh_all_rows_together, "each row has a sum of its own"),
        (weigh_in_base_two, "e**score"),
    ],
    "attend": [
        (attend_without_scale, "not divided by the square root"),
        (attend_to_everything, "keys of the future were read"),
        (attend_masked_late, "changes with a token that comes after it"),
    ],
    "window_mask": [
        (window_one_too_wide, "visible keys, got"),
        (window_from_the_top, "row r is at S - T + r"),
        (window_on_both_sides, "expected no key after that"),
    ],
    "share_of_copies": [
        (copies_times_weight, "the others shrink"),
        (copies_change_nothing, "every copy adds its own exponential"),
        (one_of_the_copies, "the share of one copy"),
    ],
    "choose_kv_heads": [
        (keys_alone, "2 per number"),
        (any_number_of_heads, "does not divide"),
        (one_is_always_kept, "keys and values of 1 take"),
    ],
}
