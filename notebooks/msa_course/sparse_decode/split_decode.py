"""Explorer of a split decode step: which programs read which pages, and how full the GPU is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.patches import Patch

from msa_course import palette
from msa_course.explorer import Explorer, choice, new_figure
from msa_course.whole_layer import decode_reads
from msa_ref.config import M3

if TYPE_CHECKING:
    from jaxtyping import Int
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MULTIPROCESSORS = 132  # of an H100
CONTEXTS = decode_reads.CONTEXTS
SPLITS = [(str(splits), splits) for splits in (1, 2, 4, 8, 16)]
BATCHES = [(str(batch), batch) for batch in (1, 2, 4, 8, 16, 32, 64)]
BF16_BYTES, FLOAT32_BYTES = 2, 4
COLUMNS = 12  # of the multiprocessors' picture
SHADES = 64  # up to so many scan programs are told apart in the picture
MARGINS = {
    "left": 0.1, "right": 0.985, "top": 0.95, "bottom": 0.14, "hspace": 0.62, "wspace": 0.16,
}  # fmt: skip


class Step(NamedTuple):
    """The programs of one decode step of one MiniMax-M3 layer, and the bytes they move.

    `blocks [k]` are those that group 0 of the first sequence chose (-1 where there are fewer),
    `program_of_rank [k]` the attend program that reads each; `scan_pages` is how many pages one
    scan program reads. Bytes are those of the whole batch.
    """

    context: int
    splits: int
    batch: int
    num_pages: int
    scan_pages: int
    blocks: Int[np.ndarray, " k"]
    program_of_rank: Int[np.ndarray, " k"]
    num_bytes: dict[str, int]

    @property
    def scan_programs(self) -> int:
        """Programs of the index scan."""
        return self.batch * -(-self.num_pages // self.scan_pages)

    @property
    def attend_programs(self) -> int:
        """Programs of the split attend kernel: sequences x groups x splits."""
        return self.batch * M3.attention.num_kv_heads * self.splits

    @property
    def idle_programs(self) -> int:
        """Attend programs of group 0 of one sequence that find no block to read."""
        used = self.program_of_rank[self.blocks >= 0]
        return self.splits - len(set(used.tolist()))


def values(*, context: int, splits: int, batch: int) -> Step:
    """Programs and bytes of one step; the chosen blocks are those of the explorer of lesson 08."""
    config = M3.attention
    size = config.block_size
    reads = decode_reads.values(context=context, top_k=config.top_k, block_size=size, query=1)
    rows = batch * config.num_heads * splits
    return Step(
        context=context,
        splits=splits,
        batch=batch,
        num_pages=reads.num_pages,
        scan_pages=pages_a_scan(batch, reads.num_pages),
        blocks=reads.selection[0],
        program_of_rank=np.arange(config.top_k) % splits,
        num_bytes={
            "index keys": batch * reads.index_bytes,
            "keys": batch * reads.main_bytes // 2,
            "values": batch * reads.main_bytes // 2,
            "partial results": 2 * rows * (config.head_dim + 1) * FLOAT32_BYTES,
        },
    )


def pages_a_scan(batch: int, num_pages: int) -> int:
    """Pages one scan program reads: few enough to fill the GPU, doubled until 16 above that."""
    pages = 2
    while pages < 16 and batch * num_pages > 8 * MULTIPROCESSORS * pages:
        pages *= 2
    return pages


def programs_on_each(programs: int) -> Int[np.ndarray, " multiprocessors"]:
    """Programs on each multiprocessor when they are dealt out one by one."""
    return np.bincount(np.arange(programs) % MULTIPROCESSORS, minlength=MULTIPROCESSORS)


def draw_multiprocessors(axes: Axes, programs: int) -> None:
    """A square a multiprocessor: empty, with one program, or with more."""
    counts = programs_on_each(programs)
    grid = np.minimum(counts, 2).reshape(-1, COLUMNS)
    axes.pcolormesh(
        grid[::-1], cmap=palette.STATES, vmin=0, vmax=3, edgecolors="white", linewidth=1.5
    )
    busy = int((counts > 0).sum())
    most = f", {counts.max()} at most" if counts.max() > 1 else ""
    axes.set_title(f"{programs:,} programs on {busy} of 132{most}", fontsize=10)
    axes.set(xticks=[], yticks=[], aspect="equal", anchor="W")
    axes.spines[:].set_visible(False)


def draw_pages(axes: Axes, table, length: int, selection, *, block_size: int) -> None:
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
            axes.broken_barh([(page, 0.92)], (bottom, 0.88), facecolor=colour)
            if sequence >= 0:
                ink = "white" if read and lane else palette.INK if read else palette.GREY
                weight = "bold" if read else "normal"
                axes.text(
                    page + 0.46, bottom + 0.44, str(block), color=ink, ha="center",
                    va="center", size=8, weight=weight,
                )  # fmt: skip
    rows = [f"{name}, group {g}" for name in ("keys", "values") for g in range(groups)]
    middles = [0.44, *(i + 0.94 + 0.5 * (i > groups) for i in range(1, 2 * groups + 1))]
    axes.set_yticks(middles, ["index keys", *rows])
    axes.set(xlim=(0, num_pages), ylim=(2 * groups + 2, -0.1), xlabel="page of the pool")
    axes.set_xticks(np.arange(0, num_pages, 4) + 0.46, range(0, num_pages, 4))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def render(*, context: int, splits: int, batch: int) -> Figure:
    """Lanes with the pages read, ranks against programs, multiprocessors, and bytes by lane."""
    step = values(context=context, splits=splits, batch=batch)
    figure = new_figure(9, 6.4, layout="none")
    grid = figure.add_gridspec(3, 2, height_ratios=[1.1, 3, 0.5], width_ratios=[3, 2], **MARGINS)
    _draw_lanes(figure.add_subplot(grid[0, :]), step)
    _draw_programs(figure.add_subplot(grid[1, 0]), step)
    axes = figure.add_subplot(grid[1, 1])
    draw_multiprocessors(axes, step.attend_programs)
    axes.set_xlabel("a square is a multiprocessor: grey is idle,\nlight has one program, dark more")
    _draw_bytes(figure.add_subplot(grid[2, :]), step)
    return figure


def _draw_lanes(axes, step):
    context, size = step.context, M3.attention.block_size
    part = step.scan_pages * size
    if context // part <= SHADES:
        spans = [(start, min(part, context - start)) for start in range(0, context, part)]
    else:
        spans = [(0, context)]
    axes.broken_barh(spans, (0, 0.8), facecolor=palette.VISIBLE, edgecolor="white", linewidth=1)
    width = max(size, context * decode_reads.NARROWEST)
    ids = step.blocks[step.blocks >= 0]
    starts = np.minimum(ids * size, context - width)
    for lane in (1, 2):
        axes.broken_barh([(0, context)], (lane, 0.8), facecolor=palette.HIDDEN)
        spans = [(start, width) for start in starts]
        axes.broken_barh(spans, (lane, 0.8), facecolor=palette.CHOSEN, edgecolor="white")
    axes.set_yticks([0.4, 1.4, 2.4], ["index keys", "keys", "values"])
    axes.set(xlim=(0, context), ylim=(2.9, -0.1), xlabel="token of the first sequence, group 0")
    axes.set_title(
        f"{step.scan_programs:,} scan programs read {step.scan_pages} pages each, all of lane 1; "
        f"lanes 2 and 3: chosen pages"
    )
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.tick_params(axis="y", length=0)
    axes.spines[:].set_visible(False)


def _draw_programs(axes, step):
    top_k = len(step.blocks)
    cells = np.zeros((step.splits, top_k))
    used = np.flatnonzero(step.blocks >= 0)
    cells[step.program_of_rank[used], used] = 2
    axes.pcolormesh(cells, cmap=palette.STATES, vmin=0, vmax=3, edgecolors="white", linewidth=0.5)
    own = used[-1]
    axes.broken_barh(
        [(own, 1)], (step.program_of_rank[own], 1), facecolor=palette.FORCED,
        hatch=palette.FORCED_HATCH, edgecolor="white",
    )  # fmt: skip
    for rank in used:
        colour = palette.INK if rank == own else "white"
        axes.text(
            rank + 0.5, step.program_of_rank[rank] + 0.5, str(step.blocks[rank]), size=7,
            ha="center", va="center", color=colour, rotation=90 if step.num_pages > 1000 else 0,
        )  # fmt: skip
    axes.set(xlim=(0, top_k), ylim=(step.splits, 0))
    axes.set_xticks(np.arange(0, top_k, 5) + 0.5, range(0, top_k, 5))
    shown = range(0, step.splits, max(1, step.splits // 8))
    axes.set_yticks(np.array(shown) + 0.5, shown)
    axes.set(xlabel="place in the list of chosen blocks", ylabel="program (split)")
    axes.set_title("Group 0: which program reads which block", fontsize=10)


def _draw_bytes(axes, step):
    left = 0.0
    colours = [palette.VISIBLE, palette.CHOSEN, palette.LINES[2], palette.GREY]
    handles = []
    for colour, (name, amount) in zip(colours, step.num_bytes.items()):
        axes.barh(0, amount / 1e6, left=left, color=colour)
        handles.append(Patch(facecolor=colour, label=f"{name} {amount / 1e6:,.2f} MB"))
        left += amount / 1e6
    axes.set(yticks=[], xlim=(0, left), xlabel="MB moved by one layer (bf16 lanes)")
    axes.xaxis.set_major_formatter("{x:,.6g}")
    axes.figure.legend(handles=handles, loc="lower center", ncols=4, columnspacing=1.5)


def words(*, context: int, splits: int, batch: int) -> str:
    """Programs of both kernels, what program 0 reads, how many multiprocessors work, and bytes."""
    step = values(context=context, splits=splits, batch=batch)
    mine = step.blocks[(step.program_of_rank == 0) & (step.blocks >= 0)]
    named = ", ".join(map(str, mine[:4])) + (", ..." if len(mine) > 4 else "")
    busy = int((programs_on_each(step.attend_programs) > 0).sum())
    idle = (
        f" {step.idle_programs} of its {splits} programs find nothing to read and report an "
        f"empty part."
        if step.idle_programs
        else ""
    )
    amounts = ", ".join(f"{name} {amount / 1e6:,.2f} MB" for name, amount in step.num_bytes.items())
    return (
        f"{batch} x {context:,} tokens: the scan has {step.scan_programs:,} programs of "
        f"{step.scan_pages} pages. The attend kernel has {batch} x 4 groups x {splits} splits = "
        f"{step.attend_programs:,} programs on {busy} of {MULTIPROCESSORS} multiprocessors. In "
        f"group 0, program 0 reads keys and values of block{'s' * (len(mine) != 1)} {named}."
        f"{idle} Bytes: {amounts}."
    )


def split_decode() -> Explorer:
    """The explorer: context, splits and batch."""
    return Explorer(
        "A split decode step",
        render,
        words,
        context=choice("Context (tokens)", CONTEXTS, 32768),
        splits=choice("Splits", SPLITS, 16),
        batch=choice("Batch (sequences)", BATCHES, 1),
    )
