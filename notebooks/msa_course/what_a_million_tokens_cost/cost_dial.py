"""The cost dial: what one attention layer of MiniMax-M3 costs, dense or sparse, at any context."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from msa_ref import M3, cost

DENSE = cost.dense_model(M3)
CONTEXTS = tuple(2**power for power in range(10, 21))
GAMES = ("prefill", "decode", "decode, 1-byte cards")


class Dial(NamedTuple):
    """One setting of the dial: FLOPs of a prefill, or bytes that a decode step reads.

    `index` and `main` are MSA's two branches. `math` and `memory` are seconds on an H100 to
    compute and to move, dense then MSA; the longer of the two is the least time that it takes.
    """

    context: int
    game: str
    dense: float
    index: float
    main: float
    ratio: float
    ceiling: float
    math: tuple[float, float]
    memory: tuple[float, float]


@functools.cache
def compute(context: int, game: str) -> Dial:
    """The costs of one layer of M3 at this context."""
    sizes = M3.attention
    new_tokens = context if game == "prefill" else 1
    flops = [cost.prefill_flops(spec, new_tokens, context).layer for spec in (DENSE, M3)]
    per_pair = sizes.num_kv_heads * sizes.index_dim / (2 * sizes.num_heads * sizes.head_dim)
    if game == "prefill":
        size = [cost.prefill_bytes(spec, context, context).layer for spec in (DENSE, M3)]
        index, ceiling, (dense, sparse) = flops[0] * per_pair, 1 / per_pair, flops
    else:
        channel = 1 if game == GAMES[2] else cost.BF16_BYTES
        size = [cost.decode_bytes(spec, context, 1, channel).layer for spec in (DENSE, M3)]
        index, (dense, sparse) = sizes.index_dim * channel * context, size
        ceiling = cost.cache_bytes_per_token(DENSE).layer / (sizes.index_dim * channel)
    math = tuple(work / cost.H100.peak_flops for work in flops)
    memory = tuple(amount / cost.H100.bandwidth for amount in size)
    main = sparse - index
    return Dial(context, game, dense, index, main, dense / sparse, ceiling, math, memory)


def curve(game: str) -> np.ndarray:
    """Dense over sparse at every context of the dial."""
    return np.array([compute(context, game).ratio for context in CONTEXTS])


def amount(number: float, game: str) -> str:
    """The number with a unit a person can hold: "18.0 PFLOP", "4.2 MB"."""
    power = max(0, int(np.floor(np.log10(number) / 3)))
    prefix = ("", "k", "M", "G", "T", "P", "E")[power]
    return f"{number / 1000**power:.1f} {prefix}{'FLOP' if game == 'prefill' else 'B'}"


def duration(seconds: float) -> str:
    """The time with a unit a person can hold: "18.2 s", "81.4 µs"."""
    for unit, size in (("s", 1), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / 1e-6:.1f} µs"


def context_name(context: int) -> str:
    """The context as people say it: 1K, 128K, 1M."""
    return "1M" if context == 2**20 else f"{context // 1024}K"


def describe(dial: Dial) -> str:
    """Both costs, which is lower and by how much, MSA's larger branch, and the least times."""
    game, sparse = dial.game, dial.index + dial.main
    work = "computes" if game == "prefill" else "reads"
    verdict = (
        f"{dial.ratio:.2f} times less" if dial.ratio > 1 else f"{1 / dial.ratio:.2f} times more"
    )
    dense_time, msa_time = (duration(max(pair)) for pair in zip(dial.math, dial.memory))
    return (
        f"At {context_name(dial.context)} tokens ({game}) a dense layer {work} "
        f"{amount(dial.dense, game)} and the MSA layer {amount(sparse, game)}: {verdict} "
        f"(never more than {dial.ceiling:.0f} times less). The index scan is "
        f"{dial.index / sparse:.0%} of MSA's cost. At best that takes {dense_time} and {msa_time}."
    )
