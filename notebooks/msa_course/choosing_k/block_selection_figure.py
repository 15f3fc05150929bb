"""The picture of a selection: four steps, for all queries as maps and for one query enlarged."""

from __future__ import annotations

from functools import cache, lru_cache

import ipywidgets as widgets
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection, PolyCollection
from matplotlib.colors import Normalize, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from msa_course import palette
from msa_course.choosing_k.block_selection import (
    BLOCK_SIZES,
    CHOSEN,
    FORCED,
    NUM_GROUPS,
    NUM_TOKENS,
    VISIBLE,
    Selected,
    compute,
    describe,
    heaviest_left_out,
)
from msa_course.explorer import Explorer, choice, new_figure, slider

SCORES = colormaps[palette.CONTINUOUS].with_extremes(bad=palette.HIDDEN)
UNREAD = to_rgba(palette.VISIBLE, 0.25)
LOOKS = {
    VISIBLE: {"color": palette.VISIBLE},
    CHOSEN: {"color": palette.CHOSEN},
    FORCED: {"facecolor": palette.FORCED, "hatch": palette.FORCED_HATCH, "linewidth": 0},
}
NAMES = {VISIBLE: "visible, not chosen", CHOSEN: "chosen", FORCED: "forced"}
LOST = {"facecolor": palette.MISSED, "hatch": "....", "linewidth": 0}
CHIPS = [Patch(color=palette.HIDDEN, label="hidden")]
CHIPS += [Patch(label=NAMES[code], **look) for code, look in LOOKS.items()]
CHIPS += [Patch(color=palette.MISSED, label="heaviest left out")]
FAINT = {"color": "#CCCCCC", "linewidth": 0.6, "zorder": 0}
PITCH = 1.32  # from the top of one panel to the top of the next, in panel heights
CAPTIONS = (
    ("Token scores", "index query · index key of every token; the future is hidden"),
    ("Block scores", "the best visible token speaks for its block"),
    ("Selection", "the forced blocks, then the best of the rest; # is the rank by score"),
    ("Attention", "exact softmax over the chosen tokens; outline: over all tokens"),
)


def draw(selected: Selected) -> Figure:
    """Four steps from top to bottom: on the left all queries, on the right this one, enlarged."""
    query, steps = selected.query, selected.steps
    fig, maps, row = _two_columns()
    fig.figimage(_backdrop(steps), zorder=-1)
    where = f"Query {query} of group {selected.group}, enlarged"
    fig.text(row.get_position().x0, 0.965, where, weight="bold")
    _mark_row(maps, steps, query)
    _draw_row(row, steps, query)
    return fig


def _two_columns():
    """A figure with a column of maps and a column for one query, tokens across in both."""
    fig = new_figure(7.6, 6.2, layout="none")
    columns = [fig.add_axes((left, 0.115, 0.41, 0.82)) for left in (0.055, 0.565)]
    for ax in columns:
        ax.set(xlim=(0, NUM_TOKENS), ylim=(3 * PITCH + 1, -0.24), facecolor="none")
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
    return fig, *columns


@lru_cache(maxsize=16)
def _backdrop(steps):
    """Pixels of all that stays when the query moves: the maps, and the frame around them."""
    fig, maps, _ = _two_columns()
    fig.figimage(_frame(), zorder=-1)
    _draw_maps(maps, steps)
    return _pixels(fig)


@cache
def _frame():
    """Pixels of all that always stays: captions, token axes, legend. Text is slow to draw."""
    fig, maps, row = _two_columns()
    for ax in (maps, row):
        ax.set(xticks=range(0, NUM_TOKENS + 1, 12), xlabel="token")
    for level, (name, meaning) in enumerate(CAPTIONS):
        maps.text(0, level * PITCH - 0.07, f"{level + 1}  {name}", weight="bold")
        maps.text(25, level * PITCH - 0.07, meaning)
    for level, unit in ((0, "score"), (1, "score"), (3, "weight")):
        where = {"rotation": 90, "ha": "right", "va": "center", "size": 8}
        row.text(-1.2, level * PITCH + 0.5, unit, color=palette.GREY, **where)
    fig.text(maps.get_position().x0, 0.965, "Every query, one a row")
    fig.legend(handles=CHIPS, ncols=5, loc="lower center", columnspacing=1.4, handlelength=1.6)
    return _pixels(fig)


def _pixels(fig):
    fig.canvas.draw()
    return np.asarray(fig.canvas.buffer_rgba()).copy()


def _pictures(steps):
    """The four maps as colours: [T, S, 4] each."""
    seen = np.isfinite(steps.token_scores)
    norm = Normalize(steps.token_scores[seen].min(), steps.token_scores[seen].max())
    weights = SCORES(np.sqrt(np.where(steps.sparse > 0, steps.sparse, np.nan)))
    weights[seen & (steps.sparse == 0)] = UNREAD
    return (
        SCORES(norm(np.ma.masked_invalid(steps.token_scores))),
        SCORES(norm(np.ma.masked_invalid(steps.per_token(steps.block_scores)))),
        palette.STATES(steps.per_token(steps.states)),
        weights,
    )


def _draw_maps(ax, steps):
    """The four maps, one above the other."""
    for level, picture in enumerate(_pictures(steps)):
        _image(ax, picture, level * PITCH, 1)
    _hatch_forced(ax, steps.states, steps.block_size, top=2 * PITCH, height=1 / NUM_TOKENS)


def _mark_row(ax, steps, query):
    """The query's row of every map, thicker, framed, named, and fanned out to its panel."""
    height = 0.06
    middles = np.arange(4) * PITCH + (query + 0.5) / NUM_TOKENS
    tops = middles - height / 2
    for top, picture in zip(tops, _pictures(steps)):
        _image(ax, picture[[query]], top, height)
    frames = [Rectangle((0, top), NUM_TOKENS, height) for top in tops]
    look = {"facecolor": "none", "edgecolor": palette.INK, "linewidth": 1.1, "clip_on": False}
    ax.add_collection(PatchCollection(frames, zorder=2, **look))
    ax.set_yticks(middles, [str(query)] * 4, weight="bold")
    fans = [
        [(61, middle), (70.5, level * PITCH), (70.5, level * PITCH + 1)]
        for level, middle in enumerate(middles)
    ]
    ax.add_collection(PolyCollection(fans, color=palette.INK, alpha=0.06, clip_on=False))


def _image(ax, picture, top, height):
    extent = (0, NUM_TOKENS, top + height, top)
    ax.imshow(picture, extent=extent, aspect="auto", interpolation="nearest", clip_on=False)


def _draw_row(ax, steps, query):
    """The query's row of the four maps as bars, every token where the maps have it."""
    seen = slice(0, query + 1)
    scores, best = steps.token_scores[query], steps.block_scores[query]
    low, high = np.floor(scores[seen].min() - 0.2), max(np.ceil(scores[seen].max()), 1)
    peak = max(steps.sparse[query].max(), steps.dense[query].max())
    most = 1.05 * peak
    share = (scores - low) / (high - low)
    first_tokens = np.arange(0, NUM_TOKENS, steps.block_size)
    for level in range(4):
        size = NUM_TOKENS - query - 1, 1
        ax.add_patch(Rectangle((query + 1, level * PITCH), *size, color=palette.HIDDEN))
        ax.vlines(first_tokens, level * PITCH, level * PITCH + 1, **FAINT)
    _bars(ax, 0, share, steps, query)
    winners = np.flatnonzero(steps.per_token(best)[seen] == scores[seen])
    ax.plot(winners + 0.5, 1 - share[winners], ".", color=palette.INK, markersize=5)
    _bars(ax, 1, (steps.per_token(best) - low) / (high - low), steps, query)
    _bars(ax, 2, np.ones(NUM_TOKENS), steps, query)
    _name_blocks(ax, steps, query)
    _bars(ax, 3, steps.sparse[query] / most, steps, query)
    _outline_dense(ax, steps, query, most)
    ticks = [(0, high), (1, low), (PITCH, high), (PITCH + 1, low), (3 * PITCH + 1, 0)]
    ticks.append((3 * PITCH + 1 - peak / most, round(peak, 2)))
    labels = [f"{value:g}".replace("-", "\u2212") for _, value in ticks]
    ax.set_yticks([height for height, _ in ticks], labels, size=8)


def _outline_dense(ax, steps, query, most):
    """Dense attention as an outline; what it gives to the heaviest block left out, filled."""
    edges, floor = np.arange(NUM_TOKENS + 1), 3 * PITCH + 1
    tops = floor - steps.dense[query] / most
    ax.stairs(tops, edges, baseline=floor, color=palette.INK, linewidth=0.8)
    block, share = heaviest_left_out(steps, query)
    if share > 0:
        inside = edges[:-1] // steps.block_size == block
        missed = np.where(inside, tops, np.nan)
        ax.stairs(missed, edges, baseline=floor, fill=True, color=palette.MISSED, zorder=0.5)
        at = {"ha": "center", "va": "bottom", "color": palette.MISSED, "weight": "bold"}
        middle = (block + 0.5) * steps.block_size
        ax.text(middle, tops[inside].min() - 0.04, f"{share:.0%}", **at)


def _name_blocks(ax, steps, query):
    """The id of every visible block, and its place in the ranking by score."""
    best = steps.block_scores[query]
    ranks = np.argsort(np.argsort(-best, kind="stable"), kind="stable") + 1
    for block in np.flatnonzero(np.isfinite(best)):
        first = block * steps.block_size
        middle = (first + min(first + steps.block_size, NUM_TOKENS)) / 2
        state = steps.states[query, block]
        colour = "white" if state == CHOSEN else palette.INK
        at = {"ha": "center", "va": "center", "color": colour}
        if state == FORCED:
            at["bbox"] = {"facecolor": palette.FORCED, "linewidth": 0, "pad": 1}
        ax.text(middle, 2 * PITCH + 0.38, str(block), **at)
        ax.text(middle, 2 * PITCH + 0.72, f"#{ranks[block]}", size=7, **at)


def _bars(ax, level, heights, steps, query):
    """Bars of heights 0 to 1 over the tokens, in the colours of their blocks' states."""
    states = steps.per_token(steps.states[query])
    floor = level * PITCH + 1
    for code, look in LOOKS.items():
        tops = np.where((states == code) & np.isfinite(heights), floor - heights, np.nan)
        if np.isfinite(tops).any():
            ax.stairs(tops, np.arange(NUM_TOKENS + 1), baseline=floor, fill=True, **look)


def draw_selection_map(
    ax: Axes, states: np.ndarray, *, block_size: int, lost: np.ndarray | None = None
) -> None:
    """Draw the state [T, nb] of every block for every query: tokens across, queries down.

    Blocks where `lost` [T, nb] is true are marked: wanted, but not read.
    """
    ax.imshow(
        np.repeat(states, block_size, axis=-1)[:, :NUM_TOKENS],
        cmap=palette.STATES,
        vmin=0,
        vmax=3,
        extent=(0, NUM_TOKENS, NUM_TOKENS, 0),
        aspect="auto",
        interpolation="nearest",
    )
    _hatch_forced(ax, states, block_size, top=0, height=1)
    if lost is not None:
        tiles = [
            Rectangle((block * block_size, row), block_size, 1) for row, block in np.argwhere(lost)
        ]
        ax.add_collection(PatchCollection(tiles, **LOST))


def _hatch_forced(ax, states, block_size, top, height):
    """Hatch the forced tiles of a map whose rows are `height` high; part the blocks by lines."""
    edges = np.arange(0, NUM_TOKENS, block_size)
    bottom = top + NUM_TOKENS * height
    ax.vlines(edges, top + edges * height, bottom, color="white", linewidth=0.6)
    tiles = []
    for block, first in enumerate(edges):
        rows = np.flatnonzero(states[:, block] == FORCED)
        if rows.size:
            width = min(block_size, NUM_TOKENS - first)
            tiles.append(Rectangle((first, top + rows[0] * height), width, rows.size * height))
    ax.add_collection(
        PatchCollection(tiles, facecolor="none", linewidth=0, hatch=palette.FORCED_HATCH)
    )


def explorer() -> Explorer:
    """The explorer: which blocks one query of one group reads, and what became of the rest."""
    shell = Explorer(
        "Block-selection explorer",
        compute,
        draw,
        describe,
        query=slider("query", 37, 0, NUM_TOKENS - 1),
        group=slider("group", 1, 0, NUM_GROUPS - 1),
        top_k=slider("k, blocks read", 4, 1, 8),
        block_size=choice("block size", BLOCK_SIZES, 4),
        init_blocks=slider("forced first blocks", 0, 0, 2),
        local_blocks=slider("forced last blocks", 1, 0, 2),
    )
    for control in shell.controls.values():
        control.layout.width = "min(26em, 95%)"
        control.style.description_width = "9.5em"
    sliders = widgets.HBox(list(shell.controls.values()), layout={"flex_flow": "row wrap"})
    shell.children = (sliders, shell.picture, shell.sentence)
    return shell
