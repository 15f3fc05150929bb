"""Explorer of a decode step: which pages of the three lanes it reads, and how many bytes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.patches import Patch

from msa_course import palette
from msa_course.explorer import Explorer, choice, new_figure, slider
from msa_ref import blocks, cost, selection
from msa_ref.config import M3

if TYPE_CHECKING:
    from jaxtyping import Int32
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CONTEXTS = [(f"{2**power:,}", 2**power) for power in range(10, 21)]
BLOCK_SIZES = [(str(size), size) for size in (32, 64, 128, 256)]
NEEDLES = 400
NARROWEST = 1 / 300  # of a lane: a page thinner than this is drawn wider than it is
MARGINS = {"left": 0.1, "right": 0.985, "top": 0.94, "bottom": 0.19, "hspace": 0.42}
PAGE_LINES = 64  # up to so many pages, the borders between them are drawn


class Reads(NamedTuple):
    """What one decode step of one MiniMax-M3 layer reads, in pages and in bytes of bf16."""

    context: int
    block_size: int
    num_pages: int
    selection: Int32[np.ndarray, "Hkv k"]
    index_bytes: int
    main_bytes: int
    dense_bytes: int

    @property
    def ratio(self) -> float:
        """How many times more bytes dense attention reads."""
        return self.dense_bytes / (self.index_bytes + self.main_bytes)


def values(*, context: int, top_k: int, block_size: int, query: int) -> Reads:
    """Pages and bytes that the newest of `context` tokens reads.

    The scores are constructed: for every group, tokens spread at random over the context that
    answer the query more or less well. Another `query` is another draw.
    """
    attention = replace(M3.attention, top_k=top_k, block_size=block_size)
    spec = replace(M3, attention=attention)
    dense = replace(M3, attention=None, dense_layers=M3.layers)
    num_pages = blocks.num_blocks(context, block_size)
    rng = np.random.default_rng(query)
    place, answer = rng.random((2, attention.num_kv_heads, NEEDLES))
    scores = np.full((attention.num_kv_heads, num_pages), -1.0)
    page = (place * context).astype(int) // block_size
    for group in range(len(scores)):
        np.maximum.at(scores[group], page[group], answer[group])
    chosen = selection.select_blocks(
        scores[None, :, None], top_k=top_k, block_size=block_size, num_keys=context
    )
    index_bytes = attention.index_dim * cost.BF16_BYTES * context
    return Reads(
        context=context,
        block_size=block_size,
        num_pages=num_pages,
        selection=chosen[0, :, 0],
        index_bytes=index_bytes,
        main_bytes=int(cost.decode_bytes(spec, context).layer) - index_bytes,
        dense_bytes=int(cost.decode_bytes(dense, context).layer),
    )


def draw_lanes(axes: Axes, reads: Reads, *, narrowest: float = NARROWEST) -> None:
    """Three lanes of pages along the tokens: index keys, then keys and values of every group.

    No page is drawn narrower than the share `narrowest` of the lane.
    """
    groups = len(reads.selection)
    context, width = reads.context, max(reads.block_size, narrowest * reads.context)
    few = reads.num_pages <= PAGE_LINES
    pages = _spans(np.arange(reads.num_pages), reads, width) if few else [(0, context)]
    axes.broken_barh(pages, (0, 1), facecolor=palette.VISIBLE, edgecolor="white", linewidth=0.4)
    for lane, row in [(lane, g) for lane in range(2) for g in range(groups)]:
        bottom = 1.6 + lane * (groups + 0.6) + row
        ids = reads.selection[row]
        ids = ids[ids >= 0]
        own = ids == reads.num_pages - 1
        band = (bottom, 0.85)
        axes.broken_barh([(0, context)], band, facecolor=palette.HIDDEN)
        lit = _spans(ids[~own], reads, width)
        axes.broken_barh(
            lit, band, facecolor=palette.CHOSEN, edgecolor="white", linewidth=0.4 * few
        )
        lit = _spans(ids[own], reads, width)
        axes.broken_barh(
            lit, band, facecolor=palette.FORCED, hatch=palette.FORCED_HATCH, linewidth=0
        )
    middles = [0.5, 1.6 + groups / 2, 2.2 + 1.5 * groups]
    axes.set_yticks(middles, ["index keys", f"keys,\n{groups} groups", f"values,\n{groups} groups"])
    axes.tick_params(axis="y", length=0)
    axes.set(xlim=(0, context), ylim=(2.2 + 2 * groups, -0.2))
    axes.spines[:].set_visible(False)
    axes.xaxis.set_major_formatter("{x:,.0f}")


def _spans(ids, reads, width):
    """Start and width of each page, kept inside the context."""
    starts = np.minimum(ids * reads.block_size, reads.context - width)
    return [(start, width) for start in starts]


def render(*, context: int, top_k: int, block_size: int, query: int) -> Figure:
    """The three lanes with the pages read lit, above the bytes against dense attention."""
    reads = values(context=context, top_k=top_k, block_size=block_size, query=query)
    figure = new_figure(9, 4.8, layout="none")
    lanes, amounts = figure.subplots(2, 1, height_ratios=[3, 1], gridspec_kw=MARGINS)
    draw_lanes(lanes, reads)
    lanes.set_title(f"One decode step at {context:,} tokens: the lit pages are read")
    widened = reads.block_size < NARROWEST * context
    lanes.set_xlabel("token" + (" (pages are drawn wider than they are)" if widened else ""))
    _draw_bytes(amounts, reads)
    return figure


def _draw_bytes(axes, reads):
    index, main, dense = (
        amount / 1e6 for amount in (reads.index_bytes, reads.main_bytes, reads.dense_bytes)
    )
    axes.barh(1, dense, color=palette.GREY, label="dense: all keys and values")
    axes.barh(0, index, color=palette.VISIBLE, label="all index keys")
    axes.barh(0, main, left=index, color=palette.CHOSEN, label="chosen keys and values")
    for row, amount in enumerate((index + main, dense)):
        axes.text(amount, row, f" {amount:,.2f} MB", va="center")
    axes.set_yticks([0, 1], ["MSA", "dense"])
    axes.set(xlim=(0, 1.15 * max(dense, index + main)), xlabel="MB read by one layer (bf16)")
    axes.xaxis.set_major_formatter("{x:,.6g}")
    own = Patch(
        facecolor=palette.FORCED, hatch=palette.FORCED_HATCH, label="own page, always among them"
    )
    handles = [*axes.get_legend_handles_labels()[0], own]
    axes.figure.legend(handles=handles, loc="lower center", ncols=4, columnspacing=1.2)


def words(*, context: int, top_k: int, block_size: int, query: int) -> str:
    """What is read, group 0's blocks by name, and the bytes against dense attention."""
    reads = values(context=context, top_k=top_k, block_size=block_size, query=query)
    ids = [int(block) for block in reads.selection[0] if block >= 0]
    others = ", ".join(str(block) for block in ids[:-1][:6]) + (", ..." if len(ids) > 7 else "")
    named = f"blocks {others} and its own, {ids[-1]}" if others else f"its own block, {ids[-1]}"
    read = reads.index_bytes + reads.main_bytes
    compared = (
        f"{reads.ratio:.2f} times less than"
        if read < reads.dense_bytes
        else f"{read / reads.dense_bytes:.3f} times"
    )
    return (
        f"Query {query} at the end of {context:,} tokens reads every index key "
        f"({reads.index_bytes / 1e6:,.2f} MB), then keys and values of {len(ids)} of "
        f"{reads.num_pages:,} pages in each of {len(reads.selection)} groups "
        f"({reads.main_bytes / 1e6:,.2f} MB). Group 0 reads {named}. Together "
        f"{read / 1e6:,.2f} MB, {compared} the {reads.dense_bytes / 1e6:,.2f} MB of dense "
        f"attention."
    )


def decode_reads() -> Explorer:
    """The explorer: context, blocks kept, block size, and which query asks."""
    return Explorer(
        "What a decode step reads",
        render,
        words,
        context=choice("Context (tokens)", CONTEXTS, 32768),
        top_k=slider("Blocks kept (k)", 16, 1, 32),
        block_size=choice("Block size (tokens)", BLOCK_SIZES, 128),
        query=slider("Which query", 1, 1, 8),
    )
