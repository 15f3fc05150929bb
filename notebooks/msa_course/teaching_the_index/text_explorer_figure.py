"""Pictures of the text explorer: the text itself as HTML, mass by block, the heaviest blocks."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import TYPE_CHECKING

import ipywidgets as widgets
import numpy as np

from msa_course import palette
from msa_course.characters import LINE_END, owner, with_signs
from msa_course.explorer import Explorer, choice, new_figure, slider
from msa_course.fonts import drawable, families
from msa_course.teaching_the_index.outcomes import Outcome
from msa_course.teaching_the_index.outcomes_figure import COLOURS, chips, draw_map
from msa_course.teaching_the_index.text_explorer import (
    Choice,
    compute,
    describe,
    excerpt,
    shipped,
    spell,
)
from msa_ref import data

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMED_BLOCKS = 6
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


def draw_text(now: Choice) -> str:
    """The whole text as HTML: chosen blocks lit and labelled with the mass they hold.

    A label is the block's number, a sign (chosen and among the best, chosen all the same, missed)
    and its share of the attention; the query's token stands out.
    """
    reading, position = now.reading, owner(now.reading.words, now.position)
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
    """A token's text as HTML, control characters as signs; a line's end does not end the line."""
    return escape(with_signs(word).replace(LINE_END, f"{LINE_END} "))


def draw(now: Choice) -> Figure:
    """The query's mass by block, the map of all queries, and how the heaviest blocks begin."""
    reading, position = now.reading, now.position
    fig = new_figure(8.6, 5.6, layout="none")
    draw_mass(fig.add_axes((0.085, 0.52, 0.52, 0.4)), now)
    right = fig.add_axes((0.71, 0.52, 0.275, 0.4))
    draw_map(right, now.all_queries)
    right.axhline(position, color=palette.INK, linewidth=1.5)
    right.set_title("All queries; the line is this one", y=TITLE_Y)
    below = fig.add_axes((0.02, 0.09, 0.965, 0.29))
    draw_excerpts(below, now)
    below.set_title(
        drawable(f"The heaviest blocks for token {spell(position, reading)}"),
        fontfamily=families(),
        parse_math=False,
    )
    fig.legend(handles=chips(), ncols=3, loc="lower left", bbox_to_anchor=(0.01, -0.01))
    return fig


def draw_mass(ax: Axes, now: Choice) -> None:
    """Every block's mass as a bar in its outcome's colour, with marks for the index's choice."""
    blocks = np.arange(len(now.mass))
    colours = [COLOURS[Outcome(outcome)] for outcome in now.outcome]
    ax.bar(blocks, now.mass, color=colours, width=0.9)
    top = now.mass.max()
    ax.plot(now.chosen, np.full(len(now.chosen), -0.05 * top), "^", color=palette.INK, ms=5)
    ax.plot(now.best, np.full(len(now.best), -0.12 * top), "s", color=palette.GREY, ms=4)
    ax.set(
        xlim=(-0.8, len(blocks) - 0.2),
        ylim=(-0.18 * top, 1.08 * top),
        yticks=[0, round(float(top) / 2, 2), round(float(top), 2)],
        xlabel="block (triangles: the index's choice; squares: the best)",
        ylabel="share of mass",
    )
    ax.set_title(
        f"Chosen: {now.captured:.0%} of the mass; best: {now.captured_by_best:.0%}", y=TITLE_Y
    )


def draw_excerpts(ax: Axes, now: Choice) -> None:
    """The heaviest blocks, one a line: number, sign, mass, and how their text begins."""
    order = np.argsort(-now.mass, kind="stable")[:NAMED_BLOCKS]
    for line, block in enumerate(order[now.mass[order] > 0]):
        outcome = Outcome(now.outcome[block])
        sign = SIGNS.get(outcome, " ")
        colour = COLOURS[outcome]
        label = f"{block:3}  {sign}  {now.mass[block]:4.0%}"
        ax.text(0.0, -line, label, color=colour, weight="bold", va="center")
        # Parsed as mathematics, a dollar sign in the text would end in an error.
        style = {"fontfamily": families(), "fontsize": 9, "parse_math": False}
        ax.text(0.125, -line, drawable(excerpt(int(block), now.reading)), va="center", **style)
    ax.set(xlim=(0, 1), ylim=(-NAMED_BLOCKS + 0.4, 0.6))
    ax.axis("off")


class TextExplorer(Explorer):
    """An explorer with a text above its sliders that follows them."""

    def __init__(self, title, compute, draw, describe, draw_text, **controls):
        self.draw_text, self.page = draw_text, widgets.HTML()
        super().__init__(title, compute, draw, describe, **controls)
        self.children = (self.page, *self.children)

    def show(self, state: Choice) -> None:
        """Show one state: its text, its picture and its sentence."""
        super().show(state)
        self.page.value = self.draw_text(state)


def explorer(reading: data.TextTrace | None = None, **opening: int) -> TextExplorer:
    """The explorer: one token of the text, one layer, one group, k blocks.

    It opens on the last token unless `opening` gives the first values of some of the four.
    """
    reading = shipped() if reading is None else reading
    layers, last = reading.layers.tolist(), len(reading.words) - 1
    begin = {"position": last, "layer": layers[len(layers) // 2], "group": 0, "top_k": 8} | opening
    largest = min(16, reading.rank.shape[-1])
    return TextExplorer(
        "Text explorer",
        partial(compute, reading=reading),
        draw,
        describe,
        draw_text,
        position=slider("query (token)", begin["position"], 0, last),
        layer=choice("layer", layers, begin["layer"]),
        group=slider("group", begin["group"], 0, reading.rank.shape[1] - 1),
        top_k=slider("k, blocks read", min(begin["top_k"], largest), 1, largest),
    )
