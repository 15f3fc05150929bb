"""The pooling explorer: a needle in a block of noise, seen by the block's max and by its mean."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from msa_course import palette
from msa_course.explorer import Explorer, choice, new_figure, slider
from msa_ref import scoring

NUM_BLOCKS = 16
NEEDLE_BLOCK = 9
BLOCK_SIZES = (2, 4, 8, 16, 32, 64)
DRAWS = 400
NEEDLE_LOOK = {"color": palette.CHOSEN}
MEAN_COLOUR = palette.LINES[2]


class Pooled(NamedTuple):
    """Token scores with a needle among them, and what each way of pooling makes of them."""

    scores: np.ndarray  # [S]
    block_max: np.ndarray  # [nb]
    block_mean: np.ndarray  # [nb]
    max_rank: int  # place of the needle's block by its max, 1 for the best
    mean_rank: int
    max_found: np.ndarray  # share of DRAWS in which the needle's block is the best, by block size
    mean_found: np.ndarray


def mean_pool(scores: np.ndarray, block_size: int) -> np.ndarray:
    """Mean token score of every block of visible tokens; the last block may be partial."""
    first_tokens = np.arange(0, scores.shape[-1], block_size)
    counts = np.diff(np.append(first_tokens, scores.shape[-1]))
    return np.add.reduceat(scores, first_tokens, axis=-1) / counts


@cache
def noise() -> np.ndarray:
    """Token scores of DRAWS texts without a needle, long enough for the largest blocks."""
    return np.random.default_rng(5).normal(size=(DRAWS, NUM_BLOCKS * max(BLOCK_SIZES)))


def with_needle(height: float, block_size: int) -> np.ndarray:
    """Token scores of DRAWS texts of 16 blocks, one token of block 9 raised by `height`."""
    scores = noise()[:, : NUM_BLOCKS * block_size].copy()
    scores[:, needle(block_size)] += height
    return scores


def needle(block_size: int) -> int:
    """The needle's token: the middle of its block."""
    return NEEDLE_BLOCK * block_size + block_size // 2


@cache
def found(height: float) -> tuple[np.ndarray, np.ndarray]:
    """For every block size: how often the needle's block is best, by max and by mean."""
    shares = np.zeros((2, len(BLOCK_SIZES)))
    for column, size in enumerate(BLOCK_SIZES):
        scores = with_needle(height, size)
        for row, pool in enumerate((scoring.max_pool, mean_pool)):
            shares[row, column] = (pool(scores, size).argmax(axis=-1) == NEEDLE_BLOCK).mean()
    return tuple(shares)


@cache
def values(height: float, block_size: int) -> Pooled:
    """The first text with a needle `height` above the noise, pooled in blocks of this size."""
    scores = with_needle(height, block_size)[0]
    pooled = scoring.max_pool(scores, block_size), mean_pool(scores, block_size)
    ranks = [int((scores > scores[NEEDLE_BLOCK]).sum()) + 1 for scores in pooled]
    return Pooled(scores, *pooled, *ranks, *found(height))


def words(height: float, block_size: int) -> str:
    """Where max and mean put the needle's block, in this text and over many."""
    pooled = values(height, block_size)
    size = BLOCK_SIZES.index(block_size)
    return (
        f"A needle raised by {height:g}, in blocks of {block_size} tokens. Its block is number "
        f"{pooled.max_rank} of {NUM_BLOCKS} by the max ({pooled.block_max[NEEDLE_BLOCK]:.1f}) and "
        f"number {pooled.mean_rank} by the mean ({pooled.block_mean[NEEDLE_BLOCK]:.2f}). Over "
        f"{DRAWS} texts the max puts it first in {pooled.max_found[size]:.0%}, "
        f"the mean in {pooled.mean_found[size]:.0%}."
    )


def render(height: float, block_size: int) -> Figure:
    """Left: the scores and the two ways to pool them. Right: how often each finds the needle."""
    pooled = values(height, block_size)
    figure = new_figure(7.6, 4.7, layout="none")
    panels = [figure.add_axes((0.09, bottom, 0.5, 0.2)) for bottom in (0.73, 0.42, 0.11)]
    bars = (pooled.scores, pooled.block_max, pooled.block_mean)
    titles = (
        "Token scores; dark: the block with the needle",
        f"Max of each block: the needle's is number {pooled.max_rank} of {NUM_BLOCKS}",
        f"Mean of each block: the needle's is number {pooled.mean_rank} of {NUM_BLOCKS}",
    )
    for axes, heights, title in zip(panels, bars, titles):
        draw_bars(axes, heights, block_size)
        axes.set(ylabel="score")
        axes.set_title(title, size=10)
        axes.yaxis.set_label_coords(-0.11, 0.5)
    panels[0].vlines(needle(block_size) + 0.5, 0, pooled.scores[needle(block_size)], **NEEDLE_LOOK)
    panels[2].set(xticks=np.linspace(0, NUM_BLOCKS * block_size, 5), xlabel="token")
    _draw_found(figure.add_axes((0.69, 0.11, 0.29, 0.74)), pooled, block_size)
    return figure


def draw_bars(axes, heights: np.ndarray, block_size: int) -> None:
    """Draw scores of all tokens or of all 16 blocks over the tokens, the needle's block darker."""
    edges = np.linspace(0, NUM_BLOCKS * block_size, len(heights) + 1)
    inside = edges[:-1] // block_size == NEEDLE_BLOCK
    axes.stairs(np.where(inside, np.nan, heights), edges, fill=True, color=palette.VISIBLE)
    axes.stairs(np.where(inside, heights, np.nan), edges, fill=True, **NEEDLE_LOOK)
    axes.axhline(0, color=palette.GREY, linewidth=0.6)
    axes.set(xlim=(0, edges[-1]), xticks=[])
    axes.spines["bottom"].set_visible(False)


def _draw_found(axes, pooled, block_size):
    """Two curves over the block size, the chance of a blind guess, the size in question."""
    places = range(len(BLOCK_SIZES))
    axes.plot(places, 100 * pooled.max_found, "o-", color=palette.CHOSEN, label="max")
    axes.plot(places, 100 * pooled.mean_found, "s--", color=MEAN_COLOUR, label="mean")
    axes.axhline(100 / NUM_BLOCKS, linestyle=":", color=palette.GREY, label="guess")
    axes.axvline(BLOCK_SIZES.index(block_size), color=palette.INK, linewidth=6, alpha=0.1)
    axes.set(ylim=(0, 104), xticks=places, xticklabels=BLOCK_SIZES)
    axes.set(xlabel="block size (tokens)", ylabel="needle's block is first (% of texts)")
    row = {"ncols": 3, "columnspacing": 0.9, "handlelength": 1.5, "handletextpad": 0.4}
    axes.legend(loc="lower left", bbox_to_anchor=(-0.06, 0.99), fontsize=9, **row)
    axes.set_title("How often each finds it", size=10, pad=24)


def score_map(axes, scores: np.ndarray, block_size: int, num_keys: int, **colours):
    """Draw scores [T, n] of tokens or blocks over the tokens, the hidden ones grey; the image.

    `block_size` is 1 for scores of tokens; queries are the last T of the `num_keys` tokens.
    """
    tokens = np.repeat(scores, block_size, axis=-1)[:, :num_keys]
    image = axes.imshow(
        np.ma.masked_invalid(tokens),
        cmap=colormaps[palette.CONTINUOUS].with_extremes(bad=palette.HIDDEN),
        extent=(0, num_keys, num_keys, num_keys - len(scores)),
        aspect="auto",
        interpolation="nearest",
        **colours,
    )
    axes.set(xlabel="token", ylabel="query")
    return image


def explorer() -> Explorer:
    """The explorer: raise the needle, let the blocks grow, and see which pooling still finds it."""
    return Explorer(
        "Pooling explorer",
        render,
        words,
        height=slider("height of the needle", 6, 0, 12),
        block_size=choice("block size", BLOCK_SIZES, 16),
    )
