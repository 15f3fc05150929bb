"""The explorer of token 612's blocks: its stored picture, and its data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from msa_course import live, palette
from msa_course.exact_on_what_was_chosen.merged_blocks import (
    BLOCK_SIZE,
    HEADS,
    NUM_BLOCKS,
    QUERY,
    Merged,
    best_blocks,
    compute,
    describe,
    parts,
)
from msa_course.figures import new_figure
from msa_ref import data

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MODULE = Path(__file__).with_name("merged_blocks.mjs")


def draw(state: Merged) -> Figure:
    """Mass of every block, the read ones filled; below, the error of every channel."""
    fig = new_figure(8.4, 4.2)
    top, below = fig.subplots(2, 1)
    ids = np.arange(NUM_BLOCKS)
    read = np.isin(ids, state.blocks)
    colours = np.where(read, palette.CHOSEN, palette.HIDDEN)
    top.bar(ids, state.mass, color=colours, edgecolor=palette.GREY, linewidth=0.6)
    top.set(xticks=ids, ylim=(0, 1), ylabel="mass", xlabel="block (blue: read)")
    top.set_title(f"Token {QUERY}, head {state.head}: captured mass {state.captured:.1%}")
    below.bar(np.arange(len(state.error)), np.abs(state.error), color=palette.INK)
    below.set(xlabel="channel of the output", ylabel="|dense - sparse|")
    below.set_title(f"Largest error {state.largest_error:.3f}")
    return fig


def block_texts() -> list[str]:
    """The words of every block up to the query."""
    words = data.load_text()["words"][: QUERY + 1]
    starts = range(0, len(words), BLOCK_SIZE)
    return [" ".join("".join(words[s : s + BLOCK_SIZE]).split()) for s in starts]


def payload() -> dict:
    """What the module reads: partial results, the best blocks, the words."""
    outs, lses, best = parts()
    return {
        "heads": list(HEADS),
        "outs": live.pack(outs.astype(np.float32)),
        "lses": live.pack(lses.astype(np.float32)),
        "best": live.pack(best),
        "texts": block_texts(),
        "query": QUERY,
        "opening": {"head": HEADS[0], "top_k": 4},
    }


def explorer() -> None:
    """Shows the explorer: click blocks to read them, or take the best k."""
    state = compute(HEADS[0], best_blocks(4))
    live.show_live(MODULE, payload(), draw(state), describe(state))
