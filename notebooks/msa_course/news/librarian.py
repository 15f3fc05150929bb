"""The library of eight pages on four shelves: every card is read, the best ones open shelves."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# How much a page is about the sea and about mountains, in tenths, and what it says.
TENTHS = np.array([[9, 1], [2, 8], [3, 6], [1, 9], [10, 0], [8, 3], [2, 7], [5, 4]])
TEMPERATURES = np.array([19.0, 4.0, 7.0, 2.0, 21.0, 18.0, 5.0, 12.0])
SHELF_SIZE = 2
NUM_SHELVES = len(TENTHS) // SHELF_SIZE
STRONGEST = 8


class Visit(NamedTuple):
    """One question in the library: what every card scores, which pages are read, both answers."""

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
    """The visit of a question with these two numbers, when `shelves` shelves are opened."""
    scores = TENTHS @ np.array([sea, mountains]) / 10
    weights = np.exp(scores - scores.max())
    weights /= weights.sum()
    shelf_scores = scores.reshape(-1, SHELF_SIZE).max(axis=1)
    chosen = np.sort(np.argsort(-shelf_scores, kind="stable")[:shelves])
    read = np.isin(np.arange(len(TENTHS)) // SHELF_SIZE, chosen)
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
    """Two sentences: the shelves that are opened, and the answer beside that of every page."""
    names = ", ".join(map(str, visit.shelves))
    where = f"shelf {names}" if len(visit.shelves) == 1 else f"shelves {names}"
    count = int(visit.read.sum())
    return (
        f"All {len(TENTHS)} cards are read; the best open {where}. The {count} pages there get "
        f"{visit.mass_read:.0%} of the attention and answer {visit.answer_read:.1f} degrees; "
        f"all {len(TENTHS)} pages would answer {visit.answer_all:.1f}."
    )
