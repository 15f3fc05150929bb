"""Pictures of outcomes: one colour for each, a map of queries and blocks, a legend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

from msa_course import palette
from msa_course.teaching_the_index.outcomes import Outcome

if TYPE_CHECKING:
    from jaxtyping import UInt8

COLOURS = {
    Outcome.FUTURE: palette.HIDDEN,
    Outcome.LEFT: palette.VISIBLE,
    Outcome.HIT: palette.CHOSEN,
    Outcome.EXTRA: palette.INK,
    Outcome.MISSED: palette.MISSED,
}
NAMES = {
    Outcome.FUTURE: "future",
    Outcome.LEFT: "left out",
    Outcome.HIT: "chosen, among the best",
    Outcome.EXTRA: "chosen, not among the best",
    Outcome.MISSED: "missed: among the best, not chosen",
}
MAP = ListedColormap(list(COLOURS.values()))


def draw_map(ax: Axes, outcome: UInt8[np.ndarray, "T nb"]) -> None:
    """Draw a map of outcomes, queries downwards and blocks to the right."""
    extent = (-0.5, outcome.shape[1] - 0.5, len(outcome), 0)
    ax.imshow(
        outcome, MAP, vmin=-0.5, vmax=4.5, aspect="auto", interpolation="nearest", extent=extent
    )
    ax.set(xlabel="block", ylabel="query (token)")


def chips(*outcomes: Outcome) -> list[Patch]:
    """Handles for a legend of these outcomes, of all of them unless given."""
    shown = outcomes or tuple(Outcome)
    return [Patch(color=COLOURS[outcome], label=NAMES[outcome]) for outcome in shown]
