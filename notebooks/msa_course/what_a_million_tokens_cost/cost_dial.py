"""The cost dial: what one attention layer of MiniMax-M3 costs, dense or sparse, at any context."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from msa_course import palette
from msa_course.explorer import Explorer, choice, new_figure
from msa_ref import cost
from msa_ref.config import M3

DENSE = replace(M3, name="MiniMax-M3, all dense", attention=None, dense_layers=M3.layers)
CONTEXTS = tuple(2**power for power in range(10, 21))
GAMES = ("prefill", "decode", "decode, 1-byte index keys")
COUNTS = ("exact", "paper")
RUNGS = (0.25, 0.5, 1, 2, 4, 8, 16, 32)
INDEX_COLOUR, INDEX_HATCH = palette.LINES[2], "...."


class Setting(NamedTuple):
    """Costs of one layer at one setting: FLOPs of a prefill, bytes read by a decode step.

    `intensity` is FLOPs for each byte moved and `seconds` the roofline's floor, dense then MSA.
    """

    dense: float
    index: float
    main: float
    ratio: float
    ceiling: float
    intensity: tuple[float, float]
    seconds: tuple[float, float]


@functools.cache
def values(context: int, game: str, count: str) -> Setting:
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
    return Setting(
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
    return np.array([values(context, game, count).ratio for context in CONTEXTS])


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


def words(context: int, game: str, count: str) -> str:
    """One sentence: both costs, who wins, and which part of MSA's cost is larger."""
    now = values(context, game, count)
    work = "computes" if game == "prefill" else "reads"
    sparse = now.index + now.main
    share = now.index / sparse
    verdict = f"{now.ratio:.2f} times less" if now.ratio > 1 else f"{1 / now.ratio:.2f} times more"
    how = "exact count" if count == "exact" else "paper's formula"
    return (
        f"At {context_name(context)} tokens ({game}, {how}) a dense layer {work} "
        f"{amount(now.dense, game)} and the MSA layer {amount(sparse, game)}: {verdict} "
        f"(never more than {now.ceiling:.0f} times less). "
        f"The index scan is {share:.0%} of MSA's cost."
    )


def render(context: int, game: str, count: str) -> Figure:
    """Above the two costs as bars; below the ratio over the context, and the roofline."""
    figure = new_figure(9, 5.2, layout="none")
    draw_bars(figure.add_axes((0.08, 0.76, 0.9, 0.16)), context, game, count)
    draw_ratio(figure.add_axes((0.08, 0.11, 0.39, 0.45)), context, game, count)
    draw_roofline(figure.add_axes((0.59, 0.11, 0.39, 0.45)), context, game, count)
    return figure


def draw_bars(axes: Axes, context: int, game: str, count: str) -> None:
    """Dense above, MSA below (index scan, then main branch), in shares of the dense cost."""
    now = values(context, game, count)
    index, main = now.index / now.dense, now.main / now.dense
    edge = {"edgecolor": palette.INK, "linewidth": 0.8}
    axes.barh("dense", 1, color=palette.GREY, **edge)
    axes.barh("MSA", index, color=INDEX_COLOUR, hatch=INDEX_HATCH, label="index scan", **edge)
    axes.barh("MSA", main, left=index, color=palette.CHOSEN, label="main branch", **edge)
    sparse = amount(now.index + now.main, game)
    axes.text(0.02, 0, amount(now.dense, game), va="center", color="white", weight="bold")
    axes.text(index + main + 0.015, 1, sparse, va="center", weight="bold")
    axes.set(xlim=(0, max(1.05, (index + main) * 1.15)), xlabel="cost of one layer (dense = 1)")
    axes.invert_yaxis()
    axes.legend(loc="lower right", bbox_to_anchor=(1.01, 0.97), ncols=2, fontsize=9)
    what = "FLOPs" if game == "prefill" else "bytes read"
    axes.set_title(f"{context_name(context)} tokens, {game}: {what}")


def draw_ratio(axes: Axes, context: int, game: str, count: str) -> None:
    """Dense over MSA at every context, this setting marked, with parity and the ceiling."""
    now = values(context, game, count)
    other = COUNTS[count == COUNTS[0]]
    names = {"exact": "exact count", "paper": "paper's formula"}
    axes.plot(CONTEXTS, curve(game, other), ":", color=palette.GREY, label=names[other])
    axes.plot(CONTEXTS, curve(game, count), color=palette.CHOSEN, label=names[count])
    axes.plot(context, now.ratio, "o", color=palette.MISSED, markersize=9)
    axes.axhline(1, color=palette.INK, linewidth=0.8)
    axes.axhline(now.ceiling, color=palette.INK, linewidth=0.8, linestyle="--")
    axes.text(CONTEXTS[0], now.ceiling * 1.06, f"ceiling {now.ceiling:.0f}", fontsize=9)
    axes.text(CONTEXTS[-1], 0.3, "down here MSA costs more", ha="right", va="center", fontsize=9)
    _log_log(
        axes, {n: context_name(n) for n in CONTEXTS[::2]}, {rung: f"{rung:g}" for rung in RUNGS}
    )
    axes.set(ylim=(0.2, 48), xlabel="context (tokens)", ylabel="dense / MSA (times)")
    axes.legend(loc="lower right", bbox_to_anchor=(1.02, 0.29), fontsize=9)
    axes.set_title(f"Dense / MSA is {now.ratio:.2f} here")


def draw_roofline(axes: Axes, context: int, game: str, count: str) -> None:
    """The H100's roof, and where both layers stand beneath it."""
    now = values(context, game, count)
    ridge = cost.H100.peak_flops / cost.H100.bandwidth
    reach = np.array([0.5, ridge, 2e6])
    axes.plot(reach, np.minimum(reach / ridge, 1) * cost.H100.peak_flops / 1e12, color=palette.INK)
    marks = (("dense", "s", palette.GREY), ("MSA", "o", palette.CHOSEN))
    for (name, marker, colour), x in zip(marks, now.intensity):
        y = min(x / ridge, 1) * cost.H100.peak_flops / 1e12
        axes.plot(x, y, marker, color=colour, markersize=9, label=name)
    axes.axvline(ridge, color=palette.GREY, linewidth=0.8, linestyle=":")
    axes.text(ridge / 1.4, 2, "memory\nis the limit", ha="right", fontsize=9)
    axes.text(ridge * 1.4, 2, "arithmetic\nis the limit", fontsize=9)
    _log_log(
        axes,
        {1: "1", 100: "100", 1e4: "10⁴", 1e6: "10⁶"},
        {1: "1", 10: "10", 100: "100", 1e3: "1,000"},
    )
    axes.set(xlim=(0.5, 2e6), ylim=(1, 3000))
    axes.set(xlabel="intensity (FLOP per byte moved)", ylabel="at best (TFLOP/s)")
    axes.legend(loc="upper left", fontsize=9)
    dense, sparse = map(duration, now.seconds)
    axes.set_title(f"H100 at best: {dense} dense, {sparse} MSA")


def _log_log(axes: Axes, across: dict[float, str], up: dict[float, str]) -> None:
    """Both axes logarithmic, with these ticks alone: fewer, and quicker than a log axis' own."""
    axes.set(xscale="log", yscale="log")
    for axis, ticks in ((axes.xaxis, across), (axes.yaxis, up)):
        axis.set_ticks(list(ticks), ticks.values())
        axis.set_ticks((), minor=True)


def draw_pairs(axes: Axes, states: np.ndarray) -> None:
    """Every pair of asker (row) and page (column): 0 future, 1 left out, 2 chosen, 3 own block."""
    letters = ("", "-", "c", "own")
    for token, page in np.ndindex(states.shape):
        state = states[token, page]
        cell = {"facecolor": palette.STATES(state / 3), "edgecolor": "white", "linewidth": 2}
        hatch = palette.FORCED_HATCH if state == 3 else None
        axes.add_patch(Rectangle((page, token), 1, 1, hatch=hatch, **cell))
        middle = {"ha": "center", "va": "center", "color": "white" if state == 2 else palette.INK}
        axes.text(page + 0.5, token + 0.5, letters[state], weight="bold", **middle)
    for axis, count in ((axes.xaxis, states.shape[1]), (axes.yaxis, states.shape[0])):
        axis.set_ticks(np.arange(count) + 0.5, range(count), minor=False)
        axis.set_tick_params(length=0)
    axes.set(xlim=(0, states.shape[1]), ylim=(states.shape[0], 0), aspect="equal")
    axes.set(xlabel="page (token)", ylabel="who asks (token)")
    axes.spines[:].set_visible(False)


def explorer() -> Explorer:
    """The dial: context, prefill or decode, and the way of counting."""
    return Explorer(
        "The cost dial",
        render,
        words,
        context=choice("context", [(context_name(n), n) for n in CONTEXTS], CONTEXTS[-1]),
        game=choice("game", GAMES, GAMES[0]),
        count=choice("count", [("exact", "exact"), ("paper's formula", "paper")], "exact"),
    )
