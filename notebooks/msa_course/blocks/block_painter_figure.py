"""Pictures of blocks and tiles: the painted triangle, blocks as a bar, lists of queries."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch, Rectangle

from msa_course import palette
from msa_course.blocks.block_painter import LARGEST, Painting, compute, describe
from msa_course.explorer import Explorer, new_figure, slider
from msa_ref import blocks

if TYPE_CHECKING:
    from jaxtyping import Bool, Int
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PARTIAL = palette.LINES[2]
PARTIAL_HATCH = "..."
RAGGED_HATCH = "\\\\\\\\"
COLOURS = ListedColormap([palette.HIDDEN, PARTIAL, palette.VISIBLE])
HATCHES = ("", PARTIAL_HATCH, "")
LABELS = ("hidden: no work", "partial: work, mask", "visible: work, no mask")


def draw_tiles(
    ax: Axes, num_queries: int, num_keys: int, *, query_tile: int, block_size: int
) -> Painting:
    """The painted triangle on `ax`; gives the arrays it shows."""
    offset = num_keys - num_queries
    painting = compute(num_keys, block_size, query_tile, offset, query=num_keys - 1)
    _paint(ax, painting)
    return painting


def _paint(ax: Axes, painting: Painting) -> None:
    block_size, query_tile = painting.block_size, painting.query_tile
    num_queries, num_keys = painting.token_states.shape
    offset = num_keys - num_queries
    extent = (0, num_keys, num_keys, offset)
    ax.imshow(painting.token_states, cmap=COLOURS, vmin=0, vmax=2, extent=extent, aspect="auto")
    for row, column in np.argwhere(painting.states == blocks.PARTIAL):
        left, top = column * block_size, offset + row * query_tile
        width, height = min(block_size, num_keys - left), min(query_tile, num_keys - top)
        ax.add_patch(
            Rectangle((left, top), width, height, fill=False, hatch=PARTIAL_HATCH, linewidth=0)
        )
    edges = {"colors": "white", "linewidth": 1.5}
    ax.vlines(np.arange(0, num_keys, block_size), offset, num_keys, **edges)
    ax.hlines(np.arange(offset, num_keys, query_tile), 0, num_keys, **edges)
    ax.set(xlim=(0, num_keys), ylim=(num_keys, offset))
    ax.set(xlabel="key position (tokens)", ylabel="query position (tokens)")
    ax.locator_params(integer=True)
    ax.spines[:].set_visible(False)


def legend_handles() -> list[Patch]:
    """One patch for each state, saying what it costs."""
    return [
        Patch(facecolor=colour, edgecolor=palette.INK, linewidth=0.5, hatch=hatch, label=label)
        for colour, hatch, label in zip(COLOURS.colors, HATCHES, LABELS)
    ]


def draw(painting: Painting) -> Figure:
    """The painted triangle, one query framed; the blocks and their sizes; the tiles counted."""
    fig = new_figure(9, 5.2, layout="none")
    grid = fig.add_gridspec(
        2,
        2,
        height_ratios=[1, 0.09],
        width_ratios=[1, 0.3],
        left=0.08,
        right=0.97,
        bottom=0.11,
        top=0.94,
        hspace=0.3,
        wspace=0.4,
    )
    triangle = fig.add_subplot(grid[0, 0])
    _paint(triangle, painting)
    rows, columns = painting.states.shape
    triangle.set_title(f"Tiles: {rows} of queries x {columns} blocks of keys")
    num_keys, (first, stop) = painting.num_keys, painting.own_span
    for left, width, colour in ((0, num_keys, palette.INK), (first, stop - first, palette.FORCED)):
        frame = Rectangle(
            (left, painting.query), width, 1, fill=False, edgecolor=colour, linewidth=2.5, zorder=3
        )
        triangle.add_patch(frame).set_clip_on(False)
    _draw_strip(fig.add_subplot(grid[1, 0]), painting)
    _draw_counts(fig.add_subplot(grid[0, 1]), painting.counts)
    return fig


def _draw_counts(ax: Axes, counts: Int[np.ndarray, " 3"]) -> None:
    bars = ax.barh(
        range(3), counts, color=COLOURS.colors, edgecolor=palette.INK, linewidth=0.5, hatch=HATCHES
    )
    ax.bar_label(bars, padding=3)
    ax.set_yticks(range(3), [label.replace(": ", ":\n") for label in LABELS])
    ax.set(xlim=(0, 1.25 * counts.max()), xlabel="tiles", title="What they cost")
    ax.invert_yaxis()
    ax.locator_params(axis="x", integer=True, nbins=3)


def draw_blocks(
    ax: Axes, num_keys: int, block_size: int, *, height: float = 0, own: int | None = None
) -> Int[np.ndarray, " nb"]:
    """One bar on `ax` cut into the blocks, each with its number of tokens; gives those numbers.

    The ragged last block and the named own block are hatched.
    """
    painting = compute(num_keys, block_size, query_tile=1, offset=0, query=0)
    sizes, starts = painting.sizes, np.arange(0, num_keys, block_size)
    forced, ragged = np.arange(len(sizes)) == own, sizes < block_size
    bars = ax.barh(
        np.full(len(sizes), height),
        sizes,
        left=starts,
        height=0.9,
        color=np.where(forced, palette.FORCED, palette.VISIBLE),
        edgecolor="white",
        linewidth=1.5,
        hatch=np.where(forced, palette.FORCED_HATCH, np.where(ragged, RAGGED_HATCH, "")).tolist(),
    )
    ax.bar_label(bars, sizes, label_type="center", size=8)
    ax.spines[:].set_visible(False)
    return sizes


def _draw_strip(ax: Axes, painting: Painting) -> None:
    num_keys, block_size = painting.num_keys, painting.block_size
    sizes = draw_blocks(ax, num_keys, block_size, own=painting.own)
    middles = np.arange(0, num_keys, block_size) + sizes / 2
    shown = slice(None, None, 1 + len(sizes) // 20)
    ax.set_xticks(middles[shown], np.arange(len(sizes))[shown])
    ax.set(xlim=(0, num_keys), ylim=(-0.5, 0.5), yticks=[])
    ax.set_xlabel("block id; inside, its tokens (orange: the framed query's own block)")
    ax.tick_params(length=0)


def draw_lists(ax: Axes, offsets: Int[np.ndarray, " nb+1"], queries: Int[np.ndarray, " E"]) -> None:
    """Block-to-query lists as one strip of query rows, cut where each block's list begins."""
    colours = [palette.VISIBLE, palette.HIDDEN]
    for block, (first, stop) in enumerate(pairwise(offsets)):
        ax.bar(first, 1, stop - first, align="edge", color=colours[block % 2], edgecolor="white")
        ax.text((first + stop) / 2, 1.1, f"block {block}", ha="center")
    for place, query in enumerate(queries):
        ax.text(place + 0.5, 0.5, query, ha="center", va="center")
    ax.set_xticks(offsets)
    ax.set(yticks=[], ylim=(0, 1.4), xlim=(0, offsets[-1]), xlabel="offsets")
    ax.spines[:].set_visible(False)


def draw_ticks(ax: Axes, chosen: Bool[np.ndarray, "T nb"]) -> None:
    """A grid of queries and blocks with the chosen cells filled and ticked."""
    colours = ListedColormap([palette.HIDDEN, palette.CHOSEN])
    ax.pcolormesh(chosen, cmap=colours, vmin=0, vmax=1, edgecolor="white", linewidth=2)
    for query, block in np.argwhere(chosen):
        ax.text(block + 0.5, query + 0.5, "x", ha="center", va="center", color="white")
    ax.set_xticks(np.arange(chosen.shape[1]) + 0.5, range(chosen.shape[1]))
    ax.set_yticks(np.arange(chosen.shape[0]) + 0.5, range(chosen.shape[0]))
    ax.invert_yaxis()
    ax.set(xlabel="block of keys", ylabel="query")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)


def explorer() -> Explorer:
    """The block painter: sliders for keys, block size, query tile, offset and one query."""
    return Explorer(
        "Block painter",
        compute,
        draw,
        describe,
        num_keys=slider("keys S", 22, 1, LARGEST),
        block_size=slider("block size", 4, 1, 16),
        query_tile=slider("query tile", 4, 1, 16),
        offset=slider("offset S - T", 0, 0, LARGEST - 1),
        query=slider("query position", 13, 0, LARGEST - 1),
    )
