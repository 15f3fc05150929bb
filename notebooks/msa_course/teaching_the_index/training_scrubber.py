"""The training scrubber: what an index selects while it learns, snapshot by snapshot."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from msa_course.teaching_the_index.outcomes import Outcome, judge, visible_blocks
from msa_ref import data

if TYPE_CHECKING:
    pass


class Snapshot(NamedTuple):
    """One moment of one layer and group, in the training it belongs to."""

    progress: data.IndexSnapshots
    snapshot: int
    layer: int
    group: int
    step: int
    stage: str
    outcome: np.ndarray  # uint8 [T, nb]
    score_recall: float  # of the layer, mean over its groups
    block_recall: float


@cache
def shipped() -> data.IndexSnapshots:
    """The snapshots that come with the package."""
    return data.load_snapshots()


def compute(
    *, snapshot: int, layer: int, group: int, progress: data.IndexSnapshots | None = None
) -> Snapshot:
    """Outcome of every block for every query; the layer's recalls at that moment."""
    progress = shipped() if progress is None else progress
    place = progress.layers.tolist().index(layer)
    best = progress.best[place, group]
    visible = visible_blocks(len(best), progress.block_size)
    return Snapshot(
        progress,
        snapshot,
        layer,
        group,
        int(progress.steps[snapshot]),
        progress.stage[snapshot],
        judge(progress.chosen[snapshot, place, group], best, visible),
        float(progress.score_recall[snapshot, place]),
        float(progress.block_recall[snapshot, place]),
    )


def describe(now: Snapshot) -> str:
    """The moment, how often it chose well in this group, and what that held."""
    progress = now.progress
    rows = now.outcome[progress.top_k * progress.block_size :]  # those that have a choice
    chosen = np.isin(rows, (Outcome.HIT, Outcome.EXTRA)).sum()
    hits = (rows == Outcome.HIT).sum()
    moment = "Before any training" if now.step == 0 else f"After {now.step} steps ({now.stage})"
    return (
        f"{moment}, layer {now.layer}, group {now.group}: of 100 blocks chosen by queries that "
        f"have a choice, {100 * hits / chosen:.0f} are among their best {progress.top_k}, the "
        f"local block counted. Over all groups the layer finds {now.block_recall:.0%} of the best "
        f"blocks and {now.score_recall:.0%} of their attention mass."
    )
