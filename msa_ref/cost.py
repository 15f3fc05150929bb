"""Closed-form costs: FLOPs, bytes and cache size, and the roofline they meet.

FLOPs count attention and its selector alone (2 per multiply-add; projections, norms and softmax
left out). Bytes are those of bf16 arrays unless said. Source: MSA paper, section 3.3 and Eq. 12.
SYSTEMS has one layer of each relative of MSA, MODELS whole models: `msa_ref.systems_cost`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from msa_ref.checks import check_int, check_positive
from msa_ref.config import ModelSpec, check_spec
from msa_ref.systems_cost import BF16_BYTES, MODELS, SYSTEMS, LayerCost, ModelCost

__all__ = [
    "BF16_BYTES",
    "H100",
    "MODELS",
    "SYSTEMS",
    "Cost",
    "LayerCost",
    "Machine",
    "ModelCost",
    "Work",
    "cache_bytes_per_token",
    "check_context",
    "decode_bytes",
    "decode_flops",
    "decode_pieces",
    "dense_model",
    "prefill_bytes",
    "prefill_flops",
    "prefill_pieces",
    "roofline_seconds",
    "selected_keys",
    "visible_keys",
]


FLOAT32_BYTES = INT32_BYTES = 4
# The kernels keep one maximum of so many block scores, and search those maxima first.
BLOCKS_PER_MAX = 16


class Cost(NamedTuple):
    """A cost in two sizes: of one main layer (MSA where the model has it), and of the model."""

    layer: float
    model: float


class Work(NamedTuple):
    """What one kernel has to do at least: FLOPs, and bytes that it reads or writes."""

    flops: float
    bytes: float


@dataclass(frozen=True)
class Machine:
    """A processor as a roofline sees it: peak FLOP/s in bf16, and memory bandwidth in bytes/s."""

    name: str
    peak_flops: float
    bandwidth: float


H100 = Machine("H100 SXM", 989e12, 3.35e12)


def visible_keys(new_tokens: int, context: int) -> int:
    """Keys that the last `new_tokens` of `context` tokens see in all under the causal mask."""
    check_context(new_tokens, context)
    return new_tokens * (2 * context - new_tokens + 1) // 2


def selected_keys(spec: ModelSpec, new_tokens: int, context: int) -> int:
    """Keys those queries read in all: top_k blocks each, the partial local one included.

    Raises ValueError for a model without sparse attention.
    """
    check_spec(spec)
    check_context(new_tokens, context)
    if spec.attention is None:
        raise ValueError(f"spec: got {spec.name}, all dense, takes one with sparse attention")
    positions = np.arange(context - new_tokens, context)
    local, inside_local = np.divmod(positions, spec.attention.block_size)
    others = np.minimum(local, spec.attention.top_k - 1)
    return int((inside_local + 1 + others * spec.attention.block_size).sum())


def prefill_flops(spec: ModelSpec, new_tokens: int, context: int, formula: str = "exact") -> Cost:
    """FLOPs to attend with `new_tokens` queries to `context` keys, the new ones included.

    "exact" counts what the causal mask leaves. "paper" is the paper's closed form: half a square
    for what is dense, and top_k whole blocks for every query, early ones too, so it overcounts
    MSA below about 16K tokens. Raises ValueError on another formula or more queries than keys.
    """
    check_spec(spec)
    check_context(new_tokens, context)
    if formula not in ("exact", "paper"):
        raise ValueError(f'formula: got {formula!r}, takes "exact" or "paper"')
    if formula == "exact":
        pairs = visible_keys(new_tokens, context)
    else:
        pairs = _paper_pairs(new_tokens, context)
    dense = 4 * spec.num_heads * spec.head_dim * pairs
    if spec.attention is None:
        return _cost(spec, dense, dense)
    if formula == "exact":
        main_pairs = selected_keys(spec, new_tokens, context)
    else:
        main_pairs = new_tokens * spec.attention.budget
    index = 2 * spec.num_kv_heads * spec.attention.index_dim * pairs
    return _cost(spec, dense, index + 4 * spec.num_heads * spec.head_dim * main_pairs)


def decode_flops(spec: ModelSpec, context: int) -> Cost:
    """FLOPs of one decode step, one sequence, the newest of `context` tokens being the query."""
    return prefill_flops(spec, 1, context)


def decode_bytes(
    spec: ModelSpec, context: int, batch: int = 1, index_bytes: float = BF16_BYTES
) -> Cost:
    """Bytes of cache that one decode step reads for `batch` sequences of `context` tokens.

    `index_bytes` is the size of one index-key channel: 2 in bf16, 1 in fp8.
    """
    check_spec(spec)
    check_int("batch", batch, 1)
    check_int("context", context, 1)
    check_positive("index_bytes", index_bytes)
    dense = _kv_bytes(spec) * context
    if spec.attention is None:
        return _cost(spec, batch * dense, batch * dense)
    index = spec.attention.index_dim * index_bytes * context
    main = _kv_bytes(spec) * selected_keys(spec, 1, context)
    return _cost(spec, batch * dense, batch * (index + main))


def prefill_bytes(spec: ModelSpec, new_tokens: int, context: int) -> Cost:
    """Fewest bytes a prefill moves: queries in, outputs out, and every key and value once."""
    check_spec(spec)
    check_context(new_tokens, context)
    queries = 2 * spec.num_heads * spec.head_dim * BF16_BYTES * new_tokens
    keys = cache_bytes_per_token(spec).layer * context
    dense_keys = _kv_bytes(spec) * context
    index_queries = 0
    if spec.attention is not None:
        index_queries = spec.num_kv_heads * spec.attention.index_dim * BF16_BYTES * new_tokens
    return _cost(spec, queries + dense_keys, queries + index_queries + keys)


def prefill_pieces(spec: ModelSpec, new_tokens: int, context: int) -> dict[str, Work]:
    """Work of one layer's prefill: "total", and with MSA "score", "select", ... "combine".

    The total is the paper's formula and the bytes of `prefill_bytes`. A piece moves its own inputs
    and outputs, each once; partial outputs count in "combine", which reads them. A dense layer has
    the total alone.
    """
    flops = prefill_flops(spec, new_tokens, context, "paper").layer
    total = Work(flops, prefill_bytes(spec, new_tokens, context).layer)
    if spec.attention is None:
        return {"total": total}
    config = spec.attention
    main = 4 * spec.num_heads * spec.head_dim * new_tokens * config.budget
    rows = spec.num_kv_heads * new_tokens
    ids = rows * config.top_k * INT32_BYTES
    index = config.index_dim * (context + rows) * BF16_BYTES
    pairs = spec.num_kv_heads * _paper_pairs(new_tokens, context)
    maxima = pairs / config.block_size / BLOCKS_PER_MAX * FLOAT32_BYTES
    outputs = spec.num_heads * spec.head_dim * new_tokens * BF16_BYTES
    return {
        "total": total,
        "score": Work(flops - main, index + maxima),
        "select": Work(0, maxima + ids),
        "plan": Work(0, 3 * ids),  # reads the ids, writes the lists and each id's place in them
        "attend": Work(main, prefill_bytes(dense_model(spec), new_tokens, context).layer),
        "combine": Work(0, (config.top_k + 1) * outputs),
    }


def decode_pieces(
    spec: ModelSpec,
    context: int,
    batch: int = 1,
    index_bytes: float = BF16_BYTES,
    splits: int = 1,
) -> dict[str, Work]:
    """Work of one layer's decode step: "total", and with MSA "score", "select", ... "combine".

    Bytes are those of `decode_bytes`: queries, outputs and block scores are small beside the cache.
    "combine" reads `splits` partial outputs of each head in float32.
    """
    flops = batch * prefill_flops(spec, 1, context, "paper").layer
    num_bytes = decode_bytes(spec, context, batch, index_bytes).layer
    if spec.attention is None:
        return {"total": Work(flops, num_bytes)}
    config = spec.attention
    main = batch * 4 * spec.num_heads * spec.head_dim * config.budget
    index = batch * context * config.index_dim * index_bytes
    rows = batch * spec.num_kv_heads
    maxima = rows * context / config.block_size / BLOCKS_PER_MAX * FLOAT32_BYTES
    outputs = batch * spec.num_heads * spec.head_dim
    return {
        "total": Work(flops, num_bytes),
        "score": Work(flops - main, index),
        "select": Work(0, maxima + rows * config.top_k * INT32_BYTES),
        "attend": Work(main, num_bytes - index),
        "combine": Work(0, outputs * (splits * FLOAT32_BYTES + BF16_BYTES)),
    }


def dense_model(spec: ModelSpec) -> ModelSpec:
    """The same model with dense attention in every layer."""
    check_spec(spec)
    return replace(spec, attention=None, dense_layers=spec.layers)


def cache_bytes_per_token(spec: ModelSpec) -> Cost:
    """Bytes that one token adds to the cache: MSA stores its index key on top of K and V."""
    check_spec(spec)
    index = 0 if spec.attention is None else spec.attention.index_dim * BF16_BYTES
    return _cost(spec, _kv_bytes(spec), _kv_bytes(spec) + index)


def roofline_seconds(flops: float, num_bytes: float, machine: Machine) -> float:
    """Seconds below which no program can go: the longer of computing and moving."""
    return max(flops / machine.peak_flops, num_bytes / machine.bandwidth)


def check_context(new_tokens: int, context: int) -> None:
    """Raise unless the new tokens are the last of the context."""
    check_int("new_tokens", new_tokens, 1)
    check_int("context", context, 1)
    if new_tokens > context:
        raise ValueError(f"new_tokens: got {new_tokens}, takes at most the context, {context}")


def _paper_pairs(new_tokens: int, context: int) -> float:
    """Pairs of a query and a visible key, as the paper counts them: half a square."""
    return new_tokens * context - new_tokens**2 / 2


def _kv_bytes(spec: ModelSpec) -> int:
    return 2 * spec.num_kv_heads * spec.head_dim * BF16_BYTES


def _cost(spec: ModelSpec, dense_layer: float, main_layer: float) -> Cost:
    sparse_layers = spec.layers - spec.dense_layers
    model = spec.dense_layers * dense_layer + sparse_layers * main_layer
    return Cost(main_layer, model)
