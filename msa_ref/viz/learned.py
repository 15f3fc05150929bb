"""Figures of docs/measured/learning.json: what an index learned, and what it is worth."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from msa_ref.viz import palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RECORD = Path(__file__).parents[2] / "docs" / "measured" / "learning.json"
METHODS = {
    "learned": ("learned index", palette.CHOSEN, "o-"),
    "learned+sink": ("learned, first block forced", palette.VISIBLE, "o--"),
    "max": ("exact max score", palette.LINES[2], "s-"),
    "mass": ("exact mass", palette.INK, "s--"),
    "mean": ("mean key", palette.FORCED, "^-"),
    "bound": ("min/max bound", palette.LINES[3], "v-"),
    "window": ("window", palette.MISSED, "x-"),
}
RUNS = {
    "dense": (palette.INK, "-"),
    "msa": (palette.CHOSEN, "-"),
    "no detach": (palette.MISSED, "--"),
    "no warm-up": (palette.FORCED, ":"),
    "no warm-up, no detach": (palette.LINES[3], "-."),
}
SMOOTH = 8  # steps of training joined to one point


@cache
def load(path: Path = RECORD) -> dict:
    """The record."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


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


def draw_budgets(axes: Axes, rows: list[dict], value: str, interval: str) -> None:
    """`value` of every method against the budget, with its interval as an error bar."""
    shown = methods(rows)
    for place, name in enumerate(shown):
        found = sorted(find(rows, method=name), key=lambda row: row["budget"])
        middle = np.array([row[value] for row in found])
        ends = np.array([row[interval] for row in found]).T
        label, colour, style = METHODS[name]
        # Apart by a few per cent, so that error bars do not hide each other.
        budgets = np.array([row["budget"] for row in found]) * 1.03 ** (place - len(shown) / 2)
        bars = np.abs(ends - middle)
        axes.errorbar(
            budgets, middle, bars, fmt=style, color=colour, label=label, markersize=4, lw=1
        )
    axes.set_xscale("log", base=2)
    ticks = sorted({row["budget"] for row in rows})
    axes.set_xticks(ticks, [f"{tick}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("budget (tokens)")


def needle_rows(record: dict, length: int, block_size: int) -> list[dict]:
    """Needles of one context and block size, as shares of those tried."""
    rows = find(record["needles"], length=length, block_size=block_size)
    return [row | {"share": row["right"] / row["of"]} for row in rows]


def dense_share(record: dict, length: int) -> float:
    """Share of the needles that dense attention finds."""
    (row,) = find(record["needles"], length=length, method="dense")
    return row["right"] / row["of"]


def draw_run(axes: Axes, run: dict) -> None:
    """LM loss of one run through its steps, a few joined to one point."""
    colour, style = RUNS[run["run"]]
    curve = np.array(run["lm_curve"])
    width = min(SMOOTH, len(curve))
    points = curve[: len(curve) // width * width].reshape(-1, width).mean(axis=1)
    steps = (np.arange(len(points)) + 0.5) * width
    axes.plot(steps, points, style, color=colour, label=run["run"])
    axes.set(xlabel="training step", ylabel="LM loss (nats a token)")


def draw_short_runs(axes: Axes, record: dict) -> None:
    """Score recall through the short trainings: seeds that warm up, and one that does not."""
    named = {"warm-up, by seed": (palette.CHOSEN, "-"), "no warm-up": (palette.MISSED, "--")}
    for run in record["short_runs"]:
        label = "no warm-up" if run["name"] == "cold" else "warm-up, by seed"
        colour, style = named[label]
        if label in axes.get_legend_handles_labels()[1]:
            label = None
        steps = [point["step"] for point in run["curve"]]
        recalls = [point["score_recall"] for point in run["curve"]]
        axes.plot(steps, recalls, style, color=colour, label=label)
    axes.set(ylim=(0, 1.02), xlabel="training step", ylabel="score recall")


def loss_change(record: dict, run: str) -> tuple[float, float, float]:
    """Held-out LM loss of a run after training against the dense control's, per cent.

    The mean over the texts, and twice its standard error below and above.
    """
    (control,), (found,) = (find(record["joint"], run=name) for name in ("dense", run))
    after, of_control = np.array(found["lm_after"]), np.array(control["lm_after"])
    change = 100 * (after - of_control) / of_control.mean()
    spread = 2 * change.std(ddof=1) / len(change) ** 0.5 if len(change) > 1 else np.nan
    return float(change.mean()), float(change.mean() - spread), float(change.mean() + spread)


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
