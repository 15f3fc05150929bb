"""Pictures of the librarian's library: pages by label, weights, shelves."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from msa_course import palette
from msa_course.explorer import Explorer, new_figure, slider
from msa_course.news.librarian import (
    LABELS,
    NUM_SHELVES,
    SHELF_SIZE,
    TEMPERATURES,
    Visit,
    compute,
    describe,
)


def draw(visit: Visit) -> Figure:
    """Left the spine labels and the question's direction, right the weight of every page."""
    fig = new_figure(9, 3.7, layout="none")
    left = fig.add_axes((0.07, 0.2, 0.35, 0.71))
    right = fig.add_axes((0.48, 0.2, 0.5, 0.71))
    draw_labels(left, visit)
    draw_weights(right, visit)
    return fig


def draw_labels(ax: Axes, visit: Visit) -> None:
    """Every page where its spine label puts it; the arrow points where the question points."""
    sea, mountains = visit.sea, visit.mountains
    length = max(np.hypot(sea, mountains), 1e-9)
    if sea or mountains:
        arrow = {"arrowstyle": "-|>", "color": palette.MISSED, "linewidth": 2}
        ax.annotate("", (sea / length, mountains / length), (0, 0), arrowprops=arrow)
    for page, (x, y) in enumerate(LABELS):
        read = visit.read[page]
        box = {"boxstyle": "circle,pad=0.25", "edgecolor": palette.INK, "linewidth": 0.8}
        box["facecolor"] = palette.CHOSEN if read else palette.HIDDEN
        colour = "white" if read else palette.INK
        ax.text(x, y, page, ha="center", va="center", fontsize=9, color=colour, bbox=box)
    ax.set(
        xlim=(-0.05, 1.15),
        ylim=(-0.1, 1.1),
        xlabel="label: how much about the sea",
        ylabel="label: how much about mountains",
        title="Pages by label, and the question",
    )


def draw_weights(ax: Axes, visit: Visit) -> None:
    """The weight of every page, shelf by shelf; pages that are read are dark and outlined."""
    pages = np.arange(len(LABELS))
    fills = np.where(visit.read, palette.CHOSEN, palette.HIDDEN)
    ax.bar(pages, visit.weights, color=fills, edgecolor=palette.INK, linewidth=0.8)
    for page, weight in enumerate(visit.weights):
        ax.text(page, weight + 0.01, f"{weight:.2f}", ha="center", fontsize=9)
    for shelf in range(1, NUM_SHELVES):
        ax.axvline(shelf * SHELF_SIZE - 0.5, color=palette.GREY, linewidth=0.8, linestyle=":")
    names = [f"{page}\n{degrees:.0f}°" for page, degrees in zip(pages, TEMPERATURES)]
    ax.set_xticks(pages, names)
    ax.set(ylim=(0, 1.08), xlabel="page and its temperature (°C); dots part the shelves")
    ax.set_ylabel("weight (all pages: 1)")
    ax.set_title(f"Shelves read: {', '.join(map(str, visit.shelves))} (dark bars)")


def draw_shelves(ax: Axes, visit: Visit | None = None) -> None:
    """The library: a spine for every page, shelf by shelf; with a visit, cards and shelves read.

    A spine is filled as high as its page is about the sea, the rest is about mountains.
    """
    for page, (sea, _) in enumerate(LABELS):
        shelf, place = divmod(page, SHELF_SIZE)
        x = shelf * 2.3 + place * 0.95
        read = visit is None or visit.read[page]
        fill = palette.VISIBLE if read else palette.HIDDEN
        ax.bar(x, 1, 0.85, align="edge", color="white", edgecolor=palette.INK)
        ax.bar(x, sea / LABELS[page].sum(), 0.85, align="edge", color=fill, linewidth=0)
        label = f"sea {sea:.1f}\nmountains {LABELS[page, 1]:.1f}"
        ax.text(x + 0.42, 0.5, label, rotation=90, ha="center", va="center", fontsize=9)
        inside = f"page {page}\n{TEMPERATURES[page]:.0f} °C" if read else f"page {page}\nclosed"
        ax.text(x + 0.42, -0.12, inside, ha="center", va="top", fontsize=9)
        if place == 0 and visit is not None:
            card = {"boxstyle": "round,pad=0.3", "facecolor": "white", "edgecolor": palette.GREY}
            text = f"card: {visit.shelf_scores[shelf]:.1f}" + (", go" if read else "")
            ax.text(x + 0.9, 1.2, text, ha="center", weight="bold" if read else None, bbox=card)
        if place == 0:
            wood = {"color": palette.CHOSEN if visit and read else palette.GREY}
            ax.plot((x - 0.1, x + 1.9), (-0.04, -0.04), linewidth=5, **wood)
            ax.text(x + 0.9, -0.6, f"shelf {shelf}", ha="center", va="top")
    ax.set(xlim=(-0.2, 9), ylim=(-0.8, 1.45 if visit else 1.1))
    ax.set_axis_off()


def explorer() -> Explorer:
    """The library with sliders for the question and for the number of shelves walked to."""
    return Explorer(
        "The librarian",
        compute,
        draw,
        describe,
        sea=slider("question: sea", 5, 0, 8),
        mountains=slider("question: mountains", 1, 0, 8),
        shelves=slider("shelves read", 2, 1, NUM_SHELVES),
    )
