"""Known wrong answers to the exercises of the cost lesson."""

import numpy as np

from msa_ref import M3, cost

DENSE = cost.dense_model(M3)


def full_budget_for_every_query(new_tokens, context, block_size, top_k):
    return new_tokens * block_size * top_k


def local_block_read_whole(new_tokens, context, block_size, top_k):
    positions = np.arange(context - new_tokens, context)
    return int(np.minimum(positions + 1, block_size * top_k).sum())


def local_block_on_top_of_k(new_tokens, context, block_size, top_k):
    local, inside = np.divmod(np.arange(context - new_tokens, context), block_size)
    return int((inside + 1 + np.minimum(local, top_k) * block_size).sum())


def first_tokens_of_the_context(new_tokens, context, block_size, top_k):
    local, inside = np.divmod(np.arange(new_tokens), block_size)
    return int((inside + 1 + np.minimum(local, top_k - 1) * block_size).sum())


def both_added_up(flops, num_bytes, peak, bandwidth):
    return flops / peak + num_bytes / bandwidth


def the_shorter_one(flops, num_bytes, peak, bandwidth):
    return min(flops / peak, num_bytes / bandwidth)


def arithmetic_alone(flops, num_bytes, peak, bandwidth):
    return flops / peak


def _flops(context):
    return [cost.prefill_flops(spec, context, context).layer for spec in (DENSE, M3)]


def mean_of_ratios(contexts):
    return sum(dense / msa for dense, msa in map(_flops, contexts)) / len(contexts)


def one_long_chat(contexts):
    dense, msa = _flops(sum(contexts))
    return dense / msa


def msa_over_dense(contexts):
    dense, msa = map(sum, zip(*map(_flops, contexts)))
    return msa / dense


def always_the_cards(context):
    return "index_dim"


def judged_by_flops(context):
    return "index_dim" if 1024 * context > 32_768 * 2048 else "top_k"


def cards_forgotten(num_bytes, context):
    return 2, int(num_bytes) // (2048 * 128)


def always_small_cards(num_bytes, context):
    return 1, int(num_bytes - 128 * context) // (2048 * 128)


def only_sixteen(num_bytes, context):
    return (2 if num_bytes >= 256 * context + 16 * 2048 * 128 else 1), 16


WRONG = {
    "pairs_read": [
        (full_budget_for_every_query, "early queries have less to read"),
        (local_block_read_whole, "only up to the query"),
        (local_block_on_top_of_k, "the local block is one of the k"),
        (first_tokens_of_the_context, "the last of the context"),
    ],
    "least_seconds": [
        (both_added_up, "not their sum"),
        (the_shorter_one, "the shorter of the two"),
        (arithmetic_alone, "the other is not done yet"),
    ],
    "fleet_saving": [
        (mean_of_ratios, "a mean of ratios"),
        (one_long_chat, "each on its own"),
        (msa_over_dense, "MSA over dense"),
    ],
    "best_to_halve": [
        (always_the_cards, "expected 'top_k', got 'index_dim'"),
        (judged_by_flops, "expected 'index_dim', got 'top_k'"),
    ],
    "fit_budget": [
        (cards_forgotten, "that reads"),
        (always_small_cards, "2-byte cards leave room"),
        (only_sixteen, "more blocks fit"),
    ],
}
