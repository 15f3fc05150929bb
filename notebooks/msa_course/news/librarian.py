"""The librarian's library of lesson 00: eight pages on four shelves, and one question."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

LABELS = np.array(
    [[0.9, 0.1], [0.2, 0.8], [0.3, 0.6], [0.1, 0.9], [1.0, 0.0], [0.8, 0.3], [0.2, 0.7], [0.5, 0.4]]
)
TEMPERATURES = np.array([19.0, 4.0, 7.0, 2.0, 21.0, 18.0, 5.0, 12.0])
SHELF_SIZE = 2
NUM_SHELVES = len(LABELS) // SHELF_SIZE


class Visit(NamedTuple):
    """One question in the library: what every page scores, which are read, and both answers."""

    sea: int
    mountains: int
    scores: np.ndarray
    weights: np.ndarray
    shelf_scores: np.ndarray
    shelves: np.ndarray
    read: np.ndarray
    answer_all: float
    answer_read: float
    mass_read: float


def compute(sea: int, mountains: int, shelves: int) -> Visit:
    """The visit of a question with these two numbers, when `shelves` shelves are walked to."""
    scores = LABELS @ np.array([sea, mountains], dtype=float)
    weights = np.exp(scores - scores.max())
    weights /= weights.sum()
    shelf_scores = scores.reshape(-1, SHELF_SIZE).max(axis=1)
    chosen = np.sort(np.argsort(-shelf_scores, kind="stable")[:shelves])
    read = np.isin(np.arange(len(LABELS)) // SHELF_SIZE, chosen)
    mass = float(weights[read].sum())
    return Visit(
        sea,
        mountains,
        scores,
        weights,
        shelf_scores,
        chosen,
        read,
        float(weights @ TEMPERATURES),
        float(weights[read] @ TEMPERATURES[read] / mass),
        mass,
    )


def describe(visit: Visit) -> str:
    """One sentence: the shelves walked to, and the answer beside that of reading every page."""
    names = ", ".join(map(str, visit.shelves))
    where = f"shelf {names}" if len(visit.shelves) == 1 else f"shelves {names}"
    count = int(visit.read.sum())
    return (
        f"The question ({visit.sea} for sea, {visit.mountains} for mountains) sends the "
        f"librarian to {where}; {count} of {len(LABELS)} pages hold {visit.mass_read:.0%} of the "
        f"weight and answer {visit.answer_read:.1f} degrees, all pages answer "
        f"{visit.answer_all:.1f}."
    )
