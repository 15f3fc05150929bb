"""Figures of the record "learning": what an index learned, and what it is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from msa_course import palette
from msa_course.records import find
from msa_course.teaching_the_index.learned import LABELS, methods

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLES = {
    "learned": (palette.CHOSEN, "o-"),
    "learned+sink": (palette.VISIBLE, "o--"),
    "max": (palette.LINES[2], "s-"),
    "mass": (palette.INK, "s--"),
    "mean": (palette.FORCED, "^-"),
    "bound": (palette.LINES[3], "v-"),
    "window": (palette.MISSED, "x-"),
}


def draw_recall_curve(ax: Axes, record: dict, share: str) -> None:
    """`share` (score_recall or block_recall) by step: mean of the layers, worst and best."""
    steps = [row["step"] for row in record["recall_curve"]]
    layers = np.array([row[share] for row in record["recall_curve"]])
    band = layers.min(axis=1), layers.max(axis=1)
    ax.fill_between(steps, *band, color=palette.VISIBLE, alpha=0.3, linewidth=0)
    ax.plot(steps, layers.mean(axis=1), "o-", color=palette.CHOSEN, markersize=4)
    ax.set_xscale("symlog", linthresh=10)
    ax.set(ylim=(0, 1.02), xlabel="training step", ylabel=share.replace("_", " "))


def draw_by_layer(ax: Axes, record: dict, **setting) -> None:
    """Score recall of every layer, one line a method."""
    rows = find(record["recall"], **setting)
    for name in methods(rows):
        (row,) = find(rows, method=name)
        colour, style = STYLES[name]
        ax.plot(row["score_recall"], style, color=colour, label=LABELS[name], markersize=3, lw=1)
    ax.set(ylim=(0, 1.02), xlabel="layer", ylabel="score recall")


def draw_methods(ax: Axes, rows: list[dict], value: str, interval: str, across: str) -> None:
    """`value` of every method, with its interval as an error bar, across budgets or lengths."""
    shown = methods(rows)
    for place, name in enumerate(shown):
        found = sorted(find(rows, method=name), key=lambda row: row[across])
        middle = np.array([row[value] for row in found])
        ends = np.array([row[interval] for row in found]).T
        colour, style = STYLES[name]
        # Apart by a few per cent, so that error bars do not hide each other.
        tokens = np.array([row[across] for row in found]) * 1.03 ** (place - len(shown) / 2)
        bars = np.abs(ends - middle)
        ax.errorbar(
            tokens, middle, bars, fmt=style, color=colour, label=LABELS[name], markersize=4, lw=1
        )
    ax.set_xscale("log", base=2)
    ticks = sorted({row[across] for row in rows})
    ax.set_xticks(ticks, [f"{tick}" for tick in ticks])
    ax.minorticks_off()
    ax.set_xlabel(f"{across} (tokens)")


def draw_agreement(ax: Axes, record: dict, **setting) -> None:
    """By layer: overlap of the groups and of neighbouring layers, share of the first block."""
    (row,) = find(record["agreement"], **setting)
    ax.plot(row["groups"], "o-", color=palette.CHOSEN, markersize=3, label="two groups")
    layers = np.arange(1, len(row["neighbours"]) + 1)
    ax.plot(
        layers, row["neighbours"], "s-", color=palette.FORCED, markersize=3, label="layer before"
    )
    ax.plot(row["first_block"], "x-", color=palette.MISSED, markersize=4, label="first block")
    ax.axhline(row["chance"], color=palette.GREY, linestyle=":", label="chance")
    ax.set(ylim=(0, 1.02), xlabel="layer", ylabel="share of the choice")
