"""The training scrubber: what an index selects while it learns, snapshot by snapshot."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from msa_course import palette
from msa_course.explorer import Explorer, choice, new_figure, slider
from msa_course.teaching_the_index.outcomes import Outcome, chips, draw_map, judge, visible_blocks
from msa_ref import data

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EVERY = 4  # queries of the map that are drawn
TITLE_Y = 1.02


class Snapshot(NamedTuple):
    """One moment of one layer and group."""

    step: int
    stage: str
    outcome: np.ndarray  # uint8 [T, nb]
    score_recall: float  # of the layer, mean over its groups
    block_recall: float


@cache
def shipped() -> data.IndexSnapshots:
    """The snapshots that come with the package."""
    return data.load_snapshots()


def values(
    *, snapshot: int, layer: int, group: int, progress: data.IndexSnapshots | None = None
) -> Snapshot:
    """Outcome of every block for every query; the layer's recalls at that moment."""
    progress = shipped() if progress is None else progress
    place = progress.layers.tolist().index(layer)
    best = progress.best[place, group]
    visible = visible_blocks(len(best), progress.block_size)
    return Snapshot(
        int(progress.steps[snapshot]),
        progress.stage[snapshot],
        judge(progress.chosen[snapshot, place, group], best, visible),
        float(progress.score_recall[snapshot, place]),
        float(progress.block_recall[snapshot, place]),
    )


def draw_curves(axes: Axes, progress: data.IndexSnapshots, layer: int, snapshot: int) -> None:
    """Both recalls of every layer against the snapshots, this layer's strongly, with a cursor."""
    places = np.arange(len(progress.steps))
    for place, other in enumerate(progress.layers):
        mine = other == layer
        colours = (palette.CHOSEN, palette.MISSED) if mine else (palette.GREY, palette.GREY)
        width = 2 if mine else 0.7
        names = ("score recall", "block recall") if mine else (None, None)
        curves = (progress.score_recall, progress.block_recall)
        for curve, colour, style, name in zip(curves, colours, ("-", "--"), names):
            axes.plot(places, curve[:, place], style, color=colour, linewidth=width, label=name)
            if mine:
                axes.plot(snapshot, curve[snapshot, place], "o", color=colour)
    axes.axvline(snapshot, color=palette.INK, linewidth=0.8, linestyle=":")
    axes.set_xticks(places, [f"{step}" for step in progress.steps], rotation=90)
    axes.set(ylim=(0, 1.02), xlabel="training step of the snapshot", ylabel="recall")
    axes.set_title(f"Layer {layer} (grey: the others)", y=TITLE_Y)
    axes.legend(loc="lower right")


def render(
    *, snapshot: int, layer: int, group: int, progress: data.IndexSnapshots | None = None
) -> Figure:
    """The map of outcomes beside the curves of recall."""
    progress = shipped() if progress is None else progress
    now = values(snapshot=snapshot, layer=layer, group=group, progress=progress)
    figure = new_figure(8.6, 4.9, layout="none")
    left = figure.add_axes((0.085, 0.23, 0.46, 0.69))
    draw_map(left, now.outcome[::EVERY])
    rows = left.get_yticks()
    rows = rows[(rows >= 0) & (rows * EVERY <= len(now.outcome))]
    left.set_yticks(rows, [f"{int(EVERY * row)}" for row in rows])
    left.set_title(f"Step {now.step} ({now.stage}), layer {layer}, group {group}", y=TITLE_Y)
    draw_curves(figure.add_axes((0.635, 0.23, 0.35, 0.69)), progress, layer, snapshot)
    shown = (Outcome.HIT, Outcome.EXTRA, Outcome.MISSED, Outcome.LEFT, Outcome.FUTURE)
    figure.legend(handles=chips(*shown), ncols=3, loc="lower left", bbox_to_anchor=(0.02, -0.01))
    return figure


def words(
    *, snapshot: int, layer: int, group: int, progress: data.IndexSnapshots | None = None
) -> str:
    """The moment, how often it chose well in this group, and what that held."""
    progress = shipped() if progress is None else progress
    now = values(snapshot=snapshot, layer=layer, group=group, progress=progress)
    rows = now.outcome[progress.top_k * progress.block_size :]  # those that have a choice
    chosen = np.isin(rows, (Outcome.HIT, Outcome.EXTRA)).sum()
    hits = (rows == Outcome.HIT).sum()
    moment = "Before any training" if now.step == 0 else f"After {now.step} steps ({now.stage})"
    return (
        f"{moment}, layer {layer}, group {group}: of 100 blocks chosen by queries that have a "
        f"choice, {100 * hits / chosen:.0f} are among their best {progress.top_k}, the own block "
        f"counted. Over all groups the layer finds {now.block_recall:.0%} of the best blocks and "
        f"{now.score_recall:.0%} of their attention mass."
    )


def explorer(progress: data.IndexSnapshots | None = None) -> Explorer:
    """The explorer: which snapshot, which layer, which group."""
    progress = shipped() if progress is None else progress
    layers = progress.layers.tolist()
    moments = [(f"step {step}", place) for place, step in enumerate(progress.steps)]
    return Explorer(
        "Training scrubber",
        lambda **chosen: render(**chosen, progress=progress),
        lambda **chosen: words(**chosen, progress=progress),
        snapshot=choice("snapshot", moments, len(moments) // 4),
        layer=choice("layer", layers, layers[-1]),
        group=slider("group", 1, 0, progress.best.shape[1] - 1),
    )
