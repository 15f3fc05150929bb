"""Pictures of a split decode step: pages read, programs, multiprocessors, bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.patches import Patch

from msa_course import palette
from msa_course.explorer import Explorer, choice, new_figure
from msa_course.sparse_decode.split_decode import (
    BATCHES,
    CONTEXTS,
    SPLITS,
    Step,
    compute,
    describe,
    programs_on_each,
)
from msa_course.whole_layer.decode_reads_figure import NARROWEST
from msa_ref.config import M3

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 12  # of the multiprocessors' picture
SHADES = 64  # up to so many scan programs are told apart in the picture
MARGINS = {
    "left": 0.1, "right": 0.985, "top": 0.95, "bottom": 0.14, "hspace": 0.62, "wspace": 0.16,
}  # fmt: skip


def draw_multiprocessors(ax: Axes, programs: int) -> None:
    """A square a multiprocessor: empty, with one program, or with more."""
    counts = programs_on_each(programs)
    grid = np.minimum(counts, 2).reshape(-1, COLUMNS)
    ax.pcolormesh(
        grid[::-1], cmap=palette.STATES, vmin=0, vmax=3, edgecolors="white", linewidth=1.5
    )
    busy = int((counts > 0).sum())
    most = f", {counts.max()} at most" if counts.max() > 1 else ""
    ax.set_title(f"{programs:,} programs on {busy} of 132{most}", fontsize=10)
    ax.set(xticks=[], yticks=[], aspect="equal", anchor="W")
    ax.spines[:].set_visible(False)


def draw_pages(ax: Axes, table, length: int, selection, *, block_size: int) -> None:
    """Every page of a cache in its three lanes; those one sequence's step reads are lit.

    `table [B, max_pages]` is the cache's, `length` and `selection [Hkv, k]` are those of its first
    sequence. A cell's number is the block that lives there, of whichever sequence.
    """
    num_pages = int(table.max()) + 1
    block_of = {int(page): (b, i) for b, row in enumerate(table) for i, page in enumerate(row)}
    scanned = -(-length // block_size)
    lit = [set(range(scanned)), *([set(row[row >= 0].tolist()) for row in selection] * 2)]
    groups = len(selection)
    for lane, chosen in enumerate(lit):
        bottom = lane + 0.5 * (lane > 0) + 0.5 * (lane > groups)
        for page in range(num_pages):
            sequence, block = block_of.get(page, (-1, -1))
            read = sequence == 0 and block in chosen
            colour = (palette.VISIBLE if lane == 0 else palette.CHOSEN) if read else palette.HIDDEN
            ax.broken_barh([(page, 0.92)], (bottom, 0.88), facecolor=colour)
            if sequence >= 0:
                ink = "white" if read and lane else palette.INK if read else palette.GREY
                weight = "bold" if read else "normal"
                ax.text(
                    page + 0.46, bottom + 0.44, str(block), color=ink, ha="center",
                    va="center", size=8, weight=weight,
                )  # fmt: skip
    rows = [f"{name}, group {g}" for name in ("keys", "values") for g in range(groups)]
    middles = [0.44, *(i + 0.94 + 0.5 * (i > groups) for i in range(1, 2 * groups + 1))]
    ax.set_yticks(middles, ["index keys", *rows])
    ax.set(xlim=(0, num_pages), ylim=(2 * groups + 2, -0.1), xlabel="page of the pool")
    ax.set_xticks(np.arange(0, num_pages, 4) + 0.46, range(0, num_pages, 4))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def draw(step: Step) -> Figure:
    """Lanes with the pages read, ranks against programs, multiprocessors, and bytes by lane."""
    fig = new_figure(9, 6.4, layout="none")
    grid = fig.add_gridspec(3, 2, height_ratios=[1.1, 3, 0.5], width_ratios=[3, 2], **MARGINS)
    _draw_lanes(fig.add_subplot(grid[0, :]), step)
    _draw_programs(fig.add_subplot(grid[1, 0]), step)
    ax = fig.add_subplot(grid[1, 1])
    draw_multiprocessors(ax, step.attend_programs)
    ax.set_xlabel("a square is a multiprocessor: grey is idle,\nlight has one program, dark more")
    _draw_bytes(fig.add_subplot(grid[2, :]), step)
    return fig


def _draw_lanes(ax: Axes, step: Step) -> None:
    context, size = step.context, M3.attention.block_size
    part = step.scan_pages * size
    if context // part <= SHADES:
        spans = [(start, min(part, context - start)) for start in range(0, context, part)]
    else:
        spans = [(0, context)]
    ax.broken_barh(spans, (0, 0.8), facecolor=palette.VISIBLE, edgecolor="white", linewidth=1)
    width = max(size, context * NARROWEST)
    ids = step.blocks[step.blocks >= 0]
    starts = np.minimum(ids * size, context - width)
    for lane in (1, 2):
        ax.broken_barh([(0, context)], (lane, 0.8), facecolor=palette.HIDDEN)
        spans = [(start, width) for start in starts]
        ax.broken_barh(spans, (lane, 0.8), facecolor=palette.CHOSEN, edgecolor="white")
    ax.set_yticks([0.4, 1.4, 2.4], ["index keys", "keys", "values"])
    ax.set(xlim=(0, context), ylim=(2.9, -0.1), xlabel="token of the first sequence, group 0")
    ax.set_title(
        f"{step.scan_programs:,} scan programs read {step.scan_pages} pages each, all of lane 1; "
        f"lanes 2 and 3: chosen pages"
    )
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.tick_params(axis="y", length=0)
    ax.spines[:].set_visible(False)


def _draw_programs(ax: Axes, step: Step) -> None:
    top_k = len(step.blocks)
    cells = np.zeros((step.splits, top_k))
    used = np.flatnonzero(step.blocks >= 0)
    cells[step.program_of_rank[used], used] = 2
    ax.pcolormesh(cells, cmap=palette.STATES, vmin=0, vmax=3, edgecolors="white", linewidth=0.5)
    own = used[-1]
    ax.broken_barh(
        [(own, 1)], (step.program_of_rank[own], 1), facecolor=palette.FORCED,
        hatch=palette.FORCED_HATCH, edgecolor="white",
    )  # fmt: skip
    for rank in used:
        colour = palette.INK if rank == own else "white"
        ax.text(
            rank + 0.5, step.program_of_rank[rank] + 0.5, str(step.blocks[rank]), size=7,
            ha="center", va="center", color=colour, rotation=90 if step.num_pages > 1000 else 0,
        )  # fmt: skip
    ax.set(xlim=(0, top_k), ylim=(step.splits, 0))
    ax.set_xticks(np.arange(0, top_k, 5) + 0.5, range(0, top_k, 5))
    shown = range(0, step.splits, max(1, step.splits // 8))
    ax.set_yticks(np.array(shown) + 0.5, shown)
    ax.set(xlabel="place in the list of chosen blocks", ylabel="program (split)")
    ax.set_title("Group 0: which program reads which block", fontsize=10)


def _draw_bytes(ax: Axes, step: Step) -> None:
    left = 0.0
    colours = [palette.VISIBLE, palette.CHOSEN, palette.LINES[2], palette.GREY]
    handles = []
    for colour, (name, amount) in zip(colours, step.num_bytes.items()):
        ax.barh(0, amount / 1e6, left=left, color=colour)
        handles.append(Patch(facecolor=colour, label=f"{name} {amount / 1e6:,.2f} MB"))
        left += amount / 1e6
    ax.set(yticks=[], xlim=(0, left), xlabel="MB moved by one layer (bf16 lanes)")
    ax.xaxis.set_major_formatter("{x:,.6g}")
    ax.figure.legend(handles=handles, loc="lower center", ncols=4, columnspacing=1.5)


def explorer() -> Explorer:
    """The explorer: context, splits and batch."""
    return Explorer(
        "A split decode step",
        compute,
        draw,
        describe,
        context=choice("Context (tokens)", CONTEXTS, 32768),
        splits=choice("Splits", SPLITS, 16),
        batch=choice("Batch (sequences)", BATCHES, 1),
    )
