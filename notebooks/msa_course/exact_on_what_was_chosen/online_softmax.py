"""The online-softmax stepper: one row of scores read chunk by chunk, and all it keeps in memory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from msa_course import palette
from msa_course.explorer import Explorer, choice, new_figure, slider

NUM_KEYS = 12
CHUNKS = (1, 2, 3, 4, 6, 12)
FLOOR = -2.0
TIMES = "\N{MULTIPLICATION SIGN}"
_MARGINS = {"left": 0.08, "right": 0.985, "bottom": 0.09, "top": 0.94, "hspace": 0.42}

_RISING = np.array([-1.5, -1.1, -0.9, -0.4, 0.0, 0.3, 0.8, 1.0, 1.5, 1.9, 2.2, 2.7])
_NEEDLE = np.array([0.2, -0.6, 0.4, -0.2, 0.1, -0.9, -0.3, 2.9, 0.3, -0.5, 0.0, -0.4])
_GAPS = np.array([0.6, 0.1, -0.5, 0.2, -0.8, 0.9, 0.3, -0.1, 1.2, 0.7, 1.7, 0.4])
_HIDDEN_KEYS = [0, 1, 2, 3, 8, 9]

CASES = {
    "one needle": _NEEDLE,
    "rising scores": _RISING,
    "falling scores": _RISING[::-1],
    "empty chunks": np.where(np.isin(np.arange(NUM_KEYS), _HIDDEN_KEYS), -np.inf, _GAPS),
}
VALUES = np.array([0.1, 0.5, 0.3, -0.2, 0.4, 0.0, 0.6, 0.9, -0.3, 0.2, -0.4, 0.7])


class Trace(NamedTuple):
    """What one row remembers after each step; entry 0 is before anything is read.

    `stops` counts the keys read, `rescale` is the factor that the step put on the old sum.
    """

    scores: np.ndarray
    stops: np.ndarray
    peak: np.ndarray
    rescale: np.ndarray
    total: np.ndarray
    weighted: np.ndarray

    @property
    def last_step(self) -> int:
        """The step after which every key is read."""
        return len(self.stops) - 1

    @property
    def out(self) -> np.ndarray:
        """The running output, weighted / total; NaN while nothing visible is read."""
        return self.weighted / np.where(self.total == 0, np.nan, self.total)


def values(chunk: int, case: str) -> Trace:
    """The running peak, sum and weighted sum of a case, read `chunk` keys at a time."""
    scores = CASES[case]
    states = [(0, -np.inf, 1.0, 0.0, 0.0)]
    for start in range(0, NUM_KEYS, chunk):
        part = slice(start, start + chunk)
        _, peak, _, total, weighted = states[-1]
        new_peak = max(peak, scores[part].max())
        safe_peak = new_peak if np.isfinite(new_peak) else 0.0
        rescale = np.exp(peak - safe_peak) if np.isfinite(peak) else 1.0
        exponentials = np.exp(scores[part] - safe_peak)
        total = total * rescale + exponentials.sum()
        weighted = weighted * rescale + exponentials @ VALUES[part]
        states.append((min(start + chunk, NUM_KEYS), new_peak, rescale, total, weighted))
    return Trace(scores, *(np.array(column) for column in zip(*states)))


def words(step: int, chunk: int, case: str) -> str:
    """What happened in this step, in one to three sentences."""
    trace = values(chunk, case)
    if step == 0:
        return "Nothing is read yet: the peak is -inf, the sum and the weighted sum are 0."
    step = min(step, trace.last_step)
    start, stop = trace.stops[step - 1], trace.stops[step]
    joint = " and " if stop - start == 2 else " to "
    keys = f"key {start}" if stop - start == 1 else f"keys {start}{joint}{stop - 1}"
    before, peak = trace.peak[step - 1], trace.peak[step]
    old, rescale, total = trace.total[step - 1], trace.rescale[step], trace.total[step]
    text = f"Step {step} of {trace.last_step} reads {keys}"
    if np.isneginf(trace.scores[start:stop]).all() and np.isneginf(peak):
        text += (
            ": all hidden, so the peak stays -inf and both sums stay 0. "
            "The shrink factor must not be computed as exp(-inf - -inf), which is NaN."
        )
    elif np.isneginf(trace.scores[start:stop]).all():
        text += ": all hidden, so nothing changes."
    elif np.isneginf(before):
        text += f": the first peak is {peak:.2f} and the sum is {total:.3f}."
    elif peak > before:
        text += (
            f": a new peak, {peak:.2f}. The old sum {old:.3f} shrinks by the factor "
            f"{rescale:.3f} to {old * rescale:.3f}, and the new keys add "
            f"{total - old * rescale:.3f}."
        )
    else:
        text += (
            f": no score is above the peak {peak:.2f}, so nothing shrinks. "
            f"The new keys add {total - old:.3f} to the sum, now {total:.3f}."
        )
    if step == trace.last_step:
        return (
            text + f" All keys are read: the output {trace.out[-1]:.3f} is the softmax's, exactly."
        )
    if total > 0:
        text += f" The output so far is {trace.out[step]:.3f}; it will end at {trace.out[-1]:.3f}."
    return text


def draw_scores(axis: Axes, trace: Trace, step: int) -> None:
    """The scores: read before, read now, unread or hidden; with the peak before and after."""
    start, stop = trace.stops[max(step - 1, 0)], trace.stops[step]
    key = np.arange(NUM_KEYS)
    visible = np.isfinite(trace.scores)
    height = np.where(visible, trace.scores, FLOOR) - FLOOR
    colours = np.select(
        [key < start, key < stop], [palette.VISIBLE, palette.CHOSEN], palette.HIDDEN
    )
    axis.bar(key, height, bottom=FLOOR, color=colours, edgecolor=palette.GREY, linewidth=0.6)
    for hidden in key[~visible]:
        axis.annotate(
            "hidden",
            (hidden, FLOOR + 0.1),
            ha="center",
            color=palette.GREY,
            fontsize=8,
            rotation=90,
        )
    for border in trace.stops[1:-1]:
        axis.axvline(border - 0.5, color=palette.GREY, linewidth=0.6, linestyle=":")
    if trace.peak[step] > trace.peak[max(step - 1, 0)] > -np.inf:
        axis.plot([-0.5, start - 0.5], [trace.peak[step - 1]] * 2, "--", color=palette.GREY)
    if np.isfinite(trace.peak[step]):
        axis.plot([-0.5, stop - 0.5], [trace.peak[step]] * 2, color=palette.INK, linewidth=2)
    axis.set(xlim=(-0.6, NUM_KEYS - 0.4), ylim=(FLOOR, 3.3), xticks=key)
    axis.set(xlabel="key", ylabel="score")


def draw_sum(axis: Axes, trace: Trace, step: int) -> None:
    """The running sum after every step so far: what the old sum shrank to, and what was added."""
    steps = np.arange(1, step + 1)
    kept = trace.total[:step] * trace.rescale[1 : step + 1]
    axis.bar(steps, kept, color=palette.VISIBLE, edgecolor=palette.GREY, linewidth=0.6)
    added = trace.total[1 : step + 1] - kept
    axis.bar(steps, added, bottom=kept, color=palette.CHOSEN, edgecolor=palette.GREY, linewidth=0.6)
    if step and trace.rescale[step] < 1:
        old = trace.total[step - 1]
        axis.bar(step, old, fill=False, edgecolor=palette.INK, linestyle="--", linewidth=1.2)
        side = "right" if step > trace.last_step / 2 else "left"
        edge = step + 0.4 if side == "right" else step - 0.4
        above = trace.total[: step + 1].max()
        text = f"old sum {TIMES} {trace.rescale[step]:.3f}"
        axis.annotate(text, (edge, above), (0, 2), textcoords="offset points", ha=side)
    axis.set(xlim=(0.4, trace.last_step + 0.6), ylim=(0, 1.15 * trace.total.max()))
    axis.set(xlabel="step", ylabel="sum, in units of exp(peak)")
    axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def draw_output(axis: Axes, trace: Trace, step: int) -> None:
    """The running output after every step so far, and where it will end."""
    axis.axhline(trace.out[-1], color=palette.GREY, linestyle="--", label="final")
    steps = np.arange(1, step + 1)
    axis.plot(steps, trace.out[1 : step + 1], "o-", color=palette.CHOSEN, label="so far")
    axis.set(xlim=(0.4, trace.last_step + 0.6), ylim=(-0.45, 0.95))
    axis.set(xlabel="step", ylabel="output")
    axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def render(step: int, chunk: int, case: str) -> Figure:
    """Scores above; the running sum and the running output below."""
    trace = values(chunk, case)
    step = min(step, trace.last_step)
    figure = new_figure(8.4, 5.6)
    figure.set_layout_engine("none")  # fixed margins redraw faster than constrained ones
    axes = figure.subplot_mosaic([["scores", "scores"], ["sum", "output"]], gridspec_kw=_MARGINS)
    draw_scores(axes["scores"], trace, step)
    draw_sum(axes["sum"], trace, step)
    draw_output(axes["output"], trace, step)
    peak = f"{trace.peak[step]:.2f}" if np.isfinite(trace.peak[step]) else "-inf"
    axes["scores"].set_title(f"After step {step} of {trace.last_step}: the running peak is {peak}")
    axes["sum"].set_title(f"Running sum: {_sum_in_parts(trace, step)}")
    out = f"{trace.out[step]:.3f}" if trace.total[step] > 0 else "none yet"
    axes["output"].set_title(f"Running output: {out}")
    axes["output"].legend(loc="lower right", ncols=2)
    kinds = {"read before": palette.VISIBLE, "read now": palette.CHOSEN, "unread": palette.HIDDEN}
    patches = [Patch(fc=fill, ec=palette.GREY, label=name) for name, fill in kinds.items()]
    axes["scores"].legend(
        handles=patches, loc="lower right", bbox_to_anchor=(1, 1), ncols=3, borderaxespad=0.2
    )
    return figure


def _sum_in_parts(trace: Trace, step: int) -> str:
    if step < 2 or trace.total[step - 1] == 0:
        return f"{trace.total[step]:.3f}"
    old, rescale = trace.total[step - 1], trace.rescale[step]
    shrunk = f"{old:.3f} {TIMES} {rescale:.3f}" if rescale < 1 else f"{old:.3f}"
    return f"{shrunk} + {trace.total[step] - old * rescale:.3f} = {trace.total[step]:.3f}"


def online_softmax_stepper(step: int = 4, chunk: int = 2, case: str = "one needle") -> Explorer:
    """The explorer: sliders for the step, the chunk size and the case."""
    return Explorer(
        "Online softmax, step by step",
        render,
        words,
        step=slider("step", step, 0, NUM_KEYS),
        chunk=choice("keys in a chunk", CHUNKS, chunk),
        case=choice("scores", tuple(CASES), case),
    )
