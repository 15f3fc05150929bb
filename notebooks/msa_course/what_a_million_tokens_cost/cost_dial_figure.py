"""Pictures of the cost dial: both costs as bars, the ratio over the context, the roofline."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from msa_course import palette
from msa_course.explorer import Explorer, choice, new_figure
from msa_course.what_a_million_tokens_cost.cost_dial import (
    CONTEXTS,
    COUNTS,
    GAMES,
    Dial,
    amount,
    compute,
    context_name,
    describe,
    duration,
)
from msa_ref import cost

RUNGS = (0.25, 0.5, 1, 2, 4, 8, 16, 32)
INDEX_LOOK = {"color": palette.LINES[2], "hatch": "...."}


def draw(dial: Dial) -> Figure:
    """Above the two costs as bars; below the ratio over the context, and the roofline."""
    fig = new_figure(9, 5.2, layout="none")
    draw_bars(fig.add_axes((0.08, 0.76, 0.9, 0.16)), dial)
    draw_ratio(fig.add_axes((0.08, 0.11, 0.39, 0.45)), dial)
    draw_roofline(fig.add_axes((0.59, 0.11, 0.39, 0.45)), dial)
    return fig


def draw_bars(ax: Axes, dial: Dial) -> None:
    """Dense above, MSA below (index scan, then main branch), in shares of the dense cost."""
    costs = dial.costs
    index, main = costs.index / costs.dense, costs.main / costs.dense
    edge = {"edgecolor": palette.INK, "linewidth": 0.8}
    ax.barh("dense", 1, color=palette.GREY, **edge)
    ax.barh("MSA", index, label="index scan", **INDEX_LOOK, **edge)
    ax.barh("MSA", main, left=index, color=palette.CHOSEN, label="main branch", **edge)
    sparse = amount(costs.index + costs.main, dial.game)
    ax.text(0.02, 0, amount(costs.dense, dial.game), va="center", color="white", weight="bold")
    ax.text(index + main + 0.015, 1, sparse, va="center", weight="bold")
    ax.set(xlim=(0, max(1.05, (index + main) * 1.15)), xlabel="cost of one layer (dense = 1)")
    ax.invert_yaxis()
    ax.legend(loc="lower right", bbox_to_anchor=(1.01, 0.97), ncols=2, fontsize=9)
    what = "FLOPs" if dial.game == "prefill" else "bytes read"
    ax.set_title(f"{context_name(dial.context)} tokens, {dial.game}: {what}")


def draw_ratio(ax: Axes, dial: Dial) -> None:
    """Dense over MSA at every context, this setting marked, with parity and the ceiling."""
    costs = dial.costs
    count, other = dial.count, COUNTS[dial.count == COUNTS[0]]
    names = {"exact": "exact count", "paper": "paper's formula"}
    ax.plot(CONTEXTS, dial.curves[other], ":", color=palette.GREY, label=names[other])
    ax.plot(CONTEXTS, dial.curves[count], color=palette.CHOSEN, label=names[count])
    ax.plot(dial.context, costs.ratio, "o", color=palette.MISSED, markersize=9)
    ax.axhline(1, color=palette.INK, linewidth=0.8)
    ax.axhline(costs.ceiling, color=palette.INK, linewidth=0.8, linestyle="--")
    ax.text(CONTEXTS[0], costs.ceiling * 1.06, f"ceiling {costs.ceiling:.0f}", fontsize=9)
    ax.text(CONTEXTS[-1], 0.3, "down here MSA costs more", ha="right", va="center", fontsize=9)
    _log_log(ax, {n: context_name(n) for n in CONTEXTS[::2]}, {rung: f"{rung:g}" for rung in RUNGS})
    ax.set(ylim=(0.2, 48), xlabel="context (tokens)", ylabel="dense / MSA (times)")
    ax.legend(loc="lower right", bbox_to_anchor=(1.02, 0.29), fontsize=9)
    ax.set_title(f"Dense / MSA is {costs.ratio:.2f} here")


def draw_roofline(ax: Axes, dial: Dial) -> None:
    """The H100's roof, and where both layers stand beneath it."""
    costs = dial.costs
    ridge = cost.H100.peak_flops / cost.H100.bandwidth
    reach = np.array([0.5, ridge, 2e6])
    ax.plot(reach, np.minimum(reach / ridge, 1) * cost.H100.peak_flops / 1e12, color=palette.INK)
    marks = (("dense", "s", palette.GREY), ("MSA", "o", palette.CHOSEN))
    for (name, marker, colour), x in zip(marks, costs.intensity):
        y = min(x / ridge, 1) * cost.H100.peak_flops / 1e12
        ax.plot(x, y, marker, color=colour, markersize=9, label=name)
    ax.axvline(ridge, color=palette.GREY, linewidth=0.8, linestyle=":")
    ax.text(ridge / 1.4, 2, "memory\nis the limit", ha="right", fontsize=9)
    ax.text(ridge * 1.4, 2, "arithmetic\nis the limit", fontsize=9)
    _log_log(
        ax,
        {1: "1", 100: "100", 1e4: "10⁴", 1e6: "10⁶"},
        {1: "1", 10: "10", 100: "100", 1e3: "1,000"},
    )
    ax.set(xlim=(0.5, 2e6), ylim=(1, 3000))
    ax.set(xlabel="intensity (FLOP per byte moved)", ylabel="at best (TFLOP/s)")
    ax.legend(loc="upper left", fontsize=9)
    dense, sparse = map(duration, costs.seconds)
    ax.set_title(f"H100 at best: {dense} dense, {sparse} MSA")


def _log_log(ax: Axes, across: dict[float, str], up: dict[float, str]) -> None:
    """Both axes logarithmic, with these ticks alone: fewer, and quicker than a log axis' own."""
    ax.set(xscale="log", yscale="log")
    for axis, ticks in ((ax.xaxis, across), (ax.yaxis, up)):
        axis.set_ticks(list(ticks), ticks.values())
        axis.set_ticks((), minor=True)


def draw_pairs(ax: Axes, states: np.ndarray) -> None:
    """Every pair of asker (row) and page (column): 0 future, 1 left out, 2 chosen, 3 local."""
    letters = ("", "-", "c", "own")
    for token, page in np.ndindex(states.shape):
        state = states[token, page]
        cell = {"facecolor": palette.STATES(state / 3), "edgecolor": "white", "linewidth": 2}
        hatch = palette.FORCED_HATCH if state == 3 else None
        ax.add_patch(Rectangle((page, token), 1, 1, hatch=hatch, **cell))
        middle = {"ha": "center", "va": "center", "color": "white" if state == 2 else palette.INK}
        ax.text(page + 0.5, token + 0.5, letters[state], weight="bold", **middle)
    for axis, count in ((ax.xaxis, states.shape[1]), (ax.yaxis, states.shape[0])):
        axis.set_ticks(np.arange(count) + 0.5, range(count), minor=False)
        axis.set_tick_params(length=0)
    ax.set(xlim=(0, states.shape[1]), ylim=(states.shape[0], 0), aspect="equal")
    ax.set(xlabel="page (token)", ylabel="who asks (token)")
    ax.spines[:].set_visible(False)


def explorer() -> Explorer:
    """The dial: context, prefill or decode, and the way of counting."""
    return Explorer(
        "The cost dial",
        compute,
        draw,
        describe,
        context=choice("context", [(context_name(n), n) for n in CONTEXTS], CONTEXTS[-1]),
        game=choice("game", GAMES, GAMES[0]),
        count=choice("count", [("exact", "exact"), ("paper's formula", "paper")], "exact"),
    )
