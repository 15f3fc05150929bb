"""Pictures of the family album: ten masks, and the mass that each reaches."""

from __future__ import annotations

from functools import cache

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from msa_course import palette
from msa_course.explorer import Explorer, choice, new_figure, slider
from msa_course.family_album import family_toy as toy
from msa_course.family_album.family_album import TEXTS, Album, Mask, compute, describe

SUMMARY, SUMMARY_HATCH = palette.LINES[3], "...."
COLOURS = np.array([to_rgb(c) for c in (palette.HIDDEN, palette.VISIBLE, palette.CHOSEN, SUMMARY)])
DOTS = 128  # a mask is drawn with so many dots a side, each the mean of several tokens
LABELS = ("future", "visible, not read", "read as it is", "read in a summary")


@cache
def dots(mask: Mask) -> np.ndarray:
    """The mask as a picture [128, 128, 3]: each dot the mean colour of its tokens."""
    colours = COLOURS[mask.states]
    tall, wide = (size // DOTS for size in colours.shape[:2])
    return colours.reshape(DOTS, tall, DOTS, wide, 3).mean(axis=(1, 3))


def draw_mask(
    ax: Axes,
    mask: Mask | None,
    title: str,
    *,
    row: int | None = None,
    needle: bool = False,
    corner: tuple[int, int] = (0, 0),
) -> None:
    """Draw one system's mask, keys to the right, queries downward; None says why there is none.

    A bar on the left marks query `row`, a small triangle below the needle.
    """
    left, top = corner
    ax.text(left, top - 5, title)
    if mask is None:
        middle = {"ha": "center", "va": "center", "color": palette.GREY}
        ax.text(left + DOTS / 2, top + DOTS / 2, "needs weights\nof its own", **middle)
        return
    extent = (left, left + DOTS, top + DOTS, top)
    ax.imshow(dots(mask), extent=extent, interpolation="nearest")
    if needle:
        place = left + (toy.NEEDLE + 0.5) * DOTS / toy.NUM_TOKENS
        ax.plot(place, top + DOTS + 4, "^", color=palette.MISSED, markersize=4)
    if row is not None:
        place = top + (row + 0.5) * DOTS / toy.NUM_TOKENS
        ax.plot([left - 6, left - 1], [place, place], color=palette.INK, linewidth=2)


def draw_masks(ax: Axes, album: Album, *, mark: bool = True) -> None:
    """Draw all ten masks in two rows of five; with `mark`, the marked query in each."""
    look = {"row": album.row if mark else None, "needle": album.kind == "needle"}
    for place, (name, mask) in enumerate(album.masks.items()):
        down, right = divmod(place, 5)
        corner = ((DOTS + 16) * right, (DOTS + 24) * down)
        draw_mask(ax, mask, toy.NAMES[name], corner=corner, **look)
    frame(ax, columns=5, rows=2)


def frame(ax: Axes, *, columns: int, rows: int) -> None:
    """Fit axes to so many masks, each 16 dots right of the last or 24 below."""
    width, height = columns * (DOTS + 16), rows * (DOTS + 24)
    ax.set(xlim=(-8, width - 14), ylim=(height - 14, -20), aspect="equal")
    ax.axis("off")


def legend_chips() -> list[Patch]:
    """One patch for each state of a key."""
    hatches = ("", "", "", SUMMARY_HATCH)
    return [
        Patch(facecolor=colour, edgecolor="white", hatch=hatch, label=label, linewidth=0)
        for colour, hatch, label in zip(COLOURS, hatches, LABELS, strict=True)
    ]


def draw_reached(ax: Axes, album: Album) -> None:
    """Draw the mass that the marked query reaches in every system, a dot for the mean query's."""
    for place, (raw, summary, mean) in enumerate(album.reached.values()):
        ax.bar(place, raw, color=palette.CHOSEN)
        look = {"color": SUMMARY, "hatch": SUMMARY_HATCH, "edgecolor": "white", "linewidth": 0}
        ax.bar(place, summary, bottom=raw, **look)
        ax.plot(place, mean, "o", color=palette.INK, markersize=5)
    ax.set_xticks(range(len(album.reached)), [toy.NAMES[n].split()[0] for n in album.reached])
    ax.set(xlim=(-0.6, 9.6), ylim=(0, 1.06), yticks=[0, 0.5, 1], ylabel="share of mass")
    ax.set_title(
        "Mass that the marked query reaches (dot: mean of all queries that count)", size=10
    )


def draw(album: Album) -> Figure:
    """Ten masks, dense first, above the mass that each of them reaches for one query."""
    fig = new_figure(8.4, 6.0, layout="none")
    draw_masks(fig.add_axes((0.02, 0.33, 0.97, 0.61)), album)
    draw_reached(fig.add_axes((0.07, 0.05, 0.92, 0.21)), album)
    fig.legend(handles=legend_chips(), ncols=4, loc="upper left", bbox_to_anchor=(0.02, 1.0))
    return fig


def explorer() -> Explorer:
    """The album: change the text, the budget and the marked query, and compare ten masks."""
    return Explorer(
        "Family album",
        compute,
        draw,
        describe,
        kind=choice("text", TEXTS, "needle"),
        budget=slider("budget (tokens)", 64, toy.BUDGETS[0], toy.BUDGETS[-1], 32),
        row=slider("marked query", 200, 0, toy.NUM_TOKENS - 1),
    )
