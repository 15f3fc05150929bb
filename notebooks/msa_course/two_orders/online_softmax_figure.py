"""Pictures of the online softmax: scores read, running sum, running output."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from msa_course import live, palette
from msa_course.figures import new_figure
from msa_course.two_orders.online_softmax import (
    CASES,
    CHUNKS,
    NUM_KEYS,
    VALUES,
    Trace,
    compute,
    describe,
)

MODULE = Path(__file__).with_name("online_softmax.mjs")
OPENING = {"step": 4, "chunk": 2, "case": "one needle"}
FLOOR = -2.0
TIMES = "\N{MULTIPLICATION SIGN}"
_MARGINS = {"left": 0.08, "right": 0.985, "bottom": 0.09, "top": 0.94, "hspace": 0.42}


def draw_scores(ax: Axes, trace: Trace) -> None:
    """The scores: read before, read now, unread or hidden; with the peak before and after."""
    step = trace.step
    start, stop = trace.stops[max(step - 1, 0)], trace.stops[step]
    key = np.arange(NUM_KEYS)
    visible = np.isfinite(trace.scores)
    height = np.where(visible, trace.scores, FLOOR) - FLOOR
    colours = np.select(
        [key < start, key < stop], [palette.VISIBLE, palette.CHOSEN], palette.HIDDEN
    )
    ax.bar(key, height, bottom=FLOOR, color=colours, edgecolor=palette.GREY, linewidth=0.6)
    for hidden in key[~visible]:
        ax.annotate(
            "hidden",
            (hidden, FLOOR + 0.1),
            ha="center",
            fontsize=8,
            rotation=90,
        )
    for border in trace.stops[1:-1]:
        ax.axvline(border - 0.5, color=palette.GREY, linewidth=0.6, linestyle=":")
    if trace.peak[step] > trace.peak[max(step - 1, 0)] > -np.inf:
        ax.plot([-0.5, start - 0.5], [trace.peak[step - 1]] * 2, "--", color=palette.GREY)
    if np.isfinite(trace.peak[step]):
        ax.plot([-0.5, stop - 0.5], [trace.peak[step]] * 2, color=palette.INK, linewidth=2)
    ax.set(xlim=(-0.6, NUM_KEYS - 0.4), ylim=(FLOOR, 3.3), xticks=key)
    ax.set(xlabel="key", ylabel="score")


def draw_sum(ax: Axes, trace: Trace) -> None:
    """The running sum after every step so far: what the old sum shrank to, and what was added."""
    step = trace.step
    steps = np.arange(1, step + 1)
    kept = trace.total[:step] * trace.rescale[1 : step + 1]
    ax.bar(steps, kept, color=palette.VISIBLE, edgecolor=palette.GREY, linewidth=0.6)
    added = trace.total[1 : step + 1] - kept
    ax.bar(steps, added, bottom=kept, color=palette.CHOSEN, edgecolor=palette.GREY, linewidth=0.6)
    if step and trace.rescale[step] < 1:
        old = trace.total[step - 1]
        ax.bar(step, old, fill=False, edgecolor=palette.INK, linestyle="--", linewidth=1.2)
        side = "right" if step > trace.last_step / 2 else "left"
        edge = step + 0.4 if side == "right" else step - 0.4
        above = trace.total[: step + 1].max()
        text = f"old sum {TIMES} {trace.rescale[step]:.3f}"
        ax.annotate(text, (edge, above), (0, 2), textcoords="offset points", ha=side)
    ax.set(xlim=(0.4, trace.last_step + 0.6), ylim=(0, 1.15 * trace.total.max()))
    ax.set(xlabel="step", ylabel="sum, in units of exp(peak)")
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def draw_output(ax: Axes, trace: Trace) -> None:
    """The running output after every step so far, and where it will end."""
    step = trace.step
    ax.axhline(trace.out[-1], color=palette.GREY, linestyle="--", label="final")
    steps = np.arange(1, step + 1)
    ax.plot(steps, trace.out[1 : step + 1], "o-", color=palette.CHOSEN, label="so far")
    ax.set(xlim=(0.4, trace.last_step + 0.6), ylim=(-0.45, 0.95))
    ax.set(xlabel="step", ylabel="output")
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def draw(trace: Trace) -> Figure:
    """Scores above; the running sum and the running output below."""
    step = trace.step
    fig = new_figure(8.4, 5.6)
    fig.set_layout_engine("none")  # fixed margins redraw faster than constrained ones
    axes = fig.subplot_mosaic([["scores", "scores"], ["sum", "output"]], gridspec_kw=_MARGINS)
    draw_scores(axes["scores"], trace)
    draw_sum(axes["sum"], trace)
    draw_output(axes["output"], trace)
    peak = f"{trace.peak[step]:.2f}" if np.isfinite(trace.peak[step]) else "-inf"
    axes["scores"].set_title(f"After step {step} of {trace.last_step}: the running peak is {peak}")
    axes["sum"].set_title(f"Running sum: {_sum_in_parts(trace)}")
    out = f"{trace.out[step]:.3f}" if trace.total[step] > 0 else "none yet"
    axes["output"].set_title(f"Running output: {out}")
    axes["output"].legend(loc="lower right", ncols=2)
    kinds = {"read before": palette.VISIBLE, "read now": palette.CHOSEN, "unread": palette.HIDDEN}
    patches = [Patch(fc=fill, ec=palette.GREY, label=name) for name, fill in kinds.items()]
    axes["scores"].legend(
        handles=patches, loc="lower right", bbox_to_anchor=(1, 1), ncols=3, borderaxespad=0.2
    )
    return fig


def _sum_in_parts(trace: Trace) -> str:
    step = trace.step
    if step < 2 or trace.total[step - 1] == 0:
        return f"{trace.total[step]:.3f}"
    old, rescale = trace.total[step - 1], trace.rescale[step]
    shrunk = f"{old:.3f} {TIMES} {rescale:.3f}" if rescale < 1 else f"{old:.3f}"
    return f"{shrunk} + {trace.total[step] - old * rescale:.3f} = {trace.total[step]:.3f}"


def payload() -> dict:
    """What the module reads: the cases' scores (null where hidden), the values, the opening."""
    cases = {
        name: [float(score) if np.isfinite(score) else None for score in scores]
        for name, scores in CASES.items()
    }
    return {"cases": cases, "values": VALUES.tolist(), "chunks": CHUNKS, "opening": OPENING}


def explorer() -> None:
    """Shows the stepper: a step, the chunk size and the kind of scores to choose."""
    trace = compute(**OPENING)
    live.show_live(MODULE, payload(), draw(trace), describe(trace))
