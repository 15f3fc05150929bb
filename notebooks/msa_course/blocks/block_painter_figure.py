"""The block painter: its opening picture, and the page that is live over it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.patches import Rectangle

from msa_course import palette
from msa_course.blocks import figures
from msa_course.blocks.block_painter import LARGEST, Painting, compute, describe
from msa_course.figures import new_figure
from msa_course.live import show_live

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MODULE = Path(__file__).with_name("block_painter.mjs")
OPENING = {"num_keys": 22, "block_size": 4, "query_tile": 4, "offset": 0, "query": 13}


def draw(painting: Painting) -> Figure:
    """The painted triangle with one query framed, its local block hatched; the tiles counted."""
    fig = new_figure(8, 4.4)
    left, right = fig.subplots(1, 2, width_ratios=[2, 1])
    num_keys, num_queries = painting.num_keys, len(painting.positions)
    sizes = painting.query_tile, painting.block_size
    figures.tiles(left, painting.states, num_queries, num_keys, sizes)
    first, stop = painting.own_span
    local = {"facecolor": palette.FORCED, "hatch": palette.FORCED_HATCH, "edgecolor": "white"}
    left.add_patch(Rectangle((first, painting.query), stop - first, 1, **local))
    frame = {"fill": False, "edgecolor": palette.INK, "linewidth": 2, "zorder": 3}
    left.add_patch(Rectangle((0, painting.query), num_keys, 1, **frame))
    left.set_title(f"query {painting.query}, its local block {painting.own} hatched", size=10)
    labels = [label.replace(": ", ":\n") for label in figures.STATE_LABELS]
    bars = right.barh(labels, painting.counts, color=figures.FILLS, edgecolor=palette.GREY)
    right.bar_label(bars, padding=3)
    right.set(xlim=(0, 1.25 * painting.counts.max()), xlabel="tiles")
    right.set_xticks(np.unique([0, painting.counts.max()]))
    right.invert_yaxis()
    right.tick_params(labelsize=9)
    return fig


def payload() -> dict:
    """What the page needs: where it opens and how far it goes; it computes the rest."""
    return {"opening": OPENING, "largest": LARGEST}


def explorer() -> None:
    """Shows the block painter: keys, block size, query tile, offset and one query."""
    state = compute(**OPENING)
    show_live(MODULE, payload(), draw(state), describe(state))
