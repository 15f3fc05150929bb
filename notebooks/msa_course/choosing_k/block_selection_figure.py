"""The four steps of a selection, drawn, and the explorers over that picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from msa_course import live, palette
from msa_course.choosing_k.block_selection import (
    BLOCK_SIZE,
    CHOSEN,
    FORCED,
    HIDDEN,
    NUM_BLOCKS,
    NUM_KEYS,
    VISIBLE,
    Selected,
    compute,
    describe,
    read,
    scene,
)
from msa_course.figures import new_figure, to_png

MODULE = Path(__file__).with_name("block_selection.mjs")
OPENING = {"query": 612, "group": 2, "top_k": 4, "init_blocks": 0, "local_blocks": 1}
LOOKS = {
    HIDDEN: {"color": palette.HIDDEN},
    VISIBLE: {"color": palette.VISIBLE},
    CHOSEN: {"color": palette.CHOSEN},
    FORCED: {"facecolor": palette.FORCED, "hatch": palette.FORCED_HATCH, "linewidth": 0},
}
NAMES = {VISIBLE: "visible, not read", CHOSEN: "chosen", FORCED: "forced"}
CAPTIONS = (
    ("1  Token scores", "one bar per token; the dot is the token that speaks for its block"),
    ("2  Block scores", "each block has the score of that token"),
    ("3  Selection", "forced blocks, then the best; # is the place by score"),
    ("4  Attention", "bars: over the chosen blocks alone; outline: over everything"),
)
LIVES_WITH_A_KERNEL = (
    "(your rule answers here only while a kernel runs; the picture above is its first answer)"
)


def draw(selected: Selected) -> Figure:
    """Four steps from top to bottom, the same block in the same column of each."""
    fig = new_figure(8, 6.4)
    axes = fig.subplots(4, 1, sharex=True, height_ratios=(1, 0.8, 0.5, 1))
    for ax, (name, meaning) in zip(axes, CAPTIONS):
        ax.set_title(name, weight="bold")
        ax.set_title(meaning, loc="right", size=9)
        ax.set(yticks=[], xlim=(0, NUM_KEYS))
        ax.spines["left"].set_visible(False)
        ax.axvspan(selected.tokens_seen, NUM_KEYS, color=palette.HIDDEN, linewidth=0)
    token_of_block = np.repeat(selected.states, BLOCK_SIZE)
    visible = selected.states != HIDDEN
    seen = np.arange(NUM_KEYS) < selected.tokens_seen
    pooled = selected.block_scores[visible]
    low = 1.5 * pooled.min() - 0.5 * pooled.max()  # bars below are cut
    bars = np.where(seen, np.maximum(selected.token_scores - low, 0), np.nan)
    _bars(axes[0], np.arange(NUM_KEYS), bars, token_of_block, 1)
    best = np.where(visible, selected.block_scores - low, np.nan)
    columns = np.arange(NUM_BLOCKS) * BLOCK_SIZE
    _bars(axes[1], columns, best, selected.states, BLOCK_SIZE)
    for ax, places in ((axes[0], selected.winners + 0.5), (axes[1], columns + BLOCK_SIZE / 2)):
        ax.plot(places[visible], best[visible], "o", color=palette.INK, markersize=4)
        ax.set_ylim(0, 1.12 * np.nanmax(best))
    _name_blocks(axes[2], selected)
    for ax in axes[1:]:
        ax.vlines(columns, 0, 1, color="white", transform=ax.get_xaxis_transform(), zorder=2)
    _bars(axes[3], columns, selected.sparse, selected.states, BLOCK_SIZE)
    edges = np.append(columns, NUM_KEYS)
    axes[3].stairs(selected.dense, edges, color=palette.INK, linewidth=1.2, zorder=3)
    _label_shares(axes[3], selected)
    axes[3].set(ylim=(0, 1.2 * max(selected.dense.max(), selected.sparse.max())))
    axes[3].set(xlabel="token", xticks=range(0, NUM_KEYS + 1, 64))
    chips = [axes[2].bar(0, 0, label=NAMES[code], **LOOKS[code]) for code in NAMES]
    fig.legend(handles=chips, ncols=3, loc="outside lower center")
    return fig


def _bars(ax: Axes, places, heights, states, width):
    """Bars in the colours of their states; NaN draws none."""
    for code, look in LOOKS.items():
        drawn = (states == code) & np.isfinite(heights)
        if drawn.any():
            ax.bar(places[drawn], heights[drawn], width, align="edge", **look)


def _name_blocks(ax, selected):
    for block, (state, rank) in enumerate(zip(selected.states, selected.ranks)):
        left = block * BLOCK_SIZE
        ax.bar(left, 1, BLOCK_SIZE, align="edge", **LOOKS[state])
        colour = "white" if state == CHOSEN else palette.INK
        at = {"ha": "center", "va": "center", "color": colour}
        if state == FORCED:
            at["bbox"] = {"facecolor": palette.FORCED, "linewidth": 0, "pad": 1}
        middle = left + 0.5 * BLOCK_SIZE
        ax.text(middle, 0.68, str(block), size=11, weight="bold", **at)
        ax.text(middle, 0.26, f"#{rank}" if rank else "", size=8, **at)
    ax.set_ylim(0, 1)


def _label_shares(ax, selected):
    """The share of every block that has 1 % of dense attention or more, above its column."""
    tops = np.maximum(selected.dense, selected.sparse)
    for block in np.flatnonzero(selected.dense >= 0.01):
        label = f"{selected.dense[block]:.0%}"
        ax.text((block + 0.5) * BLOCK_SIZE, tops[block], label, ha="center", va="bottom", size=9)


def numbers(opening: dict) -> dict:
    """What the explorer's JavaScript reads: the scene, and the settings it opens with."""
    words, token_scores, block_scores, winners, head_mass = scene()
    finite = np.isfinite(token_scores)
    low, high = float(token_scores[finite].min()), float(token_scores[finite].max())
    step = (high - low) / 255  # bars are drawn from these, no number is told
    heights = np.round((np.where(finite, token_scores, low) - low) / step).astype(np.uint8)
    block_scores = np.where(np.isfinite(block_scores), block_scores, low).astype(np.float32)
    return {
        "opening": opening,
        "words": words,
        "token_scores": live.pack(heights) | {"step": step, "offset": low},
        "block_scores": live.pack(block_scores),
        "winners": live.pack(winners.astype(np.uint16)),
        "head_mass": live.quantise(head_mass),
    }


def explorer() -> None:
    """Displays the explorer: which blocks a query of a group reads, and what became of the rest."""
    state = compute(**OPENING)
    live.show_live(MODULE, numbers(OPENING), draw(state), describe(state))


def explorer_of(rule: Callable[[np.ndarray, int, int], list[int]]) -> None:
    """Displays the explorer with the reader's own rule in the place of MSA's.

    `rule(scores, local, top_k)` gets the scores of the visible blocks, [local + 1], and gives the
    ids to read. It runs in Python, so the explorer lives only while a kernel runs; what is stored
    is the picture of its first answer.
    """
    from msa_course.choosing_k.own_rule import answer, widget

    opening = {name: OPENING[name] for name in ("query", "group", "top_k")}
    first = answer(rule, opening)
    state = read(opening["query"], opening["group"], first["ids"])
    sentence = first["error"] or describe(state)
    picture = {"image/png": to_png(draw(state)), "text/plain": sentence}
    display(picture, metadata={"image/png": {"alt": sentence, "width": 800}}, raw=True)
    alive = widget(rule, numbers(opening), first)
    bundle = {"text/plain": LIVES_WITH_A_KERNEL}
    display(bundle if alive is None else alive.bundle(LIVES_WITH_A_KERNEL), raw=True)
