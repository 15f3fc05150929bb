"""Dense attention on one short sentence: both heads' weights, and one row of them taken apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from msa_course.dense_attention.sentence import HEADS, W_K, W_Q, WORDS, X
from msa_ref import dense

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

MASKS = ("before the softmax", "after the softmax", "none")
TEMPERATURES = (0.25, 0.5, 1, 2, 4)


class Rows(NamedTuple):
    """One query of one head among the arrays of every query of the sentence."""

    query: int
    head: str
    mask: str
    scores: Float[np.ndarray, "T S"]
    visible: Bool[np.ndarray, "T S"]
    weights: Float[np.ndarray, "T S"]
    sums: Float[np.ndarray, " T"]


def head_scores(head: str) -> Float[np.ndarray, "T S"]:
    """Scores of every query over every key, the future included."""
    queries, keys = X @ W_Q[HEADS.index(head)], X @ W_K
    return queries @ keys.T / np.sqrt(keys.shape[1])


def compute(query: int, head: str, temperature: float, mask: str) -> Rows:
    """Scores (divided by the temperature), visible keys, weights and their sum for every row.

    `mask` is one of MASKS: the causal mask before the softmax (right), after it (a planted bug),
    or left out.
    """
    scores = head_scores(head) / temperature
    visible = dense.causal_mask(*scores.shape)
    if mask == "none":
        visible = np.ones_like(visible)
    if mask == "after the softmax":
        weights = dense.softmax_lse(scores)[0] * visible
    else:
        weights = dense.softmax_lse(np.where(visible, scores, -np.inf))[0]
    return Rows(query, head, mask, scores, visible, weights, weights.sum(axis=1))


def describe(rows: Rows) -> str:
    """A few sentences: the query, how many keys it sees, which it reads most, the sum."""
    query, mask = rows.query, rows.mask
    weights, visible = rows.weights[query], rows.visible[query]
    best = int(weights.argmax())
    text = f"\u201c{WORDS[query]}\u201d sees {visible.sum()} of {len(WORDS)} words"
    if np.ptp(rows.scores[query]) == 0:
        text += f". Head {rows.head} has no question here, so all of them weigh the same"
    else:
        text += f"; head {rows.head} gives {weights[best]:.2f} to \u201c{WORDS[best]}\u201d"
    text += f". The weights add up to {weights.sum():.2f}."
    future = np.arange(len(WORDS)) > query
    if mask == "none" and future.any():
        text += f" {weights[future].sum():.2f} of that lies in the future."
    if mask == "after the softmax" and future.any():
        text += f" The missing {1 - weights.sum():.2f} went to the future before the mask came."
    return text
