"""The album explorer: ten systems' masks on the same tokens at the same budget, and what they hold.

The toy behind it is `msa_course.family_album.family_toy`.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from msa_course import palette
from msa_course.explorer import Explorer, choice, new_figure, slider
from msa_course.family_album import family_toy as toy
from msa_ref import data

SUMMARY, SUMMARY_HATCH = palette.LINES[3], "...."
HIDDEN, UNREAD, RAW, IN_SUMMARY = range(4)
COLOURS = np.array([to_rgb(c) for c in (palette.HIDDEN, palette.VISIBLE, palette.CHOSEN, SUMMARY)])
LABELS = ("future", "visible, not read", "read as it is", "read in a summary")
DOTS = 128  # a mask is drawn with so many dots a side, each the mean of several tokens
TEXTS = (*toy.MADE, toy.REAL_TEXT)
HEAD = {toy.REAL_TEXT: 6}  # the head whose mask is drawn: one that looks up; else the first


def states(name: str, kind: str, budget: int) -> np.ndarray:
    """One head's mask [T, S] of one system: HIDDEN, UNREAD, RAW or IN_SUMMARY."""
    head = HEAD.get(kind, 0)
    raw, summary = (part[head] for part in toy.reach(name, kind, budget))
    num_queries, num_keys = raw.shape
    positions = np.arange(num_keys - num_queries, num_keys)
    visible = np.arange(num_keys) <= positions[:, None]
    return np.select([raw, summary, visible], [RAW, IN_SUMMARY, UNREAD], HIDDEN)


@cache
def dots(name: str, kind: str, budget: int) -> np.ndarray:
    """The mask as a picture [128, 128, 3]: each dot the mean colour of its tokens."""
    colours = COLOURS[states(name, kind, budget)]
    tall, wide = (size // DOTS for size in colours.shape[:2])
    return colours.reshape(DOTS, tall, DOTS, wide, 3).mean(axis=(1, 3))


def tokens_read(name: str, kind: str, budget: int) -> tuple[float, float]:
    """Keys that the last query of the drawn head reads: raw tokens, and summaries' tokens."""
    last = states(name, kind, budget)[-1]
    return int((last == RAW).sum()), int((last == IN_SUMMARY).sum())


def draw_mask(
    axes,
    name: str,
    kind: str,
    budget: int,
    row: int | None = None,
    corner: tuple[int, int] = (0, 0),
    title: str | None = None,
) -> None:
    """Draw one system's mask, keys to the right, queries downward.

    A bar on the left marks query `row`, a small triangle below the needle.
    """
    left, top = corner
    axes.text(left, top - 5, toy.NAMES[name] if title is None else title)
    if name not in toy.systems_on(kind):
        middle = {"ha": "center", "va": "center", "color": palette.GREY}
        axes.text(left + DOTS / 2, top + DOTS / 2, "needs weights\nof its own", **middle)
        return
    extent = (left, left + DOTS, top + DOTS, top)
    axes.imshow(dots(name, kind, budget), extent=extent, interpolation="nearest")
    if kind == "needle":
        place = left + (toy.NEEDLE + 0.5) * DOTS / toy.NUM_TOKENS
        axes.plot(place, top + DOTS + 4, "^", color=palette.MISSED, markersize=4)
    if row is not None:
        place = top + (row + 0.5) * DOTS / toy.NUM_TOKENS
        axes.plot([left - 6, left - 1], [place, place], color=palette.INK, linewidth=2)


def draw_masks(axes, kind: str, budget: int, row: int | None = None) -> None:
    """Draw all ten masks in two rows of five."""
    for place, name in enumerate(toy.NAMES):
        down, right = divmod(place, 5)
        draw_mask(axes, name, kind, budget, row, corner=((DOTS + 16) * right, (DOTS + 24) * down))
    frame(axes, columns=5, rows=2)


def frame(axes, *, columns: int, rows: int) -> None:
    """Fit axes to so many masks, each 16 dots right of the last or 24 below."""
    width, height = columns * (DOTS + 16), rows * (DOTS + 24)
    axes.set(xlim=(-8, width - 14), ylim=(height - 14, -20), aspect="equal")
    axes.axis("off")


def legend_chips() -> list[Patch]:
    """One patch for each state of a key."""
    hatches = ("", "", "", SUMMARY_HATCH)
    return [
        Patch(facecolor=colour, edgecolor="white", hatch=hatch, label=label, linewidth=0)
        for colour, hatch, label in zip(COLOURS, hatches, LABELS, strict=True)
    ]


def draw_held(axes, kind: str, budget: int, row: int) -> None:
    """Draw for every system the mass that query `row` reaches, and a dot for the mean query's."""
    names = toy.systems_on(kind)
    for place, name in enumerate(names):
        raw, summary = (part[row] for part in toy.held(name, kind, budget))
        axes.bar(place, raw, color=palette.CHOSEN)
        look = {"color": SUMMARY, "hatch": SUMMARY_HATCH, "edgecolor": "white", "linewidth": 0}
        axes.bar(place, summary, bottom=raw, **look)
        mean = sum(toy.mean_held(name, kind, budget))
        axes.plot(place, mean, "o", color=palette.INK, markersize=5)
    axes.set_xticks(range(len(names)), [toy.NAMES[name].split()[0] for name in names])
    axes.set(xlim=(-0.6, 9.6), ylim=(0, 1.06), yticks=[0, 0.5, 1], ylabel="share of mass")
    axes.set_title(
        "Mass that the marked query reaches (dot: mean of all queries that count)", size=10
    )


def render(kind: str, budget: int, row: int) -> Figure:
    """Ten masks, dense first, above the mass that each of them reaches for one query."""
    figure = new_figure(8.4, 6.0, layout="none")
    draw_masks(figure.add_axes((0.02, 0.33, 0.97, 0.61)), kind, budget, row)
    draw_held(figure.add_axes((0.07, 0.05, 0.92, 0.21)), kind, budget, row)
    figure.legend(handles=legend_chips(), ncols=4, loc="upper left", bbox_to_anchor=(0.02, 1.0))
    return figure


def heaviest(kind: str, row: int) -> tuple[int, float]:
    """The token in which dense attention puts most for one query, and its weight (drawn head)."""
    weights = toy.attention(kind)[HEAD.get(kind, 0), row]
    return int(weights.argmax()), float(weights.max())


def words(kind: str, budget: int, row: int) -> str:
    """Where dense attention looks most for one query, and who reaches that token, and how."""
    token, weight = heaviest(kind, row)
    found = {RAW: [], IN_SUMMARY: [], UNREAD: []}
    for name in toy.systems_on(kind)[1:]:
        found[states(name, kind, budget)[row, token]].append(toy.NAMES[name].split()[0])
    query, spelled = row, f"{token}"
    if kind == toy.REAL_TEXT:
        query = row + toy.real_qkv()[1].shape[2] - toy.NUM_TOKENS
        spelled = f"{token} \u201c{data.load_text()['words'][token].strip()}\u201d"
    parts = [
        f"{verb}: {', '.join(found[state])}."
        for state, verb in ((RAW, "Read"), (IN_SUMMARY, "In a summary"), (UNREAD, "Missed"))
        if found[state]
    ]
    return (
        f"Text \u201c{kind}\u201d, budget {budget}, query {query}. Dense attention puts most on "
        f"token {spelled}: {weight:.0%}. {' '.join(parts)}"
    )


def explorer() -> Explorer:
    """The album: change the text, the budget and the marked query, and compare ten masks."""
    return Explorer(
        "Family album",
        render,
        words,
        kind=choice("text", TEXTS, "needle"),
        budget=slider("budget (tokens)", 64, toy.BUDGETS[0], toy.BUDGETS[-1], 32),
        row=slider("marked query", 200, 0, toy.NUM_TOKENS - 1),
    )
