"""Wrong answers to the exercises of the lesson on the index branch."""

import math

import numpy as np

from msa_ref import blocks


def heads_and_tokens_mixed(x, w_iq, w_ik, num_groups):
    return (x @ w_iq).reshape(1, num_groups, len(x), -1), (x @ w_ik)[None, None]


def tokens_before_heads(x, w_iq, w_ik, num_groups):
    return (x @ w_iq).reshape(1, len(x), num_groups, -1), (x @ w_ik)[None, None]


def a_key_head_for_every_group(x, w_iq, w_ik, num_groups):
    index_q = (x @ w_iq).reshape(1, len(x), num_groups, -1).swapaxes(1, 2)
    return index_q, np.repeat((x @ w_ik)[None, None], num_groups, axis=1)


def _tokens(index_q, index_k, scale=None):
    scale = index_q.shape[-1] ** -0.5 if scale is None else scale
    scores = index_q @ index_k.swapaxes(-1, -2) * scale
    positions = blocks.query_positions(index_q.shape[2], index_k.shape[2])
    return scores, np.arange(index_k.shape[2]) <= positions[:, None]


def _pool(scores, block_size, pool=np.maximum):
    return pool.reduceat(scores, np.arange(0, scores.shape[-1], block_size), axis=-1)


def mask_after_the_max(index_q, index_k, block_size):
    scores, seen = _tokens(index_q, index_k)
    some = _pool(seen, block_size, np.logical_or)
    return np.where(some, _pool(scores, block_size), -np.inf)


def no_mask(index_q, index_k, block_size):
    return _pool(_tokens(index_q, index_k)[0], block_size)


def not_scaled(index_q, index_k, block_size):
    scores, seen = _tokens(index_q, index_k, 1.0)
    return _pool(np.where(seen, scores, -np.inf), block_size)


def queries_counted_from_zero(index_q, index_k, block_size):
    scores, _ = _tokens(index_q, index_k)
    seen = np.arange(index_k.shape[2]) <= np.arange(index_q.shape[2])[:, None]
    return _pool(np.where(seen, scores, -np.inf), block_size)


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


def scores_add_up(needle, filler):
    return math.floor(needle) + 1


def height_alone(needle, filler):
    return math.floor(math.exp(needle)) + 1


def a_tie_is_enough(needle, filler):
    return math.ceil(math.exp(needle - filler))


def work_alone(num_heads, num_kv_heads, head_dim, key_bytes, ratio):
    return 2 * num_heads * head_dim // (num_kv_heads * ratio)


def bytes_alone(num_heads, num_kv_heads, head_dim, key_bytes, ratio):
    return 4 * num_kv_heads * head_dim // (key_bytes * ratio)


WRONG = {
    "project_index": [
        (heads_and_tokens_mixed, "into heads first"),
        (tokens_before_heads, "heads come before tokens"),
        (a_key_head_for_every_group, "the key has one"),
    ],
    "block_scores": [
        (mask_after_the_max, "mask the tokens before the max"),
        (no_mask, "wholly in the future"),
        (not_scaled, "raw dot products"),
        (queries_counted_from_zero, "the queries are the last tokens"),
    ],
    "winning_token": [
        (place_inside_the_block, "not of the block"),
        (hidden_block_names_a_future_token, "no token of that block is visible"),
        (last_token_wins_a_tie, "the first, 1"),
    ],
    "crowd_that_wins": [
        (scores_add_up, "scores do not"),
        (height_alone, "how far the needle is above"),
        (a_tie_is_enough, "not just come close or tie"),
    ],
    "widest_index": [
        (work_alone, "its bytes do not"),
        (bytes_alone, "its work does not"),
    ],
}
