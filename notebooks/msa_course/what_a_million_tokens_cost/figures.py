"""Figures of the cost: one conversation in time, pairs, the least times, what is read and kept."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from msa_course import palette
from msa_course.figures import new_figure
from msa_course.what_a_million_tokens_cost.cost_dial import context_name, duration

INDEX = palette.LINES[2]


def conversation(read: tuple[float, float], answer: tuple[float, float]) -> Figure:
    """Seconds to read a prompt and then to answer, dense and with MSA, on one axis of minutes."""
    fig = new_figure(8.4, 2.5)
    ax = fig.add_subplot()
    for row, (reading, answering) in enumerate(zip(read, answer)):
        ax.barh(row, reading / 60, color=palette.GREY)
        look = {"color": palette.VISIBLE, "edgecolor": palette.INK, "linewidth": 0.6}
        ax.barh(row, answering / 60, left=reading / 60, **look)
        end = (reading + answering) / 60
        words = f"{reading:.0f} s, then {answering:.0f} s"
        if reading > 600:
            words = f"{reading / 60:.0f} minutes,\nthen {answering:.0f} s"
        ax.text(end + 0.2, row, words, va="center")
    ax.set_yticks(range(2), ["dense", "MSA"])
    ax.set(xlim=(0, 22.5), ylim=(1.55, -0.55), xlabel="minutes after pressing Enter")
    ax.set_xticks(range(0, 21, 5))
    handles = [
        Patch(facecolor=palette.GREY, label="reads a million tokens"),
        Patch(facecolor=palette.VISIBLE, edgecolor=palette.INK, label="writes a thousand"),
    ]
    ax.legend(handles=handles, loc="lower right", ncols=2)
    return fig


def pairs(states: np.ndarray) -> Figure:
    """Every pair of query (row) and key (column): 0 future, 1 left out, 2 chosen, 3 local."""
    fig = new_figure(7.4, 3.9)
    ax = fig.add_subplot()
    letters = ("", "-", "c", "L")
    for (token, page), state in np.ndenumerate(states):
        look = {"facecolor": palette.STATES(state / 3), "edgecolor": "white", "linewidth": 2}
        hatch = palette.FORCED_HATCH if state == 3 else None
        ax.add_patch(Rectangle((page, token), 1, 1, hatch=hatch, **look))
        middle = {"ha": "center", "va": "center", "color": "white" if state == 2 else palette.INK}
        box = {"boxstyle": "circle,pad=0.1", "fc": palette.FORCED, "ec": "none"}
        letter = letters[state]
        ax.text(page + 0.5, token + 0.5, letter, bbox=box if state == 3 else None, **middle)
    for axis, count in ((ax.xaxis, states.shape[1]), (ax.yaxis, states.shape[0])):
        axis.set_ticks(np.arange(count) + 0.5, range(count))
        axis.set_tick_params(length=0)
    ax.set(xlim=(0, states.shape[1]), ylim=(states.shape[0], 0), aspect="equal")
    ax.set(xlabel="key (token)", ylabel="query (token)")
    ax.spines[:].set_visible(False)
    names = ("the future", "-  seen, left out", "c  chosen block", "L  local block, always read")
    handles = [
        Patch(
            facecolor=palette.STATES(state / 3),
            hatch=palette.FORCED_HATCH if state == 3 else None,
            label=name,
        )
        for state, name in enumerate(names)
    ]
    ax.legend(handles=handles, loc="center left", bbox_to_anchor=(1.02, 0.5))
    return fig


def branches(shares: dict[int, tuple[float, float]]) -> Figure:
    """Index scan and main branch at each context, in shares of dense."""
    fig = new_figure(8.4, 3.0)
    ax = fig.add_subplot()
    for place, (index, main) in enumerate(shares.values()):
        ax.bar(place, index, 0.6, color=INDEX)
        ax.bar(place, main, 0.6, bottom=index, color=palette.CHOSEN)
        words = f"{1 / (index + main):.2f} x\nmain: {main / (index + main):.0%} of it"
        ax.text(place, index + main + 0.02, words, ha="center", fontsize=9)
    ax.axhline(1, color=palette.INK, linewidth=0.8, linestyle="--")
    ax.text(len(shares) - 0.6, 1.02, "dense", ha="right", va="bottom")
    ax.set_xticks(range(len(shares)), [context_name(n) for n in shares])
    ax.set(xlabel="context (tokens)", ylabel="FLOPs (dense = 1)", ylim=(0, 1.32))
    handles = [
        Patch(color=INDEX, label="index scan"),
        Patch(color=palette.CHOSEN, label="main branch"),
    ]
    ax.legend(handles=handles, loc="center right")
    return fig


def least_times(prefill: dict[str, tuple], decode: dict[str, tuple]) -> Figure:
    """Seconds to compute and to move, for each layer; the longer of the two is the least time."""
    fig = new_figure(8.6, 3.0)
    for ax, times, title in zip(
        fig.subplots(1, 2),
        (prefill, decode),
        ("Prefill: computing decides", "One decode step: moving decides"),
    ):
        longest = max(max(pair) for pair in times.values())
        for row, (name, pair) in enumerate(times.items()):
            for half, (what, time) in enumerate(zip(("compute", "move"), pair)):
                place = 2.5 * row + half
                fill = palette.INK if time == max(pair) else "#BBBBBB"
                ax.barh(place, time, 0.85, color=fill)
                weight = "bold" if time == max(pair) else None
                ax.text(time + longest / 50, place, duration(time), va="center", weight=weight)
                ax.text(-longest / 50, place, f"{name}: {what}", va="center", ha="right")
        ax.set(xlim=(0, 1.5 * longest), ylim=(4.1, -0.6), xticks=[], yticks=[])
        ax.set_xlabel("time, to scale")
        ax.set_title(title)
    return fig


def read_and_kept(read: dict[str, float], kept: dict[str, float], memory: float) -> Figure:
    """Left GB that one layer reads in a decode step, right GB that the whole model keeps."""
    fig = new_figure(8.4, 2.9)
    left, right = fig.subplots(1, 2)
    for ax, amounts, form in ((left, read, "{:.2f} GB"), (right, kept, "{:.0f} GB")):
        for row, (name, amount) in enumerate(amounts.items()):
            fill = {"color": palette.CHOSEN} if "MSA" in name else {"color": palette.GREY}
            ax.barh(name, amount / 1e9, 0.6, **fill)
            ax.text(amount / 1e9, row, f" {form.format(amount / 1e9)}", va="center")
        ax.set(ylim=(len(amounts) - 0.4, -0.6), xlim=(0, 1.3 * max(amounts.values()) / 1e9))
    left.set(title="One layer reads, per new token", xlabel="GB")
    right.set(title="All layers keep", xlabel="GB")
    right.axvline(memory / 1e9, color=palette.INK, linestyle="--")
    right.text(memory / 1e9 + 3, 0.5, f"one GPU: {memory / 1e9:.0f} GB", va="center")
    return fig


def forgetful(contexts: list[int], estimate: np.ndarray, right: np.ndarray) -> Figure:
    """How many times less than dense, by an estimate that forgot the cards and by all costs."""
    fig = new_figure(8, 3.5)
    ax = fig.add_subplot()
    ax.plot(contexts, estimate, "s--", color=palette.MISSED)
    ax.plot(contexts, right, "o-", color=palette.CHOSEN)
    ax.axhline(32, color=palette.INK, linewidth=0.8, linestyle=":")
    ax.text(1024, 35, "ceiling 32")
    ax.text(contexts[-3], 100, "the estimate", ha="right", weight="bold")
    ax.text(contexts[-1], 14, "with every cost", color=palette.CHOSEN, ha="right", weight="bold")
    ax.set(xscale="log", yscale="log", xlabel="context (tokens)", ylabel="dense / MSA (times)")
    ax.set_xticks(contexts[::2], [context_name(n) for n in contexts[::2]])
    ax.set_yticks([1, 4, 16, 64, 256], ["1", "4", "16", "64", "256"])
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks([], minor=True)
    return fig
