"""The text explorer: the blocks that a trained index picks in real text, lit up in the text."""

from __future__ import annotations

from functools import cache
from html import escape
from typing import TYPE_CHECKING, NamedTuple

import ipywidgets as widgets
import numpy as np

from msa_course import palette
from msa_course.explorer import Explorer, choice, new_figure, slider
from msa_course.teaching_the_index.outcomes import (
    COLOURS,
    Outcome,
    chips,
    draw_map,
    judge,
    visible_blocks,
)
from msa_ref import data

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMED_BLOCKS = 6
LONGEST_EXCERPT = 86
LONGEST_WORD = 14
TITLE_Y = 1.03
# A sign beside the colour: what a reader sees who sees no colour.
SIGNS = {Outcome.HIT: "✓", Outcome.EXTRA: "+", Outcome.MISSED: "✗"}
LOOKS = {
    Outcome.HIT: f"background:{COLOURS[Outcome.HIT]};color:#FFFFFF",
    Outcome.EXTRA: f"background:{COLOURS[Outcome.EXTRA]};color:#FFFFFF",
    Outcome.MISSED: f"color:{palette.INK};border-bottom:2px dashed {COLOURS[Outcome.MISSED]}",
    Outcome.LEFT: f"color:{palette.INK}",
    Outcome.FUTURE: f"color:{palette.GREY};background:{palette.HIDDEN}",
}
LEGEND = "✓ chosen, one of the best · + chosen, not one of the best · ✗ missed"
# White paper, as the figures have it: the inks are for it, whatever the theme around.
PAGE = (
    f"background:#FFFFFF;color:{palette.INK};padding:4px;"
    "line-height:1.35;font-size:11px;max-width:84em;overflow-wrap:anywhere"
)
QUERY = f"background:{palette.FORCED};color:{palette.INK};outline:2px solid {palette.INK}"


class Choice(NamedTuple):
    """What one query of one group chose, what would have been best, and what each block holds."""

    outcome: np.ndarray  # uint8 [nb]
    mass: np.ndarray  # [nb], sums to 1
    chosen: np.ndarray  # ids, ascending
    best: np.ndarray  # ids, ascending
    missed: np.ndarray  # ids, the heaviest first

    @property
    def held(self) -> float:
        """Share of the attention mass in the chosen blocks."""
        return float(self.mass[self.chosen].sum())

    @property
    def at_best(self) -> float:
        """Share in as many of the best blocks."""
        return float(self.mass[self.best].sum())


@cache
def shipped() -> data.TextTrace:
    """The text that comes with the package."""
    return data.load_text_trace()


def outcomes(*, layer: int, group: int, top_k: int, reading: data.TextTrace | None = None):
    """Outcome [T, nb] of every block for every query of one layer and group."""
    reading = shipped() if reading is None else reading
    place = reading.layers.tolist().index(layer)
    chosen, best = (ranks[place, group] < top_k for ranks in (reading.rank, reading.mass_rank))
    return judge(chosen, best, visible_blocks(len(chosen), reading.block_size))


def values(
    *, position: int, layer: int, group: int, top_k: int, reading: data.TextTrace | None = None
) -> Choice:
    """The choice of the query at `position`."""
    reading = shipped() if reading is None else reading
    place = reading.layers.tolist().index(layer)
    row = outcomes(layer=layer, group=group, top_k=top_k, reading=reading)[position]
    mass = reading.mass[place, group, position]
    missed = np.flatnonzero(row == Outcome.MISSED)
    return Choice(
        row,
        mass,
        np.flatnonzero(np.isin(row, (Outcome.HIT, Outcome.EXTRA))),
        np.flatnonzero(np.isin(row, (Outcome.HIT, Outcome.MISSED))),
        missed[np.argsort(-mass[missed], kind="stable")],
    )


def text(
    *, position: int, layer: int, group: int, top_k: int, reading: data.TextTrace | None = None
) -> str:
    """The whole text as HTML: chosen blocks lit and labelled with the mass they hold.

    A label is the block's number, a sign (chosen and among the best, chosen all the same, missed)
    and its share of the attention; the query's token stands out.
    """
    reading = shipped() if reading is None else reading
    now = values(position=position, layer=layer, group=group, top_k=top_k, reading=reading)
    pieces = [f"<p>[block, share of the attention] {LEGEND}</p>"]
    for block, outcome in enumerate(now.outcome):
        first = block * reading.block_size
        tokens = range(first, min(first + reading.block_size, len(reading.words)))
        label = ""
        if outcome in SIGNS:
            label = f"<b>[{block} {SIGNS[outcome]} {now.mass[block]:.0%}]</b> "
        seen = "".join(show(reading.words[token]) for token in tokens if token < position)
        piece = f'<span style="{LOOKS[outcome]}">{label}{seen}</span>'
        if position in tokens:
            piece += f'<mark style="{QUERY}">{show(reading.words[position])}</mark>'
        future = "".join(show(reading.words[token]) for token in tokens if token > position)
        if future:
            piece += f'<span style="{LOOKS[Outcome.FUTURE]}">{future}</span>'
        pieces.append(piece)
    return f'<div role="region" aria-label="the text" style="{PAGE}">{"".join(pieces)}</div>'


def show(word: str) -> str:
    """A token's text as HTML; a line's end is a sign, which keeps the page short."""
    return escape(word.replace("\n", "↵ "))


def excerpt(block: int, reading: data.TextTrace) -> str:
    """The beginning of a block's text on one line."""
    first = block * reading.block_size
    line = " ".join("".join(reading.words[first : first + reading.block_size]).split())
    return line if len(line) <= LONGEST_EXCERPT else f"{line[: LONGEST_EXCERPT - 1]}…"


def spell(position: int, reading: data.TextTrace) -> str:
    """A token's number and its word."""
    word = reading.words[position]
    word = word.strip() or word.replace("\n", "↵").replace(" ", "␣")
    return f"{position} “{word if len(word) <= LONGEST_WORD else word[: LONGEST_WORD - 1] + '…'}”"


def part_of(position: int, reading: data.TextTrace) -> str:
    """The part of the text in which a token stands."""
    return reading.parts[int(np.searchsorted(reading.part_starts, position, side="right")) - 1]


def render(
    *, position: int, layer: int, group: int, top_k: int, reading: data.TextTrace | None = None
) -> Figure:
    """The query's mass by block, the map of all queries, and how the heaviest blocks begin."""
    reading = shipped() if reading is None else reading
    setting = {"layer": layer, "group": group, "top_k": top_k, "reading": reading}
    now = values(position=position, **setting)
    figure = new_figure(8.6, 5.6, layout="none")
    draw_mass(figure.add_axes((0.085, 0.52, 0.52, 0.4)), now)
    right = figure.add_axes((0.71, 0.52, 0.275, 0.4))
    draw_map(right, outcomes(**setting))
    right.axhline(position, color=palette.INK, linewidth=1.5)
    right.set_title("All queries; the line is this one", y=TITLE_Y)
    below = figure.add_axes((0.02, 0.09, 0.965, 0.29))
    draw_excerpts(below, now, reading)
    below.set_title(f"The heaviest blocks for token {spell(position, reading)}".replace("$", r"\$"))
    figure.legend(handles=chips(), ncols=3, loc="lower left", bbox_to_anchor=(0.01, -0.01))
    return figure


def draw_mass(axes: Axes, now: Choice) -> None:
    """Every block's mass as a bar in its outcome's colour, with marks for the index's choice."""
    blocks = np.arange(len(now.mass))
    colours = [COLOURS[Outcome(outcome)] for outcome in now.outcome]
    axes.bar(blocks, now.mass, color=colours, width=0.9)
    top = now.mass.max()
    axes.plot(now.chosen, np.full(len(now.chosen), -0.05 * top), "^", color=palette.INK, ms=5)
    axes.plot(now.best, np.full(len(now.best), -0.12 * top), "s", color=palette.GREY, ms=4)
    axes.set(
        xlim=(-0.8, len(blocks) - 0.2),
        ylim=(-0.18 * top, 1.08 * top),
        yticks=[0, round(float(top) / 2, 2), round(float(top), 2)],
        xlabel="block (triangles: the index's choice; squares: the best)",
        ylabel="share of mass",
    )
    axes.set_title(f"Chosen: {now.held:.0%} of the mass; best: {now.at_best:.0%}", y=TITLE_Y)


def draw_excerpts(axes: Axes, now: Choice, reading: data.TextTrace) -> None:
    """The heaviest blocks, one a line: number, sign, mass, and how their text begins."""
    order = np.argsort(-now.mass, kind="stable")[:NAMED_BLOCKS]
    for line, block in enumerate(order[now.mass[order] > 0]):
        outcome = Outcome(now.outcome[block])
        sign = SIGNS.get(outcome, " ")
        colour = COLOURS[outcome]
        label = f"{block:3}  {sign}  {now.mass[block]:4.0%}"
        axes.text(0.0, -line, label, color=colour, weight="bold", va="center")
        # Parsed as mathematics, a dollar sign in the text would end in an error.
        beginning = excerpt(int(block), reading).replace("$", r"\$")
        axes.text(0.125, -line, beginning, va="center", fontsize=9)
    axes.set(xlim=(0, 1), ylim=(-NAMED_BLOCKS + 0.4, 0.6))
    axes.axis("off")


def words(
    *, position: int, layer: int, group: int, top_k: int, reading: data.TextTrace | None = None
) -> str:
    """What the query chose, what that holds, what the best would hold, and the heaviest missed."""
    reading = shipped() if reading is None else reading
    setting = {"layer": layer, "group": group, "top_k": top_k, "reading": reading}
    now = values(position=position, **setting)
    own = position // reading.block_size
    who = (
        f"Layer {layer}, group {group}, query at token {spell(position, reading)} "
        f"(in: {part_of(position, reading)})"
    )
    if len(now.chosen) == own + 1:
        return f"{who} sees {own + 1} of k = {top_k} blocks and reads them all."
    ids = ", ".join(map(str, now.chosen))
    said = (
        f"{who} reads {len(now.chosen)} of {own + 1} blocks: {ids}. They hold {now.held:.0%} of "
        f"its attention; the best {len(now.best)} would hold {now.at_best:.0%}. "
    )
    if not len(now.missed):
        return f"{said}Nothing was missed."
    heaviest = ", ".join(f"{block} ({now.mass[block]:.1%})" for block in now.missed[:3])
    return f"{said}Missed: block {heaviest}{' and more' if len(now.missed) > 3 else ''}."


class TextExplorer(Explorer):
    """An explorer with a text above its sliders that follows them."""

    def __init__(self, title, render, words, text, **controls):
        self.text, self.page = text, widgets.HTML()
        super().__init__(title, render, words, **controls)
        self.children = (self.page, *self.children)

    def _refresh(self, change=None):
        super()._refresh(change)
        self.page.value = self.text(**self.values)


def explorer(reading: data.TextTrace | None = None, **opening: int) -> TextExplorer:
    """The explorer: one token of the text, one layer, one group, k blocks.

    It opens on the last token unless `opening` gives the first values of some of the four.
    """
    reading = shipped() if reading is None else reading
    layers, last = reading.layers.tolist(), len(reading.words) - 1
    begin = {"position": last, "layer": layers[len(layers) // 2], "group": 0, "top_k": 8} | opening
    largest = min(16, reading.rank.shape[-1])
    follow = (
        lambda **chosen: render(**chosen, reading=reading),
        lambda **chosen: words(**chosen, reading=reading),
        lambda **chosen: text(**chosen, reading=reading),
    )
    return TextExplorer(
        "Text explorer",
        *follow,
        position=slider("query (token)", begin["position"], 0, last),
        layer=choice("layer", layers, begin["layer"]),
        group=slider("group", begin["group"], 0, reading.rank.shape[1] - 1),
        top_k=slider("k, blocks read", min(begin["top_k"], largest), 1, largest),
    )
