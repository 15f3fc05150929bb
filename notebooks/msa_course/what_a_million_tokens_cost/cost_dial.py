"""The cost dial: what one attention layer of MiniMax-M3 costs, dense or sparse, at any context."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from msa_ref import cost
from msa_ref.config import M3

DENSE = replace(M3, name="MiniMax-M3, all dense", attention=None, dense_layers=M3.layers)
CONTEXTS = tuple(2**power for power in range(10, 21))
GAMES = ("prefill", "decode", "decode, 1-byte index keys")
COUNTS = ("exact", "paper")


class Costs(NamedTuple):
    """Costs of one layer: FLOPs of a prefill, bytes read by a decode step.

    `intensity` is FLOPs for each byte moved and `seconds` the roofline's floor, dense then MSA.
    """

    dense: float
    index: float
    main: float
    ratio: float
    ceiling: float
    intensity: tuple[float, float]
    seconds: tuple[float, float]


class Dial(NamedTuple):
    """One setting of the dial: its costs, and dense over MSA at every context for both counts."""

    context: int
    game: str
    count: str
    costs: Costs
    curves: dict[str, np.ndarray]


@functools.cache
def layer_costs(context: int, game: str, count: str) -> Costs:
    """Costs of M3's layer, dense and sparse, at this context.

    "exact" counts what the causal mask leaves; "paper" charges every query top_k whole blocks.
    """
    sizes = M3.attention
    new_tokens = context if game == "prefill" else 1
    flops_dense = cost.prefill_flops(DENSE, new_tokens, context, count).layer
    flops_sparse = cost.prefill_flops(M3, new_tokens, context, count).layer
    per_pair = sizes.num_kv_heads * sizes.index_dim / (2 * sizes.num_heads * sizes.head_dim)
    if game == "prefill":
        bytes_dense = cost.prefill_bytes(DENSE, context, context).layer
        bytes_sparse = cost.prefill_bytes(M3, context, context).layer
        dense, index = flops_dense, flops_dense * per_pair
        main, ceiling = flops_sparse - index, 1 / per_pair
    else:
        channel = 1 if game == GAMES[2] else cost.BF16_BYTES
        token = cost.cache_bytes_per_token(DENSE).layer
        keys = cost.selected_keys(M3, 1, context) if count == "exact" else sizes.budget
        bytes_dense = cost.decode_bytes(DENSE, context).layer
        dense, index = bytes_dense, sizes.index_dim * channel * context
        main, ceiling = token * keys, token / (sizes.index_dim * channel)
        bytes_sparse = index + main
    pairs = ((flops_dense, bytes_dense), (flops_sparse, bytes_sparse))
    return Costs(
        dense,
        index,
        main,
        dense / (index + main),
        ceiling,
        tuple(flops / size for flops, size in pairs),
        tuple(cost.roofline_seconds(*pair, cost.H100) for pair in pairs),
    )


def curve(game: str, count: str) -> np.ndarray:
    """Dense over sparse at every context of the dial."""
    return np.array([layer_costs(context, game, count).ratio for context in CONTEXTS])


def amount(number: float, game: str) -> str:
    """The number with a unit a person can hold: "18.0 PFLOP", "4.2 MB"."""
    power = max(0, int(np.floor(np.log10(number) / 3)))
    prefix = ("", "k", "M", "G", "T", "P", "E")[power]
    return f"{number / 1000**power:.1f} {prefix}{'FLOP' if game == 'prefill' else 'B'}"


def duration(seconds: float) -> str:
    """The time with a unit a person can hold: "18.2 s", "81.4 µs"."""
    unit, size = "µs", 1e-6
    if seconds >= 1e-3:
        unit, size = ("s", 1) if seconds >= 1 else ("ms", 1e-3)
    return f"{seconds / size:.3g} {unit}"


def context_name(context: int) -> str:
    """The context as people say it: 1K, 128K, 1M."""
    return "1M" if context == 2**20 else f"{context // 1024}K"


def compute(context: int, game: str, count: str) -> Dial:
    """The costs at one setting, and the curves it lies on."""
    curves = {way: curve(game, way) for way in COUNTS}
    return Dial(context, game, count, layer_costs(context, game, count), curves)


def describe(dial: Dial) -> str:
    """One sentence: both costs, which is lower, and which part of MSA's cost is larger."""
    costs, game = dial.costs, dial.game
    work = "computes" if game == "prefill" else "reads"
    sparse = costs.index + costs.main
    share = costs.index / sparse
    ratio = costs.ratio
    verdict = f"{ratio:.2f} times less" if ratio > 1 else f"{1 / ratio:.2f} times more"
    how = "exact count" if dial.count == "exact" else "paper's formula"
    return (
        f"At {context_name(dial.context)} tokens ({game}, {how}) a dense layer {work} "
        f"{amount(costs.dense, game)} and the MSA layer {amount(sparse, game)}: {verdict} "
        f"(never more than {costs.ceiling:.0f} times less). "
        f"The index scan is {share:.0%} of MSA's cost."
    )
