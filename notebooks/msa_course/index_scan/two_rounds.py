"""Explorer of a selection in two rounds: groups of blocks first, then the blocks of the best."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int64

MOST_BLOCKS = 128
MOST_CHOSEN = 16
GROUP_SIZES = [(str(size), size) for size in (2, 4, 8, 16)]
SEEDS = 9


class Rounds(NamedTuple):
    """One row of block scores and what the two rounds make of it; the last block is the own one."""

    group_size: int
    scores: Float[np.ndarray, "nb"]
    maxima: Float[np.ndarray, "ng"]
    groups: Int64[np.ndarray, "kg"]  # chosen groups, ascending
    read: Bool[np.ndarray, "nb"]  # blocks of those groups
    chosen: Int64[np.ndarray, "k"]  # chosen blocks, ascending


class Reads(NamedTuple):
    """Numbers read by three ways to the same selection."""

    sort: int
    all_scores: int
    two_rounds: int


class Search(NamedTuple):
    """A selection in two rounds, and the numbers that each way to it reads."""

    rounds: Rounds
    reads: Reads


def best(ranked: Float[np.ndarray, "n"], top_k: int) -> Int64[np.ndarray, "k"]:
    """Places of the `top_k` largest, ascending; ties to the lower place."""
    return np.sort(np.argsort(-ranked, kind="stable")[:top_k])


def rounds(scores: Float[np.ndarray, "nb"], top_k: int, group_size: int) -> Rounds:
    """The two rounds on one row of scores, the last block forced."""
    first = np.arange(0, len(scores), group_size)
    maxima = np.maximum.reduceat(scores, first)
    forced = scores.copy()
    forced[-1] = np.inf
    groups = best(np.maximum.reduceat(forced, first), top_k)
    read = np.isin(np.arange(len(scores)) // group_size, groups)
    chosen = best(np.where(read, forced, -np.inf), min(top_k, len(scores)))
    return Rounds(group_size, scores, maxima, groups, read, chosen)


def compute(*, num_blocks: int, top_k: int, group_size: int, seed: int) -> Search:
    """The two rounds on random scores: a smooth swell, as neighbours are alike, and noise."""
    rng = np.random.default_rng(seed)
    swell = np.convolve(rng.normal(size=MOST_BLOCKS + 8), np.ones(9) / 3, mode="valid")
    noise = rng.normal(size=MOST_BLOCKS)
    found = rounds((swell + noise)[:num_blocks], top_k, group_size)
    return Search(found, reads(num_blocks, top_k, group_size))


def reads(num_blocks: int, top_k: int, group_size: int) -> Reads:
    """Numbers read by a bitonic sort, by one look at all scores, by two rounds at most.

    A bitonic sort of 2**p numbers passes over all of them p * (p + 1) / 2 times.
    """
    power = (num_blocks - 1).bit_length()
    passes = power * (power + 1) // 2
    num_groups = -(-num_blocks // group_size)
    candidates = min(top_k * group_size, num_blocks)
    return Reads(2**power * passes, num_blocks, num_groups + candidates)


def describe(search: Search) -> str:
    """How many groups and blocks were looked at, which blocks were chosen, what was saved."""
    found, ways = search
    group_size = found.group_size
    looked = f"Of {len(found.maxima)} groups of {group_size} the best {len(found.groups)} are"
    if len(found.groups) == 1:
        looked = f"Of {len(found.maxima)} groups of {group_size} the best is"
    opened = f"opened, and of their {found.read.sum()} blocks {_listed(found.chosen)} chosen."
    total = len(found.maxima) + int(found.read.sum())
    verdict = "no saving here" if total >= ways.all_scores else f"instead of {ways.all_scores}"
    return f"{looked} {opened} Numbers read: {len(found.maxima)} + {found.read.sum()} = " + (
        f"{total}, {verdict}; a sort reads {ways.sort:,}."
    )


def _listed(ids):
    verb = "is" if len(ids) == 1 else "are"
    return f"{', '.join(map(str, ids))} {verb}"
