"""The lesson's figures, from the numbers that its cells computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.patches import FancyBboxPatch, Rectangle

from msa_course import palette
from msa_course.figures import new_figure
from msa_course.index_branch.pooling import LAYERS, POOLS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def catalogue(
    scores: np.ndarray, chosen: Sequence[int], winners: dict[int, int], words: Sequence[str]
) -> Figure:
    """Block scores of one query; the chosen blocks are dark and show their best token's text.

    `winners` maps a chosen block to the token that scored highest in it; the last block is local.
    """
    fig = new_figure(8, 4.2)
    ax = fig.subplots()
    floor = np.floor(scores.min()) - 0.5
    local = len(scores) - 1
    for block, score in enumerate(scores):
        fill = palette.CHOSEN if block in chosen else palette.VISIBLE
        hatch = palette.FORCED_HATCH if block == local else None
        fill = palette.FORCED if block == local else fill
        ax.bar(block, score - floor, bottom=floor, color=fill, hatch=hatch, edgecolor="white")
    for block, token in winners.items():
        before = "".join(words[max(0, token - 2) : token])
        quote = f"token {token}\n“{(before + words[token]).strip()}”"
        side = {0: "left", local: "right"}.get(block, "center")
        place = block + {"left": -0.4, "right": 0.4}.get(side, 0)
        top = scores[-3:].max() if block == local else scores[block]
        ax.text(place, top + 0.25, quote, ha=side, va="bottom", size=9)
    ax.set(xlim=(-0.7, local + 0.7), ylim=(floor, scores.max() + 2.6), xticks=range(local + 1))
    ax.set(xlabel="block of 32 tokens (orange: the local block, always read)")
    ax.set(ylabel="score of the block's best card")
    return fig


def branch(spec) -> Figure:
    """The layer as a drawing: what attention projects in grey, the index branch in colour."""
    sizes = spec.attention
    fig = new_figure(8, 3.9)
    ax = fig.subplots()
    ax.set(xlim=(0, 8), ylim=(0, 3.9))
    ax.set_axis_off()
    plain, lit = palette.HIDDEN, "#CFE8F7"
    _box(ax, 0.72, 1.95, 1.3, 0.8, f"X\n[T, {spec.d_model:,}]", plain)
    rows = [
        ("iq = X W_iq", sizes.num_kv_heads, 3.5, lit),
        ("ik = X W_ik", 1, 2.75, lit),
        ("k = X W_k", sizes.num_kv_heads, 1.85, plain),
        ("v = X W_v", sizes.num_kv_heads, 1.1, plain),
        ("q = X W_q", sizes.num_heads, 0.35, plain),
    ]
    for text, heads, y, fill in rows:
        word = "head" if heads == 1 else "heads"
        _box(ax, 2.6, y, 1.62, 0.6, f"{text}\n{heads} {word} of {sizes.head_dim}", fill)
        _arrow(ax, (1.37, 1.95), (1.79, y), lit=fill == lit)
    _box(ax, 4.75, 3.12, 1.5, 0.8, "iq · ik, mask,\nmax per block", lit)
    _box(ax, 6.95, 3.12, 1.7, 0.8, "block scores\n[4, T, blocks]", lit)
    _arrow(ax, (3.41, 3.5), (4.0, 3.25), lit=True)
    _arrow(ax, (3.41, 2.75), (4.0, 3.0), lit=True)
    _arrow(ax, (5.5, 3.12), (6.1, 3.12), lit=True)
    _box(ax, 6.95, 1.95, 1.7, 0.6, "choose 16 blocks", plain)
    _arrow(ax, (6.95, 2.72), (6.95, 2.25), lit=False)
    _box(ax, 6.95, 0.85, 1.7, 0.6, "attend to them", plain)
    _arrow(ax, (6.95, 1.65), (6.95, 1.15), lit=False)
    for y in (1.85, 1.1, 0.35):
        _arrow(ax, (3.41, y), (6.1, 0.85), lit=False)
    return fig


def _box(ax: Axes, x: float, y: float, width: float, height: float, text: str, fill: str) -> None:
    corner = (x - width / 2, y - height / 2)
    edge = palette.GREY if fill == palette.HIDDEN else palette.CHOSEN
    style = "round,pad=0,rounding_size=0.06"
    patch = FancyBboxPatch(corner, width, height, boxstyle=style, facecolor=fill, edgecolor=edge)
    ax.add_patch(patch)
    ax.text(x, y, text, ha="center", va="center", size=9.5)


def _arrow(ax: Axes, start: tuple, end: tuple, *, lit: bool) -> None:
    colour = palette.CHOSEN if lit else palette.GREY
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": colour, "shrinkB": 0})


def toy(masked: np.ndarray, pooled: np.ndarray) -> Figure:
    """Token scores of two groups, and below each pair of tokens the block's score."""
    fig = new_figure(8, 2.7)
    axes = fig.subplots(1, 2)
    for group, ax in enumerate(axes):
        for token, score in enumerate(masked[group]):
            hidden = score == -np.inf
            best = not hidden and score == pooled[group, token // 2]
            fill = palette.HIDDEN if hidden else palette.CHOSEN if best else palette.VISIBLE
            _cell(ax, token, 1.3, 1, "-inf" if hidden else f"{score:g}", fill)
            ax.text(token + 0.5, 2.4, token, ha="center", size=8)
        for block, score in enumerate(pooled[group]):
            fill = palette.HIDDEN if score == -np.inf else palette.CHOSEN
            _cell(ax, 2 * block, 0, 2, "-inf" if score == -np.inf else f"{score:g}", fill)
            ax.text(2 * block + 1, -0.45, f"block {block}", ha="center", size=8)
        ax.set(
            xlim=(0, 8), ylim=(-0.6, 2.8), title=f"Group {group}: tokens, and the best of each pair"
        )
        ax.title.set_size(9.5)
        ax.set_axis_off()
    return fig


def _cell(ax: Axes, x: float, y: float, width: float, text: str, fill: str) -> None:
    ax.add_patch(Rectangle((x, y), width, 1, facecolor=fill, edgecolor="white", linewidth=2))
    colour = "white" if fill == palette.CHOSEN else palette.INK
    ax.text(x + width / 2, y + 0.5, text, ha="center", va="center", color=colour, size=10)


def cards_and_pages(card: int, small_card: int, page: int) -> Figure:
    """Bytes per token as bars to scale: a page of K and V, a card, a card of one-byte numbers."""
    fig = new_figure(8, 2.2)
    ax = fig.subplots()
    names = ["a page: K and V of 4 heads", "a card: one index key", "the card in one-byte numbers"]
    sizes = [page, card, small_card]
    bars = ax.barh(names, sizes, color=[palette.VISIBLE, palette.CHOSEN, palette.CHOSEN])
    labels = [f"{size:,} bytes" for size in sizes]
    labels[1:] = [f"{size:,} bytes: {page // size} times less" for size in sizes[1:]]
    ax.bar_label(bars, labels, padding=4, size=9)
    ax.set(xlim=(0, 1.2 * page), xlabel="bytes read per token and layer")
    ax.invert_yaxis()
    return fig


def three_pools(recalls: np.ndarray) -> Figure:
    """Score recall [layer, pool] as grouped bars with their numbers."""
    fig = new_figure(8, 3.3)
    ax = fig.subplots()
    fills = ("#B8B8B8", palette.CHOSEN, palette.VISIBLE)
    for place, (pool, fill) in enumerate(zip(POOLS, fills)):
        at = np.arange(len(recalls)) + 0.27 * (place - 1)
        bars = ax.bar(at, recalls[:, place], 0.25, color=fill)
        labels = [f"{pool}\n{value:.3f}" for value in recalls[:, place]]
        ax.bar_label(bars, labels, size=8.5, padding=2)
    names = [
        "spreads over hundreds of tokens",
        "looks at the last few",
        "looks up repeated phrases",
    ]
    ticks = [f"layer {layer}\n{name}" for layer, name in zip(LAYERS, names)]
    ax.set(ylim=(0, 1.22), ylabel="score recall, 4 blocks read", yticks=[0, 0.25, 0.5, 0.75, 1])
    ax.set_xticks(range(len(recalls)), ticks)
    ax.tick_params("x", length=0)
    return fig


def needle(sizes: np.ndarray, by_max: np.ndarray, by_mean: np.ndarray) -> Figure:
    """How many standard deviations a block with a needle is above one without, by block size."""
    fig = new_figure(8, 3.1)
    ax = fig.subplots()
    for values, name, colour, mark in (
        (by_max, "max", palette.CHOSEN, "o-"),
        (by_mean, "mean", palette.GREY, "s-"),
    ):
        ax.plot(range(len(sizes)), values, mark, color=colour)
        ax.annotate(name, (len(sizes) - 1, values[-1]), (10, 0), textcoords="offset points",
                    va="center", color=colour, weight="bold")  # fmt: skip
    ax.axhline(2, color=palette.GREY, linestyle=":", linewidth=1)
    ax.text(len(sizes) - 1, 2.12, "below two: easily mistaken for chance", ha="right", size=8.5)
    ax.set_xticks(range(len(sizes)), sizes)
    ax.set(xlabel="block size (tokens)", ylabel="standard deviations", ylim=(0, 9))
    ax.set(xlim=(-0.2, len(sizes) - 0.4))
    return fig


def leak(excess: np.ndarray, block_size: int) -> Figure:
    """How much each block score [T, nb] gained from the future; nan where nothing is visible."""
    fig = new_figure(8, 3.8)
    ax = fig.subplots()
    for query, row in enumerate(excess):
        for block, gain in enumerate(row):
            leaked = gain > 0
            fill = palette.HIDDEN if np.isnan(gain) else palette.VISIBLE
            fill = palette.MISSED if leaked else fill
            ax.add_patch(Rectangle((block * block_size, query), block_size, 1, facecolor=fill,
                                   edgecolor="white"))  # fmt: skip
            if leaked:
                middle = (block + 0.5) * block_size
                ax.text(middle, query + 0.5, f"+{gain:.2f}", ha="center", va="center", size=8,
                        color="black", weight="bold")  # fmt: skip
    ax.set(xlim=(0, excess.shape[1] * block_size), ylim=(len(excess), 0))
    ax.set(xlabel="token", ylabel="query", xticks=range(0, 25, block_size))
    ax.text(
        excess.shape[1] * block_size - 0.5, 1.5, "the future: no score", ha="right", va="center"
    )
    ax.text(0.5, len(excess) - 1.5, "as it should be", va="center")
    ax.spines[:].set_visible(False)
    return fig
