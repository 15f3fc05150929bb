"""What became of a block when an index chose: one colour for each outcome, and the counting."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Bool, UInt8


class Outcome(IntEnum):
    """A block's outcome; "best" are the blocks with the most attention mass, as many as chosen."""

    FUTURE = 0
    LEFT = 1  # not chosen, and rightly so
    HIT = 2  # chosen, and one of the best
    EXTRA = 3  # chosen in the place of a better one
    MISSED = 4  # one of the best, not chosen


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
    """True for every token's local block and those before it."""
    num_blocks = -(-num_tokens // block_size)
    return np.arange(num_blocks) <= np.arange(num_tokens)[:, None] // block_size
