"""The lesson's figures, from the numbers that its cells computed."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.patches import Patch, Rectangle

from msa_course import palette
from msa_course.figures import new_figure
from msa_ref import blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from msa_course.blocks.scene import FourSteps

PARTIAL = "#F0E442"
PARTIAL_HATCH = "...."
FILLS = (palette.HIDDEN, PARTIAL, palette.VISIBLE)
STATE_LABELS = ("hidden: no work", "partial: work and a mask", "visible: work, no mask")
SOFT_BLUE = "#CFE8F7"


def four_steps(steps: FourSteps, block_size: int, marked: int, word: str) -> Figure:
    """Token scores, block scores, the choice and the attention of one query, over its tokens."""
    fig = new_figure(8, 5.2)
    axes = fig.subplots(4, 1, sharex=True, height_ratios=[1.2, 1.2, 0.5, 1.2])
    tokens, count = len(steps.token_scores), len(steps.block_scores)
    starts = np.arange(count) * block_size
    titles = [
        "1  a score for every token (The index branch)",
        "2  a score for every block: its best token's (The index branch)",
        "3  the blocks that are read, the local one hatched (Choosing k)",
        "4  attention, over their tokens alone (Exact on what was chosen)",
    ]
    for ax, title in zip(axes, titles):
        ax.set_title(title, size=9.5)
        ax.tick_params(labelsize=8)
        for block in steps.chosen:
            ax.axvspan(block * block_size, (block + 1) * block_size, color=SOFT_BLUE, zorder=0)
    axes[0].vlines(
        np.arange(tokens) + 0.5, -10, steps.token_scores, color=palette.GREY, linewidth=0.7
    )
    axes[0].set(ylim=(-10, 8))
    floor = steps.block_scores.min() - 1
    chosen = np.isin(np.arange(count), steps.chosen)
    fills = np.where(chosen, palette.CHOSEN, palette.VISIBLE)
    fills[-1] = palette.FORCED
    axes[1].bar(
        starts, steps.block_scores - floor, block_size - 3, floor, align="edge", color=fills
    )
    for block, start in enumerate(starts):
        local = block == count - 1
        fill = palette.FORCED if local else palette.CHOSEN if chosen[block] else palette.HIDDEN
        hatch = palette.FORCED_HATCH if local else None
        axes[2].add_patch(Rectangle((start, 0), block_size - 3, 1, facecolor=fill, hatch=hatch,
                                    edgecolor="white", linewidth=0))  # fmt: skip
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1} if local else None
        ink = "white" if fill == palette.CHOSEN else palette.INK
        axes[2].text(start + block_size / 2 - 1.5, 0.5, block, ha="center", va="center", size=8.5,
                     color=ink, bbox=box)  # fmt: skip
    axes[2].set(ylim=(0, 1), yticks=[])
    axes[2].spines[:].set_visible(False)
    axes[3].vlines(
        np.arange(tokens) + 0.5, 0, 100 * steps.weights, color=palette.CHOSEN, linewidth=1.6
    )
    axes[3].annotate(f"{100 * steps.weights[marked]:.0f} % to token {marked}, “{word}”",
                     (marked + 6, 80), size=9)  # fmt: skip
    axes[3].set(ylim=(0, 100), ylabel="%", xlim=(0, count * block_size), xlabel="token")
    axes[3].set_xticks(starts[::2])
    return fig


def tiles(ax: Axes, states: np.ndarray, num_queries: int, num_keys: int, sizes: tuple) -> None:
    """Draws tile states [tiles, nb] over the tokens; `sizes` are query tile and block size."""
    query_tile, block_size = sizes
    offset = num_keys - num_queries
    for row, column in np.ndindex(states.shape):
        left, top = column * block_size, offset + row * query_tile
        width, height = min(block_size, num_keys - left), min(query_tile, num_keys - top)
        state = states[row, column]
        hatch = PARTIAL_HATCH if state == blocks.PARTIAL else None
        ax.add_patch(Rectangle((left, top), width, height, facecolor=FILLS[state], hatch=hatch,
                               edgecolor="white", linewidth=1.5))  # fmt: skip
    ax.set(xlim=(0, num_keys), ylim=(num_keys, 0), xlabel="key (token)", ylabel="query (token)")
    ax.locator_params(integer=True)
    ax.spines[:].set_visible(False)


def _state_patches() -> list[Patch]:
    hatches = ("", PARTIAL_HATCH, "")
    return [
        Patch(facecolor=fill, hatch=hatch, edgecolor=palette.GREY, label=label)
        for fill, hatch, label in zip(FILLS, hatches, STATE_LABELS)
    ]


def three_calls(calls: Sequence[tuple[str, int, np.ndarray]], num_keys: int, size: int) -> Figure:
    """The tiles of a prefill, a chunk and a decode step; each call is (name, queries, states)."""
    fig = new_figure(8, 3.3)
    axes = fig.subplots(1, 3)
    for ax, (name, num_queries, states) in zip(axes, calls):
        tiles(ax, states, num_queries, num_keys, (size, size))
        ax.set_title(f"{name}: {num_queries} of {num_keys} tokens ask", size=9.5)
        ax.set_xticks(range(0, num_keys, size))
        ax.set_yticks(range(0, num_keys, size))
        ax.tick_params(labelsize=8)
    fig.legend(handles=_state_patches(), loc="outside lower center", ncols=3, fontsize=9)
    return fig


def two_tile_maps(dense: np.ndarray, readers: np.ndarray, query_tile: int) -> Figure:
    """Tiles that dense attention computes, and how many queries of each tile chose each block."""
    fig = new_figure(8, 5)
    left, right = fig.subplots(1, 2)
    count = len(dense)
    legend = [
        Patch(facecolor=palette.HIDDEN, edgecolor=palette.GREY, label="not computed"),
        Patch(facecolor=palette.VISIBLE, label="some of its queries read it"),
        Patch(facecolor=palette.CHOSEN, label="all queries of the tile read it"),
        Patch(
            facecolor=PARTIAL, hatch=PARTIAL_HATCH, edgecolor=palette.GREY, label="masked inside"
        ),
    ]
    for row, column in np.ndindex(dense.shape):
        for ax, work, full in (
            (left, dense[row, column] > 0, True),
            (right, readers[row, column] > 0, readers[row, column] == query_tile),
        ):
            fill = palette.HIDDEN if not work else palette.CHOSEN if full else palette.VISIBLE
            hatch = None
            if work and row == column:
                fill, hatch = PARTIAL, PARTIAL_HATCH
            ax.add_patch(Rectangle((column, row), 1, 1, facecolor=fill, hatch=hatch,
                                   edgecolor="white", linewidth=0.6))  # fmt: skip
    counts = np.count_nonzero(dense), np.count_nonzero(readers)
    for ax, name, number in zip((left, right), ("Dense", "Sparse, k = 4"), counts):
        ax.set(xlim=(0, count), ylim=(count, 0), aspect="equal", xlabel="block of 32 keys")
        ax.set_title(f"{name}: {number} tiles are loaded", size=10)
        ax.set_xticks(np.arange(0, count, 4) + 0.5, range(0, count, 4))
        ax.set_yticks(np.arange(0, count, 4) + 0.5, range(0, count, 4))
        ax.tick_params(labelsize=8, length=0)
        ax.spines[:].set_visible(False)
    left.set_ylabel("tile of 32 queries")
    fig.legend(handles=legend, loc="outside lower center", ncols=4, fontsize=8.5)
    return fig


def both_lists(chosen: np.ndarray, offsets: np.ndarray, queries: np.ndarray) -> Figure:
    """The ticks as a grid [T, nb], and as one strip of queries cut where a block's list begins."""
    fills = ("#CFE8F7", "#FCE3B0", "#CDEBDD", "#F3D9E6")
    fig = new_figure(8, 3.1)
    grid, strip = fig.subplots(1, 2, width_ratios=[1, 2.3])
    for query, block in np.ndindex(chosen.shape):
        fill = fills[block % 4] if chosen[query, block] else palette.HIDDEN
        grid.add_patch(Rectangle((block, query), 1, 1, facecolor=fill, edgecolor="white"))
        if chosen[query, block]:
            grid.text(block + 0.5, query + 0.5, query, ha="center", va="center", size=9)
    grid.set(xlim=(0, chosen.shape[1]), ylim=(len(chosen), 0), xlabel="block", ylabel="query")
    grid.set_xticks(np.arange(chosen.shape[1]) + 0.5, range(chosen.shape[1]))
    grid.set_yticks(np.arange(len(chosen)) + 0.5, range(len(chosen)))
    grid.set_title("Rows: where a query goes", size=10)
    for block, (first, stop) in enumerate(pairwise(offsets)):
        strip.add_patch(Rectangle((first, 0), stop - first, 1, facecolor=fills[block % 4],
                                  edgecolor="white", linewidth=2))  # fmt: skip
        strip.text((first + stop) / 2, 1.15, f"block {block}", ha="center", size=9)
    for place, query in enumerate(queries):
        strip.text(place + 0.5, 0.5, query, ha="center", va="center", size=10)
    strip.set_xticks(offsets)
    strip.set(xlim=(0, offsets[-1]), ylim=(-0.4, 2), yticks=[], xlabel="offsets")
    strip.set_title("Columns, one after another: who comes to a block", size=10)
    for ax in (grid, strip):
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
    return fig


def loads(names: Sequence[str], counts: Sequence[int], mib: float) -> Figure:
    """Block loads of four orders of work, as bars with their numbers and MiB."""
    fig = new_figure(8, 2.6)
    ax = fig.subplots()
    fills = [palette.GREY, palette.VISIBLE, palette.VISIBLE, palette.CHOSEN]
    bars = ax.barh(names, counts, color=fills)
    labels = [f"{count:,} loads, {count * mib:.1f} MiB" for count in counts]
    ax.bar_label(bars, labels, padding=4, size=9)
    ax.set(xlim=(0, 1.45 * max(counts)), xlabel="loads of a block's keys and values, one KV head")
    ax.invert_yaxis()
    return fig


def sliding_blocks(absolute: np.ndarray, relative: np.ndarray, token: int) -> Figure:
    """Block ids [T, S] counted from the start and from the query (-1: future), one token framed."""
    fills = ("#CFE8F7", "#FCE3B0")
    fig = new_figure(8, 3.9)
    axes = fig.subplots(1, 2, sharey=True)
    titles = ("Counted from the start: blocks stay", "Counted from the query: blocks slide")
    for ax, ids, title in zip(axes, (absolute, relative), titles):
        for query, row in enumerate(ids):
            runs = np.flatnonzero(np.diff(np.append(np.append(-2, row), -2)))
            for first, stop in pairwise(runs):
                block = row[first]
                fill = palette.HIDDEN if block < 0 else fills[block % 2]
                ax.add_patch(Rectangle((first, query), stop - first, 1, facecolor=fill))
                if block >= 0 and query % 3 == 0:
                    ax.text(first + 0.5, query + 0.5, block, ha="center", va="center",
                            size=8)  # fmt: skip
        frame = Rectangle((token, token), 1, len(ids) - token, fill=False, linewidth=2)
        ax.add_patch(frame)
        ax.set(xlim=(0, ids.shape[1]), ylim=(len(ids), 0), xlabel="key (token)")
        ax.set_title(title, size=10)
        ax.locator_params(integer=True)
        ax.spines[:].set_visible(False)
    axes[0].set_ylabel("query (token)")
    return fig


def padding(held: np.ndarray, lost_at: int) -> Figure:
    """Share of the query's attention in the same block ids, by tokens of padding on the left."""
    fig = new_figure(8, 2.9)
    ax = fig.subplots()
    pads = np.arange(len(held))
    wrong = pads >= lost_at
    fills = np.where(wrong, palette.MISSED, palette.CHOSEN)
    ax.bar(pads, 100 * held, color=fills)
    ax.text(lost_at + (len(held) - lost_at) / 2 - 0.5, 16, "“and” is in block 8 now", ha="center",
            size=9.5)  # fmt: skip
    ax.text(0, 101, "“and” is in block 7", size=9.5)
    ax.set(ylim=(0, 115), yticks=[0, 50, 100], ylabel="% of the attention")
    ax.set(xlabel="tokens of padding on the left", xticks=range(0, len(held), 4))
    return fig
