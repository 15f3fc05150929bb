"""Pictures of an index in training: outcomes at one snapshot beside both recalls."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from msa_course import palette
from msa_course.explorer import Explorer, choice, new_figure, slider
from msa_course.teaching_the_index.outcomes import Outcome
from msa_course.teaching_the_index.outcomes_figure import chips, draw_map
from msa_course.teaching_the_index.training_scrubber import Snapshot, compute, describe, shipped
from msa_ref import data

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EVERY = 4  # queries of the map that are drawn
TITLE_Y = 1.02


def draw_curves(ax: Axes, now: Snapshot) -> None:
    """Both recalls of every layer against the snapshots, this layer's strongly, with a cursor."""
    progress, layer, snapshot = now.progress, now.layer, now.snapshot
    places = np.arange(len(progress.steps))
    for place, other in enumerate(progress.layers):
        mine = other == layer
        colours = (palette.CHOSEN, palette.MISSED) if mine else (palette.GREY, palette.GREY)
        width = 2 if mine else 0.7
        names = ("score recall", "block recall") if mine else (None, None)
        curves = (progress.score_recall, progress.block_recall)
        for curve, colour, style, name in zip(curves, colours, ("-", "--"), names):
            ax.plot(places, curve[:, place], style, color=colour, linewidth=width, label=name)
            if mine:
                ax.plot(snapshot, curve[snapshot, place], "o", color=colour)
    ax.axvline(snapshot, color=palette.INK, linewidth=0.8, linestyle=":")
    ax.set_xticks(places, [f"{step}" for step in progress.steps], rotation=90)
    ax.set(ylim=(0, 1.02), xlabel="training step of the snapshot", ylabel="recall")
    ax.set_title(f"Layer {layer} (grey: the others)", y=TITLE_Y)
    ax.legend(loc="lower right")


def draw(now: Snapshot) -> Figure:
    """The map of outcomes beside the curves of recall."""
    fig = new_figure(8.6, 4.9, layout="none")
    left = fig.add_axes((0.085, 0.23, 0.46, 0.69))
    draw_map(left, now.outcome[::EVERY])
    rows = left.get_yticks()
    rows = rows[(rows >= 0) & (rows * EVERY <= len(now.outcome))]
    left.set_yticks(rows, [f"{int(EVERY * row)}" for row in rows])
    left.set_title(
        f"Step {now.step} ({now.stage}), layer {now.layer}, group {now.group}", y=TITLE_Y
    )
    draw_curves(fig.add_axes((0.635, 0.23, 0.35, 0.69)), now)
    shown = (Outcome.HIT, Outcome.EXTRA, Outcome.MISSED, Outcome.LEFT, Outcome.FUTURE)
    fig.legend(handles=chips(*shown), ncols=3, loc="lower left", bbox_to_anchor=(0.02, -0.01))
    return fig


def explorer(progress: data.IndexSnapshots | None = None) -> Explorer:
    """The explorer: which snapshot, which layer, which group."""
    progress = shipped() if progress is None else progress
    layers = progress.layers.tolist()
    moments = [(f"step {step}", place) for place, step in enumerate(progress.steps)]
    return Explorer(
        "Training scrubber",
        partial(compute, progress=progress),
        draw,
        describe,
        snapshot=choice("snapshot", moments, len(moments) // 4),
        layer=choice("layer", layers, layers[-1]),
        group=slider("group", 1, 0, progress.best.shape[1] - 1),
    )
