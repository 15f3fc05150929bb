"""Figures of the news: a page of text, the library to scale, yardstick, waiting, the map."""

from __future__ import annotations

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from msa_course import palette
from msa_course.figures import new_figure
from msa_course.news.course_map import PARTS
from msa_course.news.numbers import Library, Look, Waiting

# Of the page, in inches; a character of this font is 13 pixels wide at 200 dpi.
COLUMNS, LINE, SIZE, MARGIN = 102, 0.152, 8, 1.75
CHARACTER = 13 / 200
# Tokens that the last sentence shares with an earlier one.
REPEATED = 19
# A wall of closed shelves, and what is lit in it.
WALL, LIT = "#22303C", "#F0E442"
SHOWN = 0.004


def page_of_text(look: Look) -> Figure:
    """The text as one page; a token is as blue as the weight it gets, a line joins the two ends."""
    places = layout(look.words)
    height = (places[-1][0] + 2.2) * LINE
    width = COLUMNS * CHARACTER + MARGIN
    fig = new_figure(width + 0.2, height, layout="none")
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set(xlim=(-0.1, width + 0.1), ylim=(height - LINE, -LINE))
    ax.set_axis_off()
    mono = {"family": "DejaVu Sans Mono", "fontsize": SIZE, "va": "center"}
    for row in sorted({row for row, _, _ in places}):
        line = "".join(text for other, _, text in places if other == row)
        ax.text(0, row * LINE, line, zorder=3, **mono)
    for number in np.flatnonzero(look.weights > SHOWN):
        if number != look.best:
            look_of = {"facecolor": palette.VISIBLE, "linewidth": 0, "zorder": 1}
            look_of["alpha"] = min(1, 0.25 + look.weights[number] * 15)
            ax.add_patch(Rectangle(*_box(places[number]), **look_of))
    asker = len(look.words) - 1
    for number, fill, ink in ((look.best, palette.CHOSEN, "white"), (asker, LIT, palette.INK)):
        corner, *size = _box(places[number])
        edge = {"edgecolor": palette.INK, "linewidth": 0.8, "zorder": 4}
        ax.add_patch(Rectangle(corner, *size, facecolor=fill, **edge))
        word = places[number][2].strip()
        ax.text(corner[0] + 0.02, places[number][0] * LINE, word, color=ink, zorder=5, **mono)
    for last in (look.best - 1, asker):
        said = places[last - REPEATED + 1 : last + 1]
        low = [(row + 0.45) * LINE for row, _, _ in said]
        left = [column * CHARACTER for _, column, _ in said]
        right = [(column + len(text)) * CHARACTER for _, column, text in said]
        ax.hlines(low, left, right, color=palette.INK, linewidth=0.8, zorder=2)
    _join(ax, places, look, asker)
    return fig


def layout(words: list[str], columns: int = COLUMNS) -> list[tuple[float, int, str]]:
    """(row, column, what is printed) of each token: lines are filled, blank lines are half rows."""
    places, row, column, chunk = [], 0.0, 0, 0
    for number, word in enumerate(words):
        before = "".join(words[max(0, number - 2) : number])
        after = "".join(words[number + 1 :][:2])
        indent = len(word) - len(word.rstrip(" ")) if "\n" in word else 0
        blank = "\n\n" in word or before.endswith("\n") or after.startswith("\n")
        rule = before.endswith("*") or after.startswith("**")
        if "\n" in word and (indent or blank or rule):
            places.append((row, column, ""))
            first = not before.endswith("\n")
            row += (1 if first else 0) + (0.5 if "\n\n" in word or not first else 0)
            column = 0
            if indent:
                places[-1] = (row, 0, " " * 4)
                column = 4
            chunk = number + 1
            continue
        text = word.replace("\n", " ")
        if text.startswith(" "):
            chunk = number
        if column + len(text.rstrip()) > columns:
            moved = [text for _, _, text in places[chunk:]] + [text]
            del places[chunk:]
            row, column = row + 1, 0
            for place, piece in enumerate(moved):
                piece = piece.lstrip() if place == 0 else piece
                places.append((row, column, piece))
                column += len(piece)
            continue
        places.append((row, column, text))
        column += len(text)
    return places


def _box(place):
    """Corner, width and height of a token's box, without the blank in front of its word."""
    row, column, text = place
    x = (column + len(text) - len(text.lstrip())) * CHARACTER
    return (x - 0.02, (row - 0.5) * LINE), len(text.strip()) * CHARACTER + 0.04, 0.96 * LINE


def _join(ax: Axes, places, look: Look, asker: int) -> None:
    (x0, y0), width, _ = _box(places[asker])
    (x1, y1), size, _ = _box(places[look.best])
    edge = COLUMNS * CHARACTER + 0.1
    low, high = y0 + LINE / 2, y1 + 0.98 * LINE
    path = {"color": palette.CHOSEN, "linewidth": 1.3, "zorder": 4, "solid_joinstyle": "round"}
    ax.plot((x0 + width, edge, edge, x1 + size / 2), (low, low, high + 0.02, high + 0.02), **path)
    tip = {"arrowstyle": "-|>", "color": palette.CHOSEN, "mutation_scale": 8, "shrinkA": 0}
    tip |= {"shrinkB": 0, "linewidth": 1.3}
    end = (x1 + size / 2, high - 0.04)
    ax.annotate("", end, (x1 + size / 2, high + 0.04), arrowprops=tip, zorder=6)
    word = look.words[look.best].strip()
    label = {"fontsize": 9, "weight": "bold", "va": "center", "linespacing": 1.3}
    share = f"{look.weights[look.best]:.0%} of the look\ngoes to “{word}”"
    ax.text(edge + 0.1, high + LINE, share, color=palette.CHOSEN, **label)
    ax.text(edge + 0.1, low - 1.2 * LINE, "the model is here:\nwhich word is next?", **label)


def library(numbers: Library, seed: int = 0) -> Figure:
    """The pages of a library above, its cards below, areas to the scale of their bytes; lit: read.

    Which shelves are lit is made up; the last one is always read.
    """
    fig = new_figure(8.4, 5.0, layout="none")
    across = 128
    down = numbers.shelves // across
    strip = down * numbers.cards / numbers.all_pages
    ax = fig.add_axes((0.02, 0.02, 0.96, 0.96))
    ax.add_patch(Rectangle((0, 0), across, down, facecolor=WALL, linewidth=0))
    rng = np.random.default_rng(seed)
    chosen = rng.choice(numbers.shelves - 1, numbers.shelves_read - 1, replace=False)
    for shelf in (*chosen, numbers.shelves - 1):
        fill = palette.FORCED if shelf == numbers.shelves - 1 else LIT
        corner = (shelf % across, shelf // across)
        ax.add_patch(Rectangle(corner, 1, 1, facecolor=fill, linewidth=0))
    gap = 11
    ax.add_patch(Rectangle((0, down + gap), across, strip, facecolor=LIT, linewidth=0))
    text = {"fontsize": 10, "va": "bottom"}
    pages = (
        f"{numbers.shelves:,} shelves of 128 pages. Lit: the {numbers.shelves_read} that are read"
    )
    ax.text(0, -1, pages, weight="bold", **text)
    last = "the newest shelf,\nalways read"
    arrow = {"arrowstyle": "-|>", "color": "white", "shrinkB": 7}
    ax.annotate(
        last,
        (across - 0.5, down - 0.5),
        (across - 17, down - 9),
        color="white",
        fontsize=9,
        ha="center",
        va="center",
        arrowprops=arrow,
    )
    cards = f"{numbers.shelves * 128:,} cards, one per page. Lit: all of them, every time"
    ax.text(0, down + gap - 1, cards, weight="bold", **text)
    scale = "Areas are to scale: a card has an eighth of the numbers of its page."
    ax.text(0, down + gap + strip + 1, scale, va="top", fontsize=9)
    ax.set(xlim=(-0.5, across + 0.5), ylim=(down + gap + strip + 6, -6))
    ax.set_axis_off()
    return fig


def yardstick(reads: dict[str, int]) -> Figure:
    """Bytes that one layer reads for one new token, as bars, with the factors between them."""
    fig = new_figure(8, 2.9)
    ax = fig.add_subplot()
    amounts = np.array(list(reads.values())) / 1e9
    colours = [palette.GREY, palette.GREY, palette.CHOSEN]
    ax.barh(range(3), amounts, 0.6, color=colours)
    for place, amount in enumerate(amounts):
        ax.text(amount + 0.04, place, f"{amount:.2f} GB", va="center", weight="bold")
    steps = ("half as many KV heads: 2 times less", "the sparse attention: {:.2f} times less")
    for place, step in enumerate(steps):
        x = amounts[place + 1] + 0.75
        arrow = {"arrowstyle": "-|>", "color": palette.INK}
        ax.annotate("", (x, place + 1), (x, place + 0.32), arrowprops=arrow)
        words = step.format(amounts[place] / amounts[place + 1])
        ax.text(x + 0.08, place + 0.62, words, va="center", fontsize=9.5)
    ax.set_yticks(range(3), reads)
    ax.set(xlim=(0, 5), ylim=(2.5, -0.5), xlabel="GB that one layer reads for one new token")
    return fig


def waiting(numbers: Waiting) -> Figure:
    """Left the time to read the text, right the tokens per second of the answer."""
    fig = new_figure(8, 2.7)
    left, right = fig.subplots(1, 2)
    dense, sparse = (seconds / 60 for seconds in numbers.prompt)
    part = numbers.dense_layers / 60
    left.barh("dense", dense, color=palette.GREY)
    left.barh("MSA", part, color=palette.GREY)
    left.barh("MSA", sparse - part, left=part, color=palette.CHOSEN)
    left.text(dense - 0.3, 0, f"{dense:.0f} minutes", va="center", ha="right", color="white")
    words = f"{numbers.prompt[1]:.0f} s, of which {numbers.dense_layers:.0f} s in the three\n"
    left.text(sparse + 0.3, 1, words + "layers that stay dense (grey)", va="center")
    left.set(xlabel="minutes to read a million tokens", ylim=(1.6, -0.6))
    left.set_title("Before the answer")
    for row, (name, speed) in enumerate(zip(("dense", "MSA"), numbers.tokens_per_second)):
        right.barh(name, speed, color=palette.CHOSEN if row else palette.GREY)
        right.text(speed + 3, row, f"{speed:.0f}", va="center", weight="bold")
    right.set(xlabel="tokens per second", ylim=(1.6, -0.6), xlim=(0, 175))
    right.set_title("During the answer")
    return fig


def course_map() -> Figure:
    """The course's parts from top to bottom, each with its question and its lessons."""
    fig = new_figure(9, 4.7, layout="none")
    ax = fig.add_axes((0.01, 0.01, 0.98, 0.98))
    width, height, left = 1.06, 0.56, 2.3
    number = 0
    for row, part in enumerate(PARTS):
        y = row * 0.78 + 0.4
        ax.text(0, y - 0.02, part.name, weight="bold", fontsize=11, va="bottom")
        ax.text(0, y + 0.03, part.question, fontsize=8.5, va="top", linespacing=1.1)
        fill, ink = (
            (palette.CHOSEN, "white") if part.name == "MSA" else (palette.HIDDEN, palette.INK)
        )
        for place, name in enumerate(part.lessons.values()):
            x = left + place * (width + 0.07)
            corner, shape = (x, y - height / 2), "round,pad=0,rounding_size=0.08"
            look = {"facecolor": fill, "edgecolor": palette.INK, "linewidth": 0.8}
            ax.add_patch(FancyBboxPatch(corner, width, height, boxstyle=shape, **look))
            lines = textwrap.fill(f"{number:02d} {name}", 15)
            middle = {"ha": "center", "va": "center", "color": ink}
            ax.text(x + width / 2, y, lines, fontsize=8, linespacing=1.15, **middle)
            number += 1
    ax.set(xlim=(-0.05, 9.1), ylim=(len(PARTS) * 0.78 + 0.05, 0))
    ax.set_axis_off()
    return fig
