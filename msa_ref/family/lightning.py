"""DeepSeek's lightning indexer: many small heads vote on one selection for all query heads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Bool, Float


def lightning_scores(
    index_q: Float[np.ndarray, "B HI T di"],
    index_k: Float[np.ndarray, "B 1 E di"],
    votes: Float[np.ndarray, "B HI T 1"],
    visible: Bool[np.ndarray, "T E"],
) -> Float[np.ndarray, "B T E"]:
    """Score of every entry for every query, one for all query heads; -inf where not visible.

    Each index head's dot product with the one shared key is cut off at 0, weighted by the query's
    vote for that head (which may be negative), and summed. The cut makes ties at 0 common; the
    scale (HI * di)**-0.5 changes no ranking. Source: DeepSeek-V3.2, Eq. 1; DeepSeek-V4, Eq. 16.
    """
    similarity = np.maximum(index_q @ index_k.swapaxes(-1, -2), 0)
    _, num_heads, _, index_dim = index_q.shape
    scores = (votes * similarity).sum(axis=1) * (num_heads * index_dim) ** -0.5
    return np.where(visible, scores, -np.inf)
