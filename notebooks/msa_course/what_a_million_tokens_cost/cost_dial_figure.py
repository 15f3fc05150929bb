"""The cost dial as a picture, and the explorer over it."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from msa_course import palette
from msa_course.figures import new_figure
from msa_course.live import show_live
from msa_course.what_a_million_tokens_cost.cost_dial import (
    CONTEXTS,
    GAMES,
    Dial,
    amount,
    compute,
    context_name,
    curve,
    describe,
    duration,
)
from msa_ref import M3, cost

MODULE = Path(__file__).with_name("cost_dial.mjs")
OPENING = {"context": CONTEXTS[-1], "game": GAMES[0]}
INDEX, MAIN = palette.LINES[2], palette.CHOSEN


def explorer() -> None:
    """Shows the dial with sliders for the context and for the game."""
    dial = compute(**OPENING)
    show_live(MODULE, payload(), draw(dial), describe(dial))


def payload() -> dict:
    """What the explorer computes from, as JSON."""
    sizes = M3.attention
    return {
        "contexts": CONTEXTS,
        "games": GAMES,
        "heads": sizes.num_heads,
        "kv_heads": sizes.num_kv_heads,
        "dim": sizes.head_dim,
        "index_dim": sizes.index_dim,
        "block": sizes.block_size,
        "top_k": sizes.top_k,
        "peak": cost.H100.peak_flops,
        "bandwidth": cost.H100.bandwidth,
        "opening": OPENING,
    }


def draw(dial: Dial) -> Figure:
    """Above both costs as bars, below left the least times, right the ratio at every context."""
    fig = new_figure(8.6, 4.6)
    above, below = fig.subfigures(2, 1, height_ratios=(1, 1.5))
    _draw_bars(above.subplots(), dial)
    left, right = below.subplots(1, 2)
    _draw_times(left, dial)
    _draw_ratio(right, dial)
    return fig


def _draw_bars(ax: Axes, dial: Dial) -> None:
    index, main = dial.index / dial.dense, dial.main / dial.dense
    ax.barh("dense", 1, color=palette.GREY)
    ax.barh("MSA", index, color=INDEX, label="index scan")
    ax.barh("MSA", main, left=index, color=MAIN, label="main branch")
    sparse = amount(dial.index + dial.main, dial.game)
    ax.text(0.99, 0, amount(dial.dense, dial.game), va="center", ha="right", color="white")
    ax.text(index + main + 0.01, 1, sparse, va="center")
    ax.set(xlim=(0, 1.15), ylim=(1.6, -0.6), xlabel="cost of one layer (dense = 1)")
    ax.legend(loc="lower right", fontsize=9)
    ax.set_title(
        f"{context_name(dial.context)} tokens, {dial.game}: dense / MSA = {dial.ratio:.2f}"
    )


def _draw_times(ax: Axes, dial: Dial) -> None:
    names, times = [], []
    for name, math, memory in zip(("dense", "MSA"), dial.math, dial.memory):
        names += [f"{name}: compute", f"{name}: move"]
        times += [math, memory]
    longest = [max(times[:2]), max(times[:2]), max(times[2:]), max(times[2:])]
    colours = [palette.INK if t == most else "#BBBBBB" for t, most in zip(times, longest)]
    ax.barh(names, times, color=colours)
    for row, time in enumerate(times):
        ax.text(time + 0.02 * max(times), row, duration(time), va="center", fontsize=9)
    ax.set(xlim=(0, 1.3 * max(times)), ylim=(3.6, -0.6), xlabel="time on an H100, at best")
    ax.set_xticks([])
    ax.set_title("The longer one (dark) is the time")


def _draw_ratio(ax: Axes, dial: Dial) -> None:
    places = range(len(CONTEXTS))
    ax.plot(places, curve(dial.game), "-", color=MAIN)
    ax.plot(CONTEXTS.index(dial.context), dial.ratio, "o", color=MAIN, markersize=9)
    ax.axhline(dial.ceiling, color=palette.INK, linewidth=0.8, linestyle="--")
    ax.text(0, dial.ceiling, f"ceiling {dial.ceiling:.0f}", fontsize=9, va="bottom")
    ax.set_xticks(places[::2], [context_name(n) for n in CONTEXTS[::2]])
    ax.set(ylim=(0, 1.15 * dial.ceiling), xlabel="context (tokens)", ylabel="dense / MSA (times)")
    ax.set_title("Times less than dense")
