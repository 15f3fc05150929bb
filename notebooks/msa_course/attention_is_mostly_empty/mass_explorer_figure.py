"""Pictures of the mass explorer: mass in token order, how it adds up, the heaviest tokens."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from msa_course import palette
from msa_course.attention_is_mostly_empty.mass_explorer import (
    BLOCK_SIZES,
    NUM_TOKENS,
    Mass,
    _count,
    compute,
    describe,
    head_names,
    spell,
)
from msa_course.explorer import Explorer, choice, new_figure, slider

NAMED_TOKENS = 6
Y_TICKS = [0, 0.5, 1]
TITLE_Y = 1.03  # a fixed place: looking for one costs a tenth of every redraw


def draw(mass: Mass) -> Figure:
    """The mass in token order with the chosen blocks lit; how it adds up; the heaviest tokens."""
    fig = new_figure(8.4, 5.4, layout="none")
    draw_order(fig.add_axes((0.085, 0.59, 0.895, 0.33)), mass)
    draw_curves(fig.add_axes((0.085, 0.1, 0.44, 0.32)), mass)
    _draw_heaviest(fig.add_axes((0.745, 0.1, 0.2, 0.32)), mass)
    chips = [Patch(color=palette.CHOSEN, label="chosen block")]
    chips.append(Patch(color=palette.VISIBLE, label="visible block"))
    chips.append(Patch(color=palette.HIDDEN, label="hidden: the future"))
    fig.legend(handles=chips, ncols=3, loc="upper right", bbox_to_anchor=(0.985, 1.0))
    return fig


def draw_order(ax: Axes, mass: Mass) -> None:
    """Draw every block's mass as a bar and every token's as a thin line, in token order."""
    edges = np.append(np.arange(0, len(mass.weights), mass.block_size), len(mass.weights))
    lit = np.isin(np.arange(len(mass.block_mass)), mass.chosen)
    for is_lit, colour in ((False, palette.VISIBLE), (True, palette.CHOSEN)):
        heights = np.where(lit == is_lit, mass.block_mass, 0)
        ax.stairs(heights, edges, fill=True, color=colour)
    for block in mass.chosen:  # a mark under the axis, for chosen blocks whose bar is low
        ax.plot(edges[block : block + 2], [0, 0], color=palette.CHOSEN, linewidth=5, zorder=3)
    stems = [[(j + 0.5, 0), (j + 0.5, w)] for j, w in enumerate(mass.weights) if w > 1e-3]
    ax.add_collection(LineCollection(stems, color=palette.INK, linewidth=0.8, zorder=2))
    ax.axvspan(len(mass.weights), NUM_TOKENS, color=palette.HIDDEN)
    ax.axvline(len(mass.weights), color=palette.INK, linewidth=0.8, linestyle=":")
    ax.set(
        xlim=(0, NUM_TOKENS),
        ylim=(0, 1.08 * mass.block_mass.max()),
        xlabel="token (black: single tokens; dotted: the query)",
        ylabel="share of mass",
    )
    ax.set_title("Where the attention lies", y=TITLE_Y)


def draw_curves(ax: Axes, mass: Mass) -> None:
    """Draw the mass held against the tokens read, best first: single keys, and whole blocks."""
    kept = len(mass.chosen)
    read, captured = mass.tokens_read[kept], mass.block_curve[kept]
    singles, whole = {"label": "best keys, one by one"}, {"label": "best blocks"}
    # Logarithms on a plain axis, because a log axis is slow to draw.
    keys = np.log2(np.arange(1, len(mass.key_curve)))
    ax.plot(keys, mass.key_curve[1:], "--", color=palette.INK, **singles)
    tokens = np.log2(mass.tokens_read[1:])
    ax.plot(tokens, mass.block_curve[1:], ".-", markersize=4, color=palette.CHOSEN, **whole)
    ax.axvline(np.log2(read), color=palette.GREY, linewidth=0.8, linestyle=":")
    ax.plot(np.log2(read), captured, "o", color=palette.CHOSEN, markersize=9)
    ax.set(
        xlim=(-0.2, np.log2(NUM_TOKENS) + 0.2),
        ylim=(0, 1.04),
        xlabel="tokens read, best first",
        ylabel="share of mass held",
        yticks=Y_TICKS,
    )
    title = f"{_count(read, 'token')} in {_count(kept, 'block')}: {captured:.0%} of the mass"
    ax.set_title(title, y=TITLE_Y)
    ticks = [1, 4, 16, 64, 256, 1024]
    ax.set_xticks(np.log2(ticks), [str(tick) for tick in ticks])
    ax.legend(loc="lower right", fontsize=8)


def _draw_heaviest(ax: Axes, mass: Mass) -> None:
    """The heaviest tokens as bars, lit if their block was chosen."""
    heaviest = np.argsort(-mass.weights, kind="stable")[:NAMED_TOKENS]
    lit = np.isin(heaviest // mass.block_size, mass.chosen)
    rows, shares = np.arange(len(heaviest)), mass.weights[heaviest]
    colours = np.where(lit, palette.CHOSEN, palette.VISIBLE)
    ax.barh(rows, shares, color=colours, height=0.7)
    for row, share in zip(rows, shares):
        ax.text(share, row, f" {share:.1%}", va="center", size=9)
    names = [spell(int(token), mass.head).replace("$", "\\$") for token in heaviest]
    ax.set_yticks(rows, names)
    ax.set(
        xlim=(0, 1.5 * shares.max()),
        ylim=(NAMED_TOKENS - 0.5, -0.5),
        xlabel="share of mass",
        xticks=[0, round(float(shares.max()), 3)],
    )
    ax.set_title("Heaviest tokens", y=TITLE_Y)


def explorer() -> Explorer:
    """The explorer: a made or a captured head, one query, blocks of any size, k of them."""
    return Explorer(
        "Mass explorer",
        compute,
        draw,
        describe,
        head=choice("head", head_names(), "layer 18 head 6"),
        position=slider("query (token)", 612, 0, NUM_TOKENS - 1),
        block_size=choice("block size", BLOCK_SIZES, 16),
        top_k=slider("k, blocks read", 4, 1, 16),
    )
