"""Known wrong answers to the exercises of Measured."""

import numpy as np

from msa_ref import M3, cost


def _bytes(batch, context, index_bytes):
    index = batch * M3.attention.index_dim * index_bytes * context
    return index, cost.decode_bytes(M3, context, batch, index_bytes).layer - index


def index_keys_forgotten(batch, context, index_bytes, bandwidth):
    return 1e6 * _bytes(batch, context, index_bytes)[1] / bandwidth


def an_index_key_a_group(batch, context, index_bytes, bandwidth):
    index, main = _bytes(batch, context, index_bytes)
    return 1e6 * (M3.num_kv_heads * index + main) / bandwidth


def values_forgotten(batch, context, index_bytes, bandwidth):
    index, main = _bytes(batch, context, index_bytes)
    return 1e6 * (index + main / 2) / bandwidth


def one_cache_for_the_batch(batch, context, index_bytes, bandwidth):
    return 1e6 * sum(_bytes(1, context, index_bytes)) / bandwidth


def in_milliseconds(batch, context, index_bytes, bandwidth):
    return 1e3 * sum(_bytes(batch, context, index_bytes)) / bandwidth


def _times(rows, phase, batch, context, shape, **msa):
    case = [
        row for row in rows
        if (row["phase"], row["batch"], row["context"]) == (phase, batch, context)
    ]  # fmt: skip
    dense = [row["ms"] for row in case if row["impl"] != "msa" and row["shape"] in shape]
    key = {"impl": "msa", "piece": "total", "index_dtype": "bf16"} | msa
    key.setdefault("selection", "corr" if phase == "prefill" else None)
    sparse = [row["ms"] for row in case if all(row[name] == key[name] for name in key)]
    return dense, sparse[0]


def against_the_slowest(rows, phase, batch, context, shape):
    dense, sparse = _times(rows, phase, batch, context, [shape])
    return max(dense) / sparse


def upside_down(rows, phase, batch, context, shape):
    dense, sparse = _times(rows, phase, batch, context, [shape])
    return sparse / min(dense)


def any_shape(rows, phase, batch, context, shape):
    dense, sparse = _times(rows, phase, batch, context, ["M2", "M3"])
    return min(dense) / sparse


def scan_for_the_total(rows, phase, batch, context, shape):
    dense, sparse = _times(rows, phase, batch, context, [shape], piece="score")
    return min(dense) / sparse


def absent_is_zero(rows, phase, batch, context, shape):
    dense, sparse = _times(rows, phase, batch, context, [shape])
    return min(dense, default=0.0) / sparse


def over_the_context(contexts, scan_ms, total_ms):
    shares = np.divide(scan_ms, total_ms)
    return None if max(shares) < 0.5 else float(np.interp(0.5, shares, contexts))


def next_measured(contexts, scan_ms, total_ms):
    shares = np.divide(scan_ms, total_ms)
    return next((n for n, share in zip(contexts, shares) if share >= 0.5), None)


def half_of_the_rest(contexts, scan_ms, total_ms):
    shares = np.divide(scan_ms, np.subtract(total_ms, scan_ms))
    return None if max(shares) < 0.5 else float(2 ** np.interp(0.5, shares, np.log2(contexts)))


def always_somewhere(contexts, scan_ms, total_ms):
    shares = np.divide(scan_ms, total_ms)
    return float(2 ** np.interp(0.5, shares, np.log2(contexts)))


WRONG = {
    "16.1": [
        (index_keys_forgotten, "the index keys are read as well"),
        (an_index_key_a_group, "all groups share one index key"),
        (values_forgotten, "keys and values, not keys alone"),
        (one_cache_for_the_batch, "a cache of its own"),
        (in_milliseconds, "in microseconds"),
    ],
    "16.2": [
        (against_the_slowest, "the fastest dense kernel"),
        (upside_down, "MSA over dense"),
        (any_shape, "of the shape asked for"),
        (scan_for_the_total, "the row of its total"),
        (absent_is_zero, "takes None"),
    ],
    "16.3": [
        (over_the_context, "over their logarithm"),
        (next_measured, "between two measured contexts"),
        (half_of_the_rest, "not half of the rest"),
        (always_somewhere, "never reaches a half"),
    ],
}
