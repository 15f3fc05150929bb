"""Two measures of one row of attention: what its best keys hold, and how many hold a share."""

from __future__ import annotations

import numpy as np


def held_by_best(weights: np.ndarray) -> np.ndarray:
    """Mass [S] of the best 1, 2, ..., S entries of a row [S]."""
    return np.cumsum(np.sort(weights)[::-1])


def keys_needed(weights: np.ndarray, share: float) -> int:
    """Number of keys, best first, that hold at least `share` of a row's mass."""
    return int((held_by_best(weights) < share).sum()) + 1
