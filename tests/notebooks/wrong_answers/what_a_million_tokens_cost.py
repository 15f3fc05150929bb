"""Known wrong answers to the exercises of lesson 01."""

from dataclasses import replace

from msa_ref import cost


def full_budget_for_every_query(position, block_size, top_k):
    return block_size * top_k


def own_block_read_whole(position, block_size, top_k):
    return min(position + 1, block_size * top_k)


def own_block_on_top_of_k(position, block_size, top_k):
    own, inside = divmod(position, block_size)
    return min(own, top_k) * block_size + inside + 1


def own_token_forgotten(position, block_size, top_k):
    own, inside = divmod(position, block_size)
    return min(own, top_k - 1) * block_size + inside


def _bytes(spec, context):
    token = 2 * spec.num_kv_heads * spec.head_dim * 2
    return token * context, token * cost.selected_keys(spec, 1, context)


def index_keys_forgotten(spec, context, index_bytes):
    dense, main = _bytes(spec, context)
    return dense / main


def one_index_key_for_each_group(spec, context, index_bytes):
    dense, main = _bytes(spec, context)
    index = spec.num_kv_heads * spec.attention.index_dim * index_bytes * context
    return dense / (index + main)


def values_forgotten(spec, context, index_bytes):
    dense, main = _bytes(spec, context)
    return dense / 2 / (spec.attention.index_dim * index_bytes * context + main / 2)


def always_two_bytes(spec, context, index_bytes):
    dense, main = _bytes(spec, context)
    return dense / (spec.attention.index_dim * 2 * context + main)


def _first(spec, cheaper):
    return next(context for context in range(1, 100_000) if cheaper(context))


def _flops(spec, context, formula):
    dense = replace(spec, attention=None, dense_layers=spec.layers)
    return [cost.prefill_flops(model, context, context, formula).layer for model in (spec, dense)]


def index_scan_forgotten(spec, formula):
    return spec.attention.budget + 1


def formula_not_passed_on(spec, formula):
    def cheaper(context):
        sparse, dense = _flops(spec, context, "exact")
        return sparse < dense

    return _first(spec, cheaper)


def last_context_of_dense(spec, formula):
    def cheaper(context):
        sparse, dense = _flops(spec, context, formula)
        return sparse < dense

    return _first(spec, cheaper) - 1


WRONG = {
    "1.1": [
        (full_budget_for_every_query, "not every query sees k whole blocks"),
        (own_block_read_whole, "read only up to the query"),
        (own_block_on_top_of_k, "counts inside k"),
        (own_token_forgotten, "reads its own token too"),
    ],
    "1.2": [
        (index_keys_forgotten, "the index keys are read as well"),
        (one_index_key_for_each_group, "share one index key"),
        (values_forgotten, "keys and values"),
        (always_two_bytes, "index_bytes was not used"),
    ],
    "1.3": [
        (index_scan_forgotten, "the index scan costs something"),
        (formula_not_passed_on, "pass the formula on"),
        (last_context_of_dense, "MSA must need fewer FLOPs"),
    ],
}
