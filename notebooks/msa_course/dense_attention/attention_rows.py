"""Dense attention on one short sentence: its weights as a triangle, and one row of it taken apart.

The sentence's queries, keys and values have two channels each, chosen by hand so that a reader can
check every number: channel 0 stands for "a thing", channel 1 for "a person".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from msa_ref import dense

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

WORDS = ("the", "librarian", "put", "the", "book", "on", "its", "shelf")
QUERIES = np.array(
    [[1, 0.5], [0.5, 1], [0.2, 2], [1.5, 0], [-1, 1], [2, 0], [1.8, -0.4], [-0.4, 1.6]]
)
KEYS = np.array(
    [
        [-0.5, -0.8],
        [0.4, 2.0],
        [-1.2, 0.8],
        [-0.5, -0.8],
        [2.0, 0.3],
        [-1.4, -0.2],
        [0.6, -1.2],
        [2.4, -1.0],
    ]
)
VALUES = np.array([[0, 0], [0, 1], [0, 0], [0, 0], [1, 0], [0, 0], [0, 0], [1, 0]], dtype=float)
MASKS = ("before the softmax", "after the softmax", "none")
TEMPERATURES = (0.25, 0.5, 1, 2, 4)


class Rows(NamedTuple):
    """One query among the arrays of every query of the sentence."""

    query: int
    mask: str
    scores: Float[np.ndarray, "T S"]
    visible: Bool[np.ndarray, "T S"]
    weights: Float[np.ndarray, "T S"]
    lse: Float[np.ndarray, " T"]


def compute(query: int, temperature: float, mask: str) -> Rows:
    """Scores (divided by the temperature), visible keys, weights and LSE of every row.

    `mask` is one of MASKS: the causal mask before the softmax (right), after it (a planted bug),
    or left out.
    """
    scores = QUERIES @ KEYS.T * KEYS.shape[1] ** -0.5 / temperature
    visible = dense.causal_mask(*scores.shape)
    if mask == "none":
        visible = np.ones_like(visible)
    if mask == "after the softmax":
        weights, lse = dense.softmax_lse(scores)
        return Rows(query, mask, scores, visible, weights * visible, lse)
    weights, lse = dense.softmax_lse(np.where(visible, scores, -np.inf))
    return Rows(query, mask, scores, visible, weights, lse)


def describe(rows: Rows) -> str:
    """A few sentences: the query, how many keys it sees, which it reads most, the sum."""
    query, mask = rows.query, rows.mask
    weights, visible = rows.weights[query], rows.visible[query]
    best = int(weights.argmax())
    text = (
        f"'{WORDS[query]}' (token {query}) sees {visible.sum()} of {len(WORDS)} keys and gives "
        f"{weights[best]:.2f} to '{WORDS[best]}' (token {best}); its weights sum to "
        f"{weights.sum():.2f}, its LSE is {rows.lse[query]:.2f}."
    )
    future = np.arange(len(WORDS)) > query
    if mask == "none" and future.any():
        text += f" {weights[future].sum():.2f} of it lies in the future."
    if mask == "after the softmax" and future.any():
        text += f" The missing {1 - weights.sum():.2f} went to the future before the mask came."
    return text
