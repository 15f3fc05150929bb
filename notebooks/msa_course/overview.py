"""The README's picture: what dense attention reads, how blocks are scored, what MSA reads.

python -m msa_course.overview docs/overview.png
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Polygon

from msa_course import explorer, palette
from msa_ref import dense, scoring, selection

NUM_TOKENS, BLOCK_SIZE, TOP_K = 128, 8, 4
INDEX_DIM, NUM_TOPICS = 16, 4


class Overview(NamedTuple):
    """Arrays behind the picture, one row a query: causal mask, block scores, state of each key."""

    causal: np.ndarray
    block_scores: np.ndarray
    states: np.ndarray


def values() -> Overview:
    """Dense attention's mask, the index branch's scores and what MSA reads, for a made-up text.

    Every block of the text is about one of a few topics, and a query asks for its own topic or
    another one. States are 0 hidden, 1 visible but not read, 2 chosen, 3 forced (its own block).
    """
    rng = np.random.default_rng(7)
    topics = rng.standard_normal((NUM_TOPICS, INDEX_DIM))
    num_blocks = NUM_TOKENS // BLOCK_SIZE
    topic_of = np.repeat(rng.permutation(np.arange(num_blocks) % NUM_TOPICS), BLOCK_SIZE)
    asked = np.roll(topic_of, BLOCK_SIZE // 2)
    index_k = topics[topic_of] + 0.7 * rng.standard_normal((NUM_TOKENS, INDEX_DIM))
    index_q = topics[asked] + 0.4 * rng.standard_normal((NUM_TOKENS, INDEX_DIM))

    causal = dense.causal_mask(NUM_TOKENS, NUM_TOKENS)
    block_scores = scoring.block_scores(
        index_q[None, None], index_k[None, None], block_size=BLOCK_SIZE
    )
    chosen = selection.select_blocks(
        block_scores, top_k=TOP_K, block_size=BLOCK_SIZE, num_keys=NUM_TOKENS
    )
    read = np.repeat(selection.selection_mask(chosen, num_blocks)[0, 0], BLOCK_SIZE, axis=1)
    block_of = np.arange(NUM_TOKENS) // BLOCK_SIZE
    own = block_of == block_of[:, None]
    states = np.where(causal, 1 + read + (read & own), 0)
    return Overview(causal, block_scores[0, 0], states)


def render(arrays: Overview) -> Figure:
    """Three panels side by side: dense attention, the scores of the blocks, MSA."""
    figure = explorer.new_figure(9, 3.7)
    left, middle, right = figure.subplots(1, 3)
    side = {"extent": (0, NUM_TOKENS, NUM_TOKENS, 0), "interpolation": "nearest"}
    states = {"cmap": palette.STATES, "vmin": 0, "vmax": 3, **side}

    heading = {"fontsize": 11, "loc": "left"}
    pairs, read = np.count_nonzero(arrays.causal), np.count_nonzero(arrays.states >= 2)
    left.imshow(np.where(arrays.causal, 2, 0), **states)
    left.set_title(f"Dense attention: {pairs:,} pairs", **heading)
    finite = np.where(np.isfinite(arrays.block_scores), arrays.block_scores, np.nan)
    middle.imshow(finite, cmap=palette.CONTINUOUS, aspect="auto", **side)
    middle.set_title("Index branch: bright scores high", **heading)
    right.imshow(arrays.states, **states)
    right.set_title(f"MSA: {read:,} pairs", **heading)
    for first in range(0, NUM_TOKENS, BLOCK_SIZE):
        stop = first + BLOCK_SIZE
        seen = [(first, first), (first, stop), (stop, stop)]
        right.add_patch(Polygon(seen, fill=False, hatch=palette.FORCED_HATCH, linewidth=0))
    for axes in (left, middle, right):
        axes.set_xlabel("key (token)")
        axes.set_xticks(range(0, NUM_TOKENS + 1, 4 * BLOCK_SIZE))
        axes.set_yticks(range(0, NUM_TOKENS + 1, 4 * BLOCK_SIZE))
        axes.set_aspect("equal")
    left.set_ylabel("query (token)")
    figure.legend(
        handles=[
            Patch(color=palette.CHOSEN, label="read: exact attention"),
            Patch(
                facecolor=palette.FORCED, hatch=palette.FORCED_HATCH, label="own block, always read"
            ),
            Patch(color=palette.VISIBLE, label="visible, not read"),
            Patch(color=palette.HIDDEN, label="the future"),
        ],
        loc="outside lower center",
        ncols=4,
        frameon=False,
    )
    return figure


def main() -> None:
    """Write the picture to the path given."""
    palette.use_style()
    Path(sys.argv[1]).write_bytes(explorer.to_png(render(values())))


if __name__ == "__main__":
    main()
