"""Pictures of a prefill's two orders: rows of tiles at work, and entries of work items."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

from msa_course import palette
from msa_course.block_sparse_prefill.prefill_schedule import (
    CHUNKS,
    GROUP_SIZE,
    KINDS,
    TILES,
    Prefill,
    Schedule,
    compute,
    describe,
    item_rows,
    union_rows,
)
from msa_course.explorer import Explorer, choice, new_figure

if TYPE_CHECKING:
    from jaxtyping import Bool
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STEPS = 24  # tiles of the block-major order that are drawn
IDLE_OR_BUSY = ListedColormap([palette.HIDDEN, palette.CHOSEN])
MARGINS = {
    "left": 0.085,
    "right": 0.985,
    "top": 0.93,
    "bottom": 0.15,
    "hspace": 0.55,
    "wspace": 0.2,
}


def draw_rows(ax: Axes, busy: Bool[np.ndarray, "rows steps"], title: str) -> None:
    """Rows of a tile, step after step: blue where a row works, grey where it waits."""
    rows, steps = busy.shape
    shown = {"cmap": IDLE_OR_BUSY, "vmin": 0, "vmax": 1, "interpolation": "nearest"}
    ax.imshow(busy, aspect="auto", extent=(0, steps, rows, 0), **shown)
    ax.vlines(np.arange(1, steps), 0, rows, color="white", linewidth=0.8)
    ax.hlines(np.arange(GROUP_SIZE, rows, GROUP_SIZE), 0, steps, color="white", linewidth=0.8)
    ax.set(title=title, ylabel="row of the tile", ylim=(rows, 0))
    ax.set_yticks(np.arange(0, rows + 1, max(16, rows // 4)))
    ax.xaxis.get_major_locator().set_params(integer=True)


def draw_items(ax: Axes, plan: Schedule, chunk: int | None) -> None:
    """A bar an item, as long as its entries; those of the longest list are hatched."""
    longest = plan.item_blocks == plan.readers.argmax()
    item = np.arange(len(plan.item_sizes))
    style = {"width": 0.9, "linewidth": 0}
    ax.bar(item[~longest], plan.item_sizes[~longest], color=palette.CHOSEN, **style)
    ax.bar(
        item[longest],
        plan.item_sizes[longest],
        color=palette.FORCED,
        hatch=palette.FORCED_HATCH,
        **style,
    )
    if chunk is not None:
        ax.axhline(chunk, color=palette.INK, linestyle="--", linewidth=1)
    ax.set(xlabel="item", ylabel="entries", xlim=(-1, len(item)))


def draw(prefill: Prefill) -> Figure:
    """Rows at work in a union tile and in block-major tiles, above the load of every item."""
    plan = prefill.schedule
    chunk = plan.chunk
    number = len(plan.unions) // 2
    fig = new_figure(9, 5.2, layout="none")
    grid = fig.add_gridspec(2, 2, **MARGINS)
    walk, tiles = fig.add_subplot(grid[0, 0]), fig.add_subplot(grid[0, 1])
    draw_rows(walk, union_rows(plan, number), f"Query-major: {plan.query_major:.0%} of rows work")
    ids = plan.unions[number]
    step = 1 + len(ids) // 12
    walk.set_xticks(np.arange(0, len(ids), step) + 0.5, ids[::step])
    walk.set_xlabel(f"block of the union (tile {number} of {len(plan.unions)})")
    busy = item_rows(plan)
    first = (busy.shape[1] - STEPS) // 2
    part = busy[:, first : first + STEPS]
    draw_rows(tiles, part, f"Block-major: {plan.block_major:.0%} of rows work")
    tiles.set(xlabel=f"tile ({STEPS} of {busy.shape[1]}, from the middle)", ylabel="")
    tiles.set_xticks(np.arange(0, STEPS, 4) + 0.5, np.arange(first, first + STEPS, 4))
    bars = fig.add_subplot(grid[1, :])
    draw_items(bars, plan, chunk)
    bars.set(
        title=f"Block-major: {len(plan.item_sizes)} items, none over the chunk of {chunk} (dashed)",
        ylim=(0, 1.1 * max(chunk, plan.item_sizes.max())),
    )
    longest = plan.readers.argmax()
    handles = [
        Patch(facecolor=palette.CHOSEN, label="works"),
        Patch(facecolor=palette.HIDDEN, edgecolor=palette.GREY, label="waits"),
        Patch(
            facecolor=palette.FORCED,
            hatch=palette.FORCED_HATCH,
            label=f"items of the longest list, block {longest}",
        ),
    ]
    fig.legend(handles=handles, loc="lower center", ncols=3)
    return fig


def explorer() -> Explorer:
    """The explorer: kind of selection, queries a tile, entries an item."""
    return Explorer(
        "Two orders of a prefill",
        compute,
        draw,
        describe,
        kind=choice("Selection", KINDS, "sink"),
        tile=choice("Queries a tile", TILES, 4),
        chunk=choice("Chunk (entries)", CHUNKS, 16),
    )
