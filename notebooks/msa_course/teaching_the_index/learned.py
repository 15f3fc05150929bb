"""Figures of the record "learning": what an index learned, and what it is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from msa_course import palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METHODS = {
    "learned": ("learned index", palette.CHOSEN, "o-"),
    "learned+sink": ("learned, first block forced", palette.VISIBLE, "o--"),
    "max": ("exact max score", palette.LINES[2], "s-"),
    "mass": ("exact mass", palette.INK, "s--"),
    "mean": ("mean key", palette.FORCED, "^-"),
    "bound": ("min/max bound", palette.LINES[3], "v-"),
    "window": ("window", palette.MISSED, "x-"),
}


def find(rows: list[dict], **key) -> list[dict]:
    """The rows that have these values."""
    return [row for row in rows if all(row.get(name) == value for name, value in key.items())]


def methods(rows: list[dict]) -> list[str]:
    """The methods these rows are about, in the figures' order; dense is none."""
    found = {row["method"] for row in rows}
    return [name for name in METHODS if name in found]


def draw_recall_curve(axes: Axes, record: dict, share: str) -> None:
    """`share` (score_recall or block_recall) by step: mean of the layers, worst and best."""
    steps = [row["step"] for row in record["recall_curve"]]
    layers = np.array([row[share] for row in record["recall_curve"]])
    band = layers.min(axis=1), layers.max(axis=1)
    axes.fill_between(steps, *band, color=palette.VISIBLE, alpha=0.3, linewidth=0)
    axes.plot(steps, layers.mean(axis=1), "o-", color=palette.CHOSEN, markersize=4)
    axes.set_xscale("symlog", linthresh=10)
    axes.set(ylim=(0, 1.02), xlabel="training step", ylabel=share.replace("_", " "))


def draw_by_layer(axes: Axes, record: dict, **setting) -> None:
    """Score recall of every layer, one line a method."""
    rows = find(record["recall"], **setting)
    for name in methods(rows):
        (row,) = find(rows, method=name)
        label, colour, style = METHODS[name]
        axes.plot(row["score_recall"], style, color=colour, label=label, markersize=3, lw=1)
    axes.set(ylim=(0, 1.02), xlabel="layer", ylabel="score recall")


def draw_methods(axes: Axes, rows: list[dict], value: str, interval: str, across: str) -> None:
    """`value` of every method, with its interval as an error bar, across budgets or lengths."""
    shown = methods(rows)
    for place, name in enumerate(shown):
        found = sorted(find(rows, method=name), key=lambda row: row[across])
        middle = np.array([row[value] for row in found])
        ends = np.array([row[interval] for row in found]).T
        label, colour, style = METHODS[name]
        # Apart by a few per cent, so that error bars do not hide each other.
        tokens = np.array([row[across] for row in found]) * 1.03 ** (place - len(shown) / 2)
        bars = np.abs(ends - middle)
        axes.errorbar(
            tokens, middle, bars, fmt=style, color=colour, label=label, markersize=4, lw=1
        )
    axes.set_xscale("log", base=2)
    ticks = sorted({row[across] for row in rows})
    axes.set_xticks(ticks, [f"{tick}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel(f"{across} (tokens)")


def needle_rows(record: dict, **setting) -> list[dict]:
    """Needles of one setting, as shares of those tried."""
    rows = find(record["needles"], **setting)
    return [row | {"share": row["right"] / row["of"]} for row in rows]


def draw_agreement(axes: Axes, record: dict, **setting) -> None:
    """By layer: overlap of the groups and of neighbouring layers, share of the first block."""
    (row,) = find(record["agreement"], **setting)
    axes.plot(row["groups"], "o-", color=palette.CHOSEN, markersize=3, label="two groups")
    layers = np.arange(1, len(row["neighbours"]) + 1)
    axes.plot(
        layers, row["neighbours"], "s-", color=palette.FORCED, markersize=3, label="layer before"
    )
    axes.plot(row["first_block"], "x-", color=palette.MISSED, markersize=4, label="first block")
    axes.axhline(row["chance"], color=palette.GREY, linestyle=":", label="chance")
    axes.set(ylim=(0, 1.02), xlabel="layer", ylabel="share of the choice")
