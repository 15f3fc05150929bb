"""Figures of the lesson on guessing rules: a catalogue, a toy, ranks, needles, mass and a bug."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.patches import Rectangle

from msa_course import palette
from msa_course.figures import new_figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BUG = palette.MISSED
BUG_INK = "#B34700"  # the same as text, which needs more contrast
COLOURS = {
    "mean key": "#A3386F",
    "min/max bound": "#8A5A00",
    "max score": palette.CHOSEN,
    "exact mass": "#007A5A",
}
SPACE, LINE_END = "\N{OPEN BOX}", "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}"


def settled(fig: Figure) -> Figure:
    """The figure, its axes where constrained layout puts them once."""
    fig.draw_without_rendering()
    fig.set_layout_engine("none")
    return fig


def one_line(words: Sequence[str]) -> str:
    """Tokens as one line of text, runs of white space as one space."""
    return " ".join("".join(words).split()).replace("$", "\\$")


def catalogue(words: Sequence[str], position: int, block_size: int, width: int = 124) -> Figure:
    """The blocks up to a query, a line of their text each; the last one ends with the query."""
    starts = range(0, position + 1, block_size)
    fig = new_figure(9.6, 0.235 * len(starts) + 0.35, layout="none")
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, 100), ylim=(len(starts) + 0.4, -0.9))
    ax.axis("off")
    ax.text(1, -0.45, "block", size=8, va="center")
    ax.text(6, -0.45, f"its {block_size} tokens, as far as the line goes", size=8, va="center")
    for block, start in enumerate(starts):
        line = one_line(words[start : min(start + block_size, position + 1)])
        if block == len(starts) - 1:
            ax.text(1, block + 0.3, f"{block}", size=9, va="center", weight="bold")
            ax.text(6, block + 0.3, line + " \u2026?", size=9, va="center", weight="bold")
            continue
        line = line if len(line) <= width else line[: width - 1] + "\u2026"
        shade = palette.HIDDEN if block % 2 else "white"
        ax.add_patch(Rectangle((0.5, block - 0.2), 99, 1, facecolor=shade, edgecolor="none"))
        ax.text(1, block + 0.3, f"{block}", size=9, va="center", weight="bold")
        ax.text(6, block + 0.3, line, size=8.5, va="center", family="DejaVu Sans Mono")
    return fig


def toy(keys: np.ndarray, exponentials: np.ndarray, rules: dict[str, np.ndarray]) -> Figure:
    """Four blocks of two tokens, each with its key and e^score, and every rule's score below.

    `rules` gives four scores per rule; the best one is filled.
    """
    fig = new_figure(8.6, 1.5 + 0.45 * len(rules), layout="none")
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set(xlim=(-1.35, 4.02), ylim=(2.75 + len(rules) * 0.9, -0.5))
    ax.axis("off")
    for row, label in enumerate(("key", "e to the score")):
        ax.text(-1.3, row * 0.9 + 0.85, label, va="center", size=10, weight="bold")
    for block in range(4):
        ax.text(block + 0.48, -0.05, f"block {block}", ha="center", size=10, weight="bold")
        for i in range(2):
            x, token = block + 0.03 + 0.46 * i, 2 * block + i
            key = ", ".join(f"{c:g}".replace("-", "\u2212") for c in keys[token])
            _cell(ax, x, 0.45, 0.44, f"({key})", "white", "black", 9.5)
            _cell(ax, x, 1.35, 0.44, f"{exponentials[token]:g}", "white", "black", 11)
    for row, (rule, scores) in enumerate(rules.items()):
        y = 2.5 + row * 0.9
        ax.text(-1.3, y + 0.4, rule, va="center", size=10, weight="bold", color=COLOURS[rule])
        for block, score in enumerate(scores):
            best = block == int(np.argmax(scores))
            face = COLOURS[rule] if best else palette.HIDDEN
            text = f"{score:g}" + (" : read" if best else "")
            _cell(ax, block + 0.03, y, 0.9, text, face, "white" if best else "black", 10.5)
    return fig


def _cell(ax: Axes, x, y, width, text, face, ink, size):
    box = Rectangle((x, y), width, 0.78, facecolor=face, edgecolor=palette.GREY, linewidth=0.8)
    ax.add_patch(box)
    ax.text(x + width / 2, y + 0.4, text, ha="center", va="center", size=size, color=ink)


def found_by_budget(ranks: dict[str, np.ndarray], largest: int) -> Figure:
    """Share of the look-ups whose block is among the best k of a rule, for k from 1."""
    fig = new_figure(8, 3.1)
    ax = fig.subplots()
    budgets = np.arange(1, largest + 1)
    for rule, places in ranks.items():
        shares = [(places <= k).mean() for k in budgets]
        style = "o-" if rule not in ("exact mass",) else "s--"
        ax.plot(budgets, shares, style, markersize=4, color=COLOURS[rule])
    ax.axvline(4, color=palette.GREY, linewidth=0.8, linestyle=":")
    ax.text(8.2, 1.03, "max score, exact mass", color=COLOURS["max score"], va="bottom")
    ax.text(6.2, 0.84, "mean key", color=COLOURS["mean key"])
    ax.text(6.6, 0.52, "min/max bound", color=COLOURS["min/max bound"])
    ax.set(xlabel="k, blocks of 32 that are read", ylabel="share of look-ups found")
    ax.set(ylim=(0, 1.14), xticks=budgets, yticks=[0, 0.5, 1])
    return settled(fig)


def needles(panels: list[tuple[str, list[dict]]]) -> Figure:
    """Needles found, with their 95 % intervals, beside the attention mass that was kept.

    A panel is (title, rows of the record, one per rule).
    """
    fig = new_figure(9, 3.2)
    axes = fig.subplots(1, len(panels), sharey=True)
    for ax, (title, rows) in zip(axes, panels):
        for y, row in enumerate(rows):
            share, (low, high) = row["right"] / row["of"], row["interval"]
            ax.hlines(y, 0, 1, color=palette.HIDDEN, linewidth=6, zorder=0)
            ax.hlines(y, low, high, color=palette.CHOSEN, linewidth=2.5)
            found = ax.plot(share, y, "o", color=palette.CHOSEN, markersize=9)[0]
            ax.text(share, y - 0.22, f"{row['right']} of {row['of']}", ha="center", size=9)
            kept = ax.plot(row["mass"], y, "D", color=palette.FORCED, markersize=7)[0]
        names = [row["rule"] for row in rows]
        ax.set(xlim=(-0.06, 1.06), ylim=(len(rows) - 0.6, -0.6), xlabel="share", title=title)
        ax.set_yticks(range(len(rows)), names)
        ax.tick_params(axis="y", length=0)
    labels = ["needles found, 95 % interval", "attention mass kept"]
    fig.legend([found, kept], labels, loc="outside lower center", ncols=2)
    return settled(fig)


def joins(rows: list[tuple[str, int, int]], of: int) -> Figure:
    """Needles found when the highest and when the mean of a group's scores counts, per rule."""
    fig = new_figure(8, 2.5)
    ax = fig.subplots()
    for y, (_, highest, mean) in enumerate(rows):
        ax.plot([mean, highest], [y, y], color=palette.GREY, linewidth=1.5, zorder=0)
        ax.plot(highest, y, "o", color=palette.CHOSEN, markersize=10)
        ax.plot(mean, y, "o", color="white", markeredgecolor=BUG, markeredgewidth=2, markersize=10)
        if highest - mean > 3:
            ax.text(highest, y - 0.3, f"highest: {highest}", ha="center", size=9)
            ax.text(mean, y - 0.3, f"mean: {mean}", ha="center", size=9, color=BUG_INK)
        else:
            ax.text(highest + 0.9, y, f"highest: {highest}, mean: {mean}", size=9, va="center")
    ax.set(xlim=(-1, of + 8), ylim=(len(rows) - 0.5, -0.7), xlabel=f"needles found, of {of}")
    ax.set_yticks(range(len(rows)), [rule for rule, *_ in rows])
    ax.set_xticks(range(0, of + 1, 10))
    return settled(fig)


def where_mass_is(layers: Sequence[int], first: Sequence[float], local: Sequence[float]) -> Figure:
    """Share of all attention in the first block, the local block and everything between."""
    fig = new_figure(8, 2.1)
    ax = fig.subplots()
    rows = np.arange(len(layers))
    between = 1 - np.array(first) - np.array(local)
    left = np.zeros(len(layers))
    parts = [("first block", first, palette.FORCED, "black")]
    parts += [("in between", between, palette.HIDDEN, "black")]
    parts += [("local block", local, palette.VISIBLE, "black")]
    for name, shares, colour, ink in parts:
        bars = ax.barh(rows, shares, left=left, color=colour, edgecolor="white", height=0.75)
        if name == "first block":
            for bar in bars:
                bar.set(hatch=palette.FORCED_HATCH)
        for row, share in enumerate(shares):
            middle = left[row] + share / 2
            box = {"facecolor": colour, "edgecolor": "none", "pad": 1.5}
            text = f"{share:.0%}" + (f" {name}" if row == len(rows) - 1 else "")
            if share > 0.04:
                ax.text(middle, row, text, ha="center", va="center", color=ink, size=9, bbox=box)
        left = left + shares
    ax.set_yticks(rows, [f"layer {layer}" for layer in layers])
    ax.set(xlim=(0, 1), ylim=(len(rows) - 0.5, -0.5), xlabel="share of all attention", xticks=[])
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    return settled(fig)


def group_mass(right: np.ndarray, wrong: np.ndarray, target: int) -> Figure:
    """Mass of every block for a group, softmax first and mean first; the target's block named."""
    fig = new_figure(9, 2.9)
    axes = fig.subplots(1, 2, sharey=True)
    titles = ("Softmax of each head, then the mean", "Bug: mean of the scores, then a softmax")
    for ax, mass, title in zip(axes, (right, wrong), titles):
        ink = palette.INK if mass is right else BUG_INK
        colours = np.full(len(mass), palette.VISIBLE, dtype=object)
        colours[target] = palette.CHOSEN if mass is right else BUG
        ax.bar(np.arange(len(mass)), mass, color=colours)
        place = (target, max(mass[target], 0.02) + 0.02)
        ax.text(*place, f"block {target}\n{mass[target]:.1%}", ha="center", size=9, color=ink)
        ax.text(0.6, mass[0] - 0.02, "sink", va="top", size=9)
        ax.set(xlabel="block of 32 tokens", xticks=range(0, len(mass), 3), ylim=(0, 1.05))
        ax.set_title(title, size=10, color=ink)
    axes[0].set_ylabel("mass")
    return settled(fig)
