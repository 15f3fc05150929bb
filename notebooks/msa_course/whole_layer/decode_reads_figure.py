"""Pictures of a decode step, drawn and alive: three lanes of pages, and the bytes read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.patches import Patch

from msa_course import live, palette
from msa_course.figures import new_figure
from msa_course.whole_layer.decode_reads import (
    BLOCK_SIZES,
    MOST_BLOCKS,
    POWERS,
    QUERIES,
    Reads,
    compute,
    describe,
    needles,
)
from msa_ref.config import M3

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MODULE = Path(__file__).with_name("decode_reads.mjs")
NARROWEST = 1 / 300  # of a lane: a page thinner than this is drawn wider than it is
MARGINS = {"left": 0.1, "right": 0.985, "top": 0.94, "bottom": 0.19, "hspace": 0.42}
PAGE_LINES = 64  # up to so many pages, the borders between them are drawn


def draw_lanes(ax: Axes, reads: Reads, *, narrowest: float = NARROWEST) -> None:
    """Three lanes of pages along the tokens: index keys, then keys and values of every group.

    No page is drawn narrower than the share `narrowest` of the lane.
    """
    groups = len(reads.selection)
    context, width = reads.context, max(reads.block_size, narrowest * reads.context)
    few = reads.num_pages <= PAGE_LINES
    pages = _spans(np.arange(reads.num_pages), reads, width) if few else [(0, context)]
    ax.broken_barh(pages, (0, 1), facecolor=palette.VISIBLE, edgecolor="white", linewidth=0.4)
    for lane, row in [(lane, g) for lane in range(2) for g in range(groups)]:
        bottom = 1.6 + lane * (groups + 0.6) + row
        ids = reads.selection[row]
        ids = ids[ids >= 0]
        local = ids == reads.num_pages - 1
        band = (bottom, 0.85)
        ax.broken_barh([(0, context)], band, facecolor=palette.HIDDEN)
        lit = _spans(ids[~local], reads, width)
        ax.broken_barh(lit, band, facecolor=palette.CHOSEN, edgecolor="white", linewidth=0.4 * few)
        lit = _spans(ids[local], reads, width)
        ax.broken_barh(lit, band, facecolor=palette.FORCED, hatch=palette.FORCED_HATCH, linewidth=0)
    middles = [0.5, 1.6 + groups / 2, 2.2 + 1.5 * groups]
    ax.set_yticks(middles, ["index keys", f"keys,\n{groups} groups", f"values,\n{groups} groups"])
    ax.tick_params(axis="y", length=0)
    ax.set(xlim=(0, context), ylim=(2.2 + 2 * groups, -0.2))
    ax.spines[:].set_visible(False)
    ax.xaxis.set_major_formatter("{x:,.0f}")


def _spans(ids, reads, width):
    """Start and width of each page, kept inside the context."""
    starts = np.minimum(ids * reads.block_size, reads.context - width)
    return [(start, width) for start in starts]


def draw(reads: Reads) -> Figure:
    """The three lanes with the pages read lit, above the bytes against dense attention."""
    context = reads.context
    fig = new_figure(9, 4.8, layout="none")
    lanes, amounts = fig.subplots(2, 1, height_ratios=[3, 1], gridspec_kw=MARGINS)
    draw_lanes(lanes, reads)
    lanes.set_title(f"One decode step at {context:,} tokens: the lit pages are read")
    widened = reads.block_size < NARROWEST * context
    lanes.set_xlabel("token" + (" (pages are drawn wider than they are)" if widened else ""))
    _draw_bytes(amounts, reads)
    return fig


def _draw_bytes(ax: Axes, reads: Reads) -> None:
    index, main, dense = (
        amount / 1e6 for amount in (reads.index_bytes, reads.main_bytes, reads.dense_bytes)
    )
    ax.barh(1, dense, color=palette.GREY, label="dense: all keys and values")
    ax.barh(0, index, color=palette.VISIBLE, label="all index keys")
    ax.barh(0, main, left=index, color=palette.CHOSEN, label="chosen keys and values")
    for row, amount in enumerate((index + main, dense)):
        ax.text(amount, row, f" {amount:,.2f} MB", va="center")
    ax.set_yticks([0, 1], ["MSA", "dense"])
    ax.set(xlim=(0, 1.15 * max(dense, index + main)), xlabel="MB read by one layer")
    ax.xaxis.set_major_formatter("{x:,.6g}")
    local = Patch(
        facecolor=palette.FORCED, hatch=palette.FORCED_HATCH, label="local block, always read"
    )
    handles = [*ax.get_legend_handles_labels()[0], local]
    ax.figure.legend(handles=handles, loc="lower center", ncols=4, columnspacing=1.2)


def stored(opening: dict) -> dict:
    """What the module needs: the needles of every query, M3's sizes, the settings to begin with."""
    places, ranks = zip(*map(needles, range(1, QUERIES + 1)))
    return {
        "places": live.pack(np.array(places, dtype=np.int32)),
        "ranks": live.pack(np.array(ranks, dtype=np.uint8)),
        "powers": [POWERS[0], POWERS[-1]],
        "sizes": [size for _, size in BLOCK_SIZES],
        "most": MOST_BLOCKS,
        "index_dim": M3.attention.index_dim,
        "token_bytes": 2 * 2 * M3.num_kv_heads * M3.head_dim,
        "opening": opening,
    }


def explorer(*, context=32768, top_k=16, block_size=128, query=1, channel_bytes=2, group=0) -> None:
    """Shows what a decode step reads, by context, blocks kept, block size, query and group."""
    opening = {
        "context": context,
        "top_k": top_k,
        "block_size": block_size,
        "query": query,
        "channel_bytes": channel_bytes,
        "group": group,
    }
    reads = compute(**opening)
    live.show_live(MODULE, stored(opening), draw(reads), describe(reads))
