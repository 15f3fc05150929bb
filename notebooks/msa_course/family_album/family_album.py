"""The album explorer: ten systems' masks on the same tokens at the same budget, and what they hold.

The toy behind it is `msa_course.family_album.family_toy`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from msa_course.family_album import family_toy as toy
from msa_ref import data

HIDDEN, UNREAD, RAW, IN_SUMMARY = range(4)
TEXTS = (*toy.MADE, toy.REAL_TEXT)
HEAD = {toy.REAL_TEXT: 6}  # the head whose mask is drawn: one that looks up; else the first


@dataclass(frozen=True, eq=False)
class Mask:
    """One head's mask, compared and hashed by identity, so that a picture of it can be cached."""

    states: np.ndarray  # [T, S]: HIDDEN, UNREAD, RAW or IN_SUMMARY


class Reached(NamedTuple):
    """Shares of dense attention's mass that one system reaches."""

    raw: float  # by the marked query, in tokens read as they are
    summary: float  # by the marked query, inside summaries
    mean: float  # both, mean over the queries that count


class Album(NamedTuple):
    """One text at one budget: every system's mask, and what it gives the marked query."""

    kind: str
    budget: int
    row: int  # the marked query
    masks: dict[str, Mask | None]
    reached: dict[str, Reached]
    token: int  # where dense attention puts most for the marked query
    weight: float
    states: dict[str, int]  # what each system makes of that token


@cache
def mask(name: str, kind: str, budget: int) -> Mask | None:
    """One head's mask of one system, None where the system cannot run on this text."""
    if name not in toy.systems_on(kind):
        return None
    head = HEAD.get(kind, 0)
    raw, summary = (part[head] for part in toy.reach(name, kind, budget))
    num_queries, num_keys = raw.shape
    positions = np.arange(num_keys - num_queries, num_keys)
    visible = np.arange(num_keys) <= positions[:, None]
    return Mask(np.select([raw, summary, visible], [RAW, IN_SUMMARY, UNREAD], HIDDEN))


def heaviest(kind: str, row: int) -> tuple[int, float]:
    """The token in which dense attention puts most for one query, and its weight (drawn head)."""
    weights = toy.attention(kind)[HEAD.get(kind, 0), row]
    return int(weights.argmax()), float(weights.max())


def compute(kind: str, budget: int, row: int) -> Album:
    """Masks and mass of every system, and what each makes of the marked query's heaviest token."""
    token, weight = heaviest(kind, row)
    reached, found = {}, {}
    for name in toy.systems_on(kind):
        raw, summary = (part[row] for part in toy.held(name, kind, budget))
        reached[name] = Reached(raw, summary, sum(toy.mean_held(name, kind, budget)))
        found[name] = int(mask(name, kind, budget).states[row, token])
    masks = {name: mask(name, kind, budget) for name in toy.NAMES}
    return Album(kind, budget, row, masks, reached, token, weight, found)


def describe(album: Album) -> str:
    """Where dense attention puts most for one query, and how each system reaches that token."""
    kind, token = album.kind, album.token
    query, spelled = album.row, f"{token}"
    if kind == toy.REAL_TEXT:
        query += toy.real_qkv()[1].shape[2] - toy.NUM_TOKENS
        spelled = f"{token} \u201c{data.load_text()['words'][token].strip()}\u201d"
    found = {RAW: [], IN_SUMMARY: [], UNREAD: []}
    for name, state in album.states.items():
        if name != "dense":
            found[state].append(toy.NAMES[name].split()[0])
    parts = [
        f"{verb}: {', '.join(found[state])}."
        for state, verb in ((RAW, "Read"), (IN_SUMMARY, "In a summary"), (UNREAD, "Missed"))
        if found[state]
    ]
    return (
        f"Text \u201c{kind}\u201d, budget {album.budget}, query {query}. Dense attention puts most "
        f"on token {spelled}: {album.weight:.0%}. {' '.join(parts)}"
    )
