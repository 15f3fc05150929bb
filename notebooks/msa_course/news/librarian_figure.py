"""The librarian's library as a picture, and the explorer over it."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch, Rectangle

from msa_course import palette
from msa_course.figures import new_figure
from msa_course.live import show_live
from msa_course.news.librarian import (
    SHELF_SIZE,
    STRONGEST,
    TEMPERATURES,
    TENTHS,
    Visit,
    compute,
    describe,
)

MODULE = Path(__file__).with_name("librarian.mjs")
OPENING = {"sea": 5, "mountains": 1, "shelves": 2}


def explorer() -> None:
    """Shows the library with sliders for the question and for the number of shelves opened."""
    visit = compute(**OPENING)
    show_live(MODULE, payload(), draw(visit), describe(visit))


def payload() -> dict:
    """What the explorer computes from, as JSON."""
    return {
        "tenths": TENTHS.tolist(),
        "temperatures": TEMPERATURES.tolist(),
        "shelf_size": SHELF_SIZE,
        "strongest": STRONGEST,
        "opening": OPENING,
    }


def draw(visit: Visit) -> Figure:
    """Cards above, pages on their shelves, and below how the attention is spread."""
    fig = new_figure(8.6, 3.9, layout="none")
    ax = fig.add_axes((0.01, 0.01, 0.98, 0.98))
    for page in range(len(TENTHS)):
        _draw_page(ax, visit, page)
    for y, words in ((3.35, "cards:\nall read"), (2.2, "pages"), (0.55, "share of the\nattention")):
        ax.text(-0.1, y, words, ha="right", va="center", fontsize=9)
    question = (
        f"Question: how warm is it by the sea?  (sea {visit.sea}, mountains {visit.mountains})"
    )
    ax.text(-1.25, 4.05, question, fontsize=11, weight="bold", va="center")
    ax.set(xlim=(-1.3, 9.3), ylim=(-0.15, 4.3))
    ax.set_axis_off()
    return fig


def _draw_page(ax: Axes, visit: Visit, page: int) -> None:
    shelf, place = divmod(page, SHELF_SIZE)
    x = shelf * 2.35 + place * 1.02
    middle = {"ha": "center", "va": "center"}
    read, score = visit.read[page], visit.scores[page]
    best = page == shelf * SHELF_SIZE + visit.scores[shelf * SHELF_SIZE :][:SHELF_SIZE].argmax()
    shape = "round,pad=0,rounding_size=0.06"
    edge = {"edgecolor": palette.INK, "linewidth": 0.8}
    card = FancyBboxPatch((x + 0.16, 3.14), 0.6, 0.42, boxstyle=shape, fc=palette.VISIBLE, **edge)
    ax.add_patch(card)
    ax.text(x + 0.46, 3.35, f"{score:.1f}", fontsize=10, weight="bold" if best else None, **middle)
    if best:
        ring = {"fill": False, "edgecolor": palette.INK, "linewidth": 1.8}
        ax.add_patch(Circle((x + 0.46, 3.35), 0.4, **ring))
    fill, ink = (palette.CHOSEN, "white") if read else (palette.HIDDEN, palette.INK)
    ax.add_patch(Rectangle((x, 1.55), 0.92, 1.3, facecolor=fill, **edge))
    sea, mountains = TENTHS[page] / 10
    inside = f"{TEMPERATURES[page]:.0f} °C" if read else "closed"
    ax.text(x + 0.46, 2.5, inside, fontsize=10.5, weight="bold", color=ink, **middle)
    about = f"sea {sea:.1f}\nmount. {mountains:.1f}"
    ax.text(x + 0.46, 1.93, about, fontsize=8, color=ink, **middle)
    if place == 0:
        wood = palette.CHOSEN if read else palette.GREY
        ax.add_patch(Rectangle((x - 0.07, 1.45), 2.08, 0.1, facecolor=wood, linewidth=0))
        ax.text(
            x + 0.97, 1.28, f"shelf {shelf}: " + ("open" if read else "dark"), fontsize=9, **middle
        )
    weight = visit.weights[page]
    bar = {"facecolor": fill, "hatch": None if read else "....", **edge}
    ax.add_patch(Rectangle((x + 0.16, 0.0), 0.6, weight * 0.75, **bar))
    ax.text(x + 0.46, weight * 0.75 + 0.14, f"{weight:.0%}", fontsize=9, **middle)
