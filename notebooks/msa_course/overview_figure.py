"""The README's picture, drawn: what dense attention reads, how blocks are scored, what MSA reads.

python -m msa_course.overview_figure docs/overview.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Polygon

from msa_course import palette
from msa_course.explorer import new_figure, to_png
from msa_course.overview import BLOCK_SIZE, NUM_TOKENS, Overview, compute


def draw(arrays: Overview) -> Figure:
    """Three panels side by side: dense attention, the scores of the blocks, MSA."""
    fig = new_figure(9, 3.7)
    left, middle, right = fig.subplots(1, 3)
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
        triangle = [(first, first), (first, stop), (stop, stop)]
        right.add_patch(Polygon(triangle, fill=False, hatch=palette.FORCED_HATCH, linewidth=0))
    for ax in (left, middle, right):
        ax.set_xlabel("key (token)")
        ax.set_xticks(range(0, NUM_TOKENS + 1, 4 * BLOCK_SIZE))
        ax.set_yticks(range(0, NUM_TOKENS + 1, 4 * BLOCK_SIZE))
        ax.set_aspect("equal")
    left.set_ylabel("query (token)")
    fig.legend(
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
    return fig


def main() -> None:
    """Write the picture to the path given."""
    palette.use_style()
    Path(sys.argv[1]).write_bytes(to_png(draw(compute())))


if __name__ == "__main__":
    main()
