"""What became of a block when an index chose: one colour for each outcome, and the counting."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

from msa_course import palette

if TYPE_CHECKING:
    from jaxtyping import Bool, UInt8


class Outcome(IntEnum):
    """A block's outcome; "best" are the blocks with the most attention mass, as many as chosen."""

    FUTURE = 0
    LEFT = 1  # not chosen, and rightly so
    HIT = 2  # chosen, and one of the best
    EXTRA = 3  # chosen in the place of a better one
    MISSED = 4  # one of the best, not chosen


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


def judge(
    chosen: Bool[np.ndarray, "*rows nb"],
    best: Bool[np.ndarray, "*rows nb"],
    visible: Bool[np.ndarray, "*rows nb"],
) -> UInt8[np.ndarray, "*rows nb"]:
    """The outcome of every block."""
    outcome = np.where(visible, Outcome.LEFT, Outcome.FUTURE)
    outcome = np.where(chosen, np.where(best, Outcome.HIT, Outcome.EXTRA), outcome)
    return np.where(best & ~chosen, Outcome.MISSED, outcome).astype(np.uint8)


def visible_blocks(num_tokens: int, block_size: int) -> Bool[np.ndarray, "T nb"]:
    """True for every token's own block and those before it."""
    num_blocks = -(-num_tokens // block_size)
    return np.arange(num_blocks) <= np.arange(num_tokens)[:, None] // block_size


def draw_map(axes, outcome: UInt8[np.ndarray, "T nb"]) -> None:
    """Draw a map of outcomes, queries downwards and blocks to the right."""
    extent = (-0.5, outcome.shape[1] - 0.5, len(outcome), 0)
    axes.imshow(
        outcome, MAP, vmin=-0.5, vmax=4.5, aspect="auto", interpolation="nearest", extent=extent
    )
    axes.set(xlabel="block", ylabel="query (token)")


def chips(*outcomes: Outcome) -> list[Patch]:
    """Handles for a legend of these outcomes, of all of them unless given."""
    shown = outcomes or tuple(Outcome)
    return [Patch(color=COLOURS[outcome], label=NAMES[outcome]) for outcome in shown]
