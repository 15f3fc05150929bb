"""Pictures of pooling: token scores, block scores, and how often each way finds the needle."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from msa_course import palette
from msa_course.explorer import Explorer, choice, new_figure, slider
from msa_course.index_branch.pooling import (
    BLOCK_SIZES,
    NEEDLE_BLOCK,
    NUM_BLOCKS,
    Pooled,
    compute,
    describe,
    needle,
)

NEEDLE_LOOK = {"color": palette.CHOSEN}
MEAN_COLOUR = palette.LINES[2]


def draw(pooled: Pooled) -> Figure:
    """Left: the scores and the two ways to pool them. Right: how often each finds the needle."""
    block_size = pooled.block_size
    fig = new_figure(7.6, 4.7, layout="none")
    panels = [fig.add_axes((0.09, bottom, 0.5, 0.2)) for bottom in (0.73, 0.42, 0.11)]
    bars = (pooled.scores, pooled.block_max, pooled.block_mean)
    titles = (
        "Token scores; dark: the block with the needle",
        f"Max of each block: the needle's is number {pooled.max_rank} of {NUM_BLOCKS}",
        f"Mean of each block: the needle's is number {pooled.mean_rank} of {NUM_BLOCKS}",
    )
    for ax, heights, title in zip(panels, bars, titles):
        draw_bars(ax, heights, block_size)
        ax.set(ylabel="score")
        ax.set_title(title, size=10)
        ax.yaxis.set_label_coords(-0.11, 0.5)
    panels[0].vlines(needle(block_size) + 0.5, 0, pooled.scores[needle(block_size)], **NEEDLE_LOOK)
    panels[2].set(xticks=np.linspace(0, NUM_BLOCKS * block_size, 5), xlabel="token")
    _draw_found(fig.add_axes((0.69, 0.11, 0.29, 0.74)), pooled)
    return fig


def draw_bars(ax: Axes, heights: np.ndarray, block_size: int) -> None:
    """Draw scores of all tokens or of all 16 blocks over the tokens, the needle's block darker."""
    edges = np.linspace(0, NUM_BLOCKS * block_size, len(heights) + 1)
    inside = edges[:-1] // block_size == NEEDLE_BLOCK
    ax.stairs(np.where(inside, np.nan, heights), edges, fill=True, color=palette.VISIBLE)
    ax.stairs(np.where(inside, heights, np.nan), edges, fill=True, **NEEDLE_LOOK)
    ax.axhline(0, color=palette.GREY, linewidth=0.6)
    ax.set(xlim=(0, edges[-1]), xticks=[])
    ax.spines["bottom"].set_visible(False)


def _draw_found(ax: Axes, pooled: Pooled) -> None:
    """Two curves over the block size, the chance of a blind guess, the size in question."""
    places = range(len(BLOCK_SIZES))
    ax.plot(places, 100 * pooled.max_found, "o-", color=palette.CHOSEN, label="max")
    ax.plot(places, 100 * pooled.mean_found, "s--", color=MEAN_COLOUR, label="mean")
    ax.axhline(100 / NUM_BLOCKS, linestyle=":", color=palette.GREY, label="guess")
    ax.axvline(BLOCK_SIZES.index(pooled.block_size), color=palette.INK, linewidth=6, alpha=0.1)
    ax.set(ylim=(0, 104), xticks=places, xticklabels=BLOCK_SIZES)
    ax.set(xlabel="block size (tokens)", ylabel="needle's block is first (% of texts)")
    row = {"ncols": 3, "columnspacing": 0.9, "handlelength": 1.5, "handletextpad": 0.4}
    ax.legend(loc="lower left", bbox_to_anchor=(-0.06, 0.99), fontsize=9, **row)
    ax.set_title("How often each finds it", size=10, pad=24)


def draw_score_map(ax: Axes, scores: np.ndarray, block_size: int, num_keys: int, **colours):
    """Draw scores [T, n] of tokens or blocks over the tokens, the hidden ones grey; the image.

    `block_size` is 1 for scores of tokens; queries are the last T of the `num_keys` tokens.
    """
    tokens = np.repeat(scores, block_size, axis=-1)[:, :num_keys]
    image = ax.imshow(
        np.ma.masked_invalid(tokens),
        cmap=colormaps[palette.CONTINUOUS].with_extremes(bad=palette.HIDDEN),
        extent=(0, num_keys, num_keys, num_keys - len(scores)),
        aspect="auto",
        interpolation="nearest",
        **colours,
    )
    ax.set(xlabel="token", ylabel="query")
    return image


def explorer() -> Explorer:
    """The explorer: raise the needle, let the blocks grow, and see which pooling still finds it."""
    return Explorer(
        "Pooling explorer",
        compute,
        draw,
        describe,
        height=slider("height of the needle", 6, 0, 12),
        block_size=choice("block size", BLOCK_SIZES, 16),
    )
