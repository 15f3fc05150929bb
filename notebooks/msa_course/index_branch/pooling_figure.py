"""The pooling explorer: its opening picture, and the page that is live over it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from msa_course import palette
from msa_course.figures import new_figure
from msa_course.index_branch import pooling
from msa_course.live import pack, show_live
from msa_ref import data

MODULE = Path(__file__).with_name("pooling.mjs")
OPENING = {"layer": 18, "query": 612, "top_k": 4}


def draw(state: pooling.Pooled) -> Figure:
    """The blocks' attention, and the score that each pool gives them; chosen blocks are dark."""
    fig = new_figure(8, 5)
    axes = fig.subplots(4, 1, sharex=True)
    blocks = np.arange(len(state.mass))
    titles = [f"{name}: holds {share:.0%}" for name, share in zip(pooling.POOLS, state.captured)]
    rows = [(100 * state.mass, state.ideal, "attention, in % (dark: the best blocks)")]
    rows += list(zip(state.scores, state.chosen, titles))
    for ax, (heights, dark, title) in zip(axes, rows):
        colours = np.where(np.isin(blocks, dark), palette.CHOSEN, palette.VISIBLE)
        floor = min(heights.min(), 0)
        bars = ax.bar(blocks, heights - floor, bottom=floor, color=colours, edgecolor="white")
        bars[-1].set(facecolor=palette.FORCED, hatch=palette.FORCED_HATCH)
        ax.set_title(title, size=9)
        ax.tick_params(labelsize=8)
    axes[-1].set(xlabel="block of 32 tokens (hatched: the local block, always read)", xticks=blocks)
    return fig


def payload() -> dict:
    """What the page needs: words, and mass and scores of every fourth query of three layers."""
    rows = np.arange(pooling.FIRST_QUERY, pooling.NUM_TOKENS, pooling.STEP)
    layers = [pooling.scored(layer) for layer in pooling.LAYERS]
    mass = np.stack([mass[pooling.GROUP, rows] for _, mass in layers])
    scores = np.stack([scores[:, pooling.GROUP, rows] for scores, _ in layers])
    return {
        "layers": pooling.LAYERS,
        "pools": pooling.POOLS,
        "first": pooling.FIRST_QUERY,
        "step": pooling.STEP,
        "block": pooling.BLOCK_SIZE,
        "words": data.load_text()["words"],
        "mass": pack(mass),
        "scores": pack(scores),
        "opening": OPENING,
    }


def explorer() -> None:
    """Shows the explorer: choose a layer, a query and k, and compare the three choices."""
    state = pooling.compute(**OPENING)
    show_live(MODULE, payload(), draw(state), pooling.describe(state))
