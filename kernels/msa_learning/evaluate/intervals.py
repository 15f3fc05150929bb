"""95 % intervals of a share and of a mean."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float

Z = 1.959964  # of the normal distribution 95 % lies within so many standard deviations
QUANTILES = (0.025, 0.975)
RESAMPLES = 2000


def wilson(right: int, of: int) -> list[float]:
    """Ends of the 95 % Wilson interval of a share."""
    centre = (right + Z * Z / 2) / (of + Z * Z)
    half = Z / (of + Z * Z) * math.sqrt(right * (of - right) / of + Z * Z / 4)
    return [round(max(0.0, centre - half), 3), round(min(1.0, centre + half), 3)]


def bootstrap(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, "2"]:
    """Ends of the 95 % interval of the values' mean, by 2,000 resamples of seed 0."""
    draws = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    return np.quantile(values[draws].mean(axis=1), QUANTILES)
