"""The librarian's library of lesson 00: eight pages on four shelves, and one question."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from msa_course import palette
from msa_course.explorer import Explorer, new_figure, slider

LABELS = np.array(
    [[0.9, 0.1], [0.2, 0.8], [0.3, 0.6], [0.1, 0.9], [1.0, 0.0], [0.8, 0.3], [0.2, 0.7], [0.5, 0.4]]
)
TEMPERATURES = np.array([19.0, 4.0, 7.0, 2.0, 21.0, 18.0, 5.0, 12.0])
SHELF_SIZE = 2
NUM_SHELVES = len(LABELS) // SHELF_SIZE


class Visit(NamedTuple):
    """One question in the library: what every page scores, who is read, and both answers."""

    scores: np.ndarray
    weights: np.ndarray
    shelf_scores: np.ndarray
    shelves: np.ndarray
    read: np.ndarray
    answer_all: float
    answer_read: float
    mass_read: float


def values(sea: int, mountains: int, shelves: int) -> Visit:
    """The visit of a question with these two numbers, when `shelves` shelves are walked to."""
    scores = LABELS @ np.array([sea, mountains], dtype=float)
    weights = np.exp(scores - scores.max())
    weights /= weights.sum()
    shelf_scores = scores.reshape(-1, SHELF_SIZE).max(axis=1)
    chosen = np.sort(np.argsort(-shelf_scores, kind="stable")[:shelves])
    read = np.isin(np.arange(len(LABELS)) // SHELF_SIZE, chosen)
    mass = float(weights[read].sum())
    return Visit(
        scores,
        weights,
        shelf_scores,
        chosen,
        read,
        float(weights @ TEMPERATURES),
        float(weights[read] @ TEMPERATURES[read] / mass),
        mass,
    )


def words(sea: int, mountains: int, shelves: int) -> str:
    """One sentence: the shelves walked to, and the answer beside that of reading every page."""
    visit = values(sea, mountains, shelves)
    names = ", ".join(map(str, visit.shelves))
    where = f"shelf {names}" if shelves == 1 else f"shelves {names}"
    count = int(visit.read.sum())
    return (
        f"The question ({sea} for sea, {mountains} for mountains) sends the librarian to {where}; "
        f"{count} of {len(LABELS)} pages hold {visit.mass_read:.0%} of the weight and answer "
        f"{visit.answer_read:.1f} degrees, all pages answer {visit.answer_all:.1f}."
    )


def render(sea: int, mountains: int, shelves: int) -> Figure:
    """Left the spine labels and the question's direction, right the weight of every page."""
    visit = values(sea, mountains, shelves)
    figure = new_figure(9, 3.7, layout="none")
    left = figure.add_axes((0.07, 0.2, 0.35, 0.71))
    right = figure.add_axes((0.48, 0.2, 0.5, 0.71))
    draw_labels(left, visit, sea, mountains)
    draw_weights(right, visit)
    return figure


def draw_labels(axes: Axes, visit: Visit, sea: float, mountains: float) -> None:
    """Every page where its spine label puts it; the arrow points where the question points."""
    length = max(np.hypot(sea, mountains), 1e-9)
    if sea or mountains:
        arrow = {"arrowstyle": "-|>", "color": palette.MISSED, "linewidth": 2}
        axes.annotate("", (sea / length, mountains / length), (0, 0), arrowprops=arrow)
    for page, (x, y) in enumerate(LABELS):
        read = visit.read[page]
        box = {"boxstyle": "circle,pad=0.25", "edgecolor": palette.INK, "linewidth": 0.8}
        box["facecolor"] = palette.CHOSEN if read else palette.HIDDEN
        colour = "white" if read else palette.INK
        axes.text(x, y, page, ha="center", va="center", fontsize=9, color=colour, bbox=box)
    axes.set(
        xlim=(-0.05, 1.15),
        ylim=(-0.1, 1.1),
        xlabel="label: how much about the sea",
        ylabel="label: how much about mountains",
        title="Pages by label, and the question",
    )


def draw_weights(axes: Axes, visit: Visit) -> None:
    """The weight of every page, shelf by shelf; pages that are read are dark and outlined."""
    pages = np.arange(len(LABELS))
    fills = np.where(visit.read, palette.CHOSEN, palette.HIDDEN)
    axes.bar(pages, visit.weights, color=fills, edgecolor=palette.INK, linewidth=0.8)
    for page, weight in enumerate(visit.weights):
        axes.text(page, weight + 0.01, f"{weight:.2f}", ha="center", fontsize=9)
    for shelf in range(1, NUM_SHELVES):
        axes.axvline(shelf * SHELF_SIZE - 0.5, color=palette.GREY, linewidth=0.8, linestyle=":")
    names = [f"{page}\n{degrees:.0f}°" for page, degrees in zip(pages, TEMPERATURES)]
    axes.set_xticks(pages, names)
    axes.set(ylim=(0, 1.08), xlabel="page and its temperature (°C); dots part the shelves")
    axes.set_ylabel("weight (all pages: 1)")
    axes.set_title(f"Shelves read: {', '.join(map(str, visit.shelves))} (dark bars)")


def draw_shelves(axes: Axes, visit: Visit | None = None) -> None:
    """The library: a spine for every page, shelf by shelf; with a visit, cards and shelves read.

    A spine is filled as high as its page is about the sea, the rest is about mountains.
    """
    for page, (sea, _) in enumerate(LABELS):
        shelf, place = divmod(page, SHELF_SIZE)
        x = shelf * 2.3 + place * 0.95
        read = visit is None or visit.read[page]
        fill = palette.VISIBLE if read else palette.HIDDEN
        axes.bar(x, 1, 0.85, align="edge", color="white", edgecolor=palette.INK)
        axes.bar(x, sea / LABELS[page].sum(), 0.85, align="edge", color=fill, linewidth=0)
        label = f"sea {sea:.1f}\nmountains {LABELS[page, 1]:.1f}"
        axes.text(x + 0.42, 0.5, label, rotation=90, ha="center", va="center", fontsize=9)
        inside = f"page {page}\n{TEMPERATURES[page]:.0f} °C" if read else f"page {page}\nclosed"
        axes.text(x + 0.42, -0.12, inside, ha="center", va="top", fontsize=9)
        if place == 0 and visit is not None:
            card = {"boxstyle": "round,pad=0.3", "facecolor": "white", "edgecolor": palette.GREY}
            text = f"card: {visit.shelf_scores[shelf]:.1f}" + (", go" if read else "")
            axes.text(x + 0.9, 1.2, text, ha="center", weight="bold" if read else None, bbox=card)
        if place == 0:
            wood = {"color": palette.CHOSEN if visit and read else palette.GREY}
            axes.plot((x - 0.1, x + 1.9), (-0.04, -0.04), linewidth=5, **wood)
            axes.text(x + 0.9, -0.6, f"shelf {shelf}", ha="center", va="top")
    axes.set(xlim=(-0.2, 9), ylim=(-0.8, 1.45 if visit else 1.1))
    axes.set_axis_off()


def explorer() -> Explorer:
    """The library with sliders for the question and for the number of shelves walked to."""
    return Explorer(
        "The librarian",
        render,
        words,
        sea=slider("question: sea", 5, 0, 8),
        mountains=slider("question: mountains", 1, 0, 8),
        shelves=slider("shelves read", 2, 1, NUM_SHELVES),
    )
