"""The block-selection explorer: which blocks a query of a real text reads, and what they hold."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from msa_course.choosing_k import real
from msa_course.choosing_k.real import BLOCK_SIZE, NUM_GROUPS
from msa_ref import data

LAYER, NUM_KEYS, FIRST_QUERY = 18, 640, 576
NUM_BLOCKS = NUM_KEYS // BLOCK_SIZE
HIDDEN, VISIBLE, CHOSEN, FORCED = range(4)  # the order of palette.STATES


class Scene(NamedTuple):
    """What the explorer shows, for the text's tokens 576 to 639 as queries (rows)."""

    words: list[str]
    token_scores: np.ndarray  # [Hkv, rows, S], -inf in the future
    block_scores: np.ndarray  # [Hkv, rows, nb], -inf in the future
    winners: np.ndarray  # [Hkv, rows, nb] the token of the block that has its score
    head_mass: np.ndarray  # [Hkv, G, rows, nb] each head's attention, summed in blocks


@cache
def scene() -> Scene:
    """The end of the shipped text's first 640 tokens, in layer 18 of SmolLM2."""
    layer, rows = real.layer(LAYER), slice(FIRST_QUERY, NUM_KEYS)
    scores = layer.token_scores[:, rows, :NUM_KEYS]
    in_blocks = scores.reshape(NUM_GROUPS, -1, NUM_BLOCKS, BLOCK_SIZE)
    return Scene(
        data.load_text()["words"][:NUM_KEYS],
        scores,
        in_blocks.max(axis=-1),
        in_blocks.argmax(axis=-1) + np.arange(0, NUM_KEYS, BLOCK_SIZE),
        layer.head_mass[:, :, rows, :NUM_BLOCKS],
    )


class Selected(NamedTuple):
    """One query of one group: what it reads and what that holds."""

    query: int
    group: int
    raised: bool  # whether k was raised to hold the forced blocks
    selection: list[int]  # ascending
    states: np.ndarray  # [nb]: HIDDEN, VISIBLE, CHOSEN or FORCED
    ranks: np.ndarray  # [nb] place by score among the visible blocks, from 1; 0 in the future
    token_scores: np.ndarray  # [S]
    block_scores: np.ndarray  # [nb]
    winners: np.ndarray  # [nb]
    dense: np.ndarray  # [nb] attention of the blocks when all are read, mean of the heads
    sparse: np.ndarray  # [nb] the same when the selection alone is read
    held: float  # share of dense attention in the selection
    best: float  # the most that as many blocks can hold, among selections with the forced ones
    missed: int  # the heaviest visible block that is not read, -1 when all are
    missed_share: float
    tokens_read: int
    tokens_seen: int


def compute(
    *, query: int, group: int, top_k: int, init_blocks: int = 0, local_blocks: int = 1
) -> Selected:
    """What a query reads under MSA's rule; `top_k` is raised to hold the forced blocks."""
    local = query // BLOCK_SIZE
    block = np.arange(NUM_BLOCKS)
    forced = ((block < init_blocks) | (block > local - local_blocks)) & (block <= local)
    ranked = np.where(forced, np.inf, scene().block_scores[group, query - FIRST_QUERY])
    budget = max(top_k, init_blocks + local_blocks)
    chosen = _best(ranked, min(budget, local + 1))
    return read(query, group, chosen, forced, raised=budget > top_k)


def _best(ranked: np.ndarray, number: int) -> list[int]:
    """Ids of the highest, ascending, ties to the lower id."""
    return np.sort(np.argsort(-ranked, kind="stable")[:number]).tolist()


def read(
    query: int, group: int, selection: list[int], forced: np.ndarray | None = None, *, raised=False
) -> Selected:
    """What becomes of one query that reads these blocks, whoever chose them."""
    _, token_scores, block_scores, winners, head_mass = scene()
    row, local = query - FIRST_QUERY, query // BLOCK_SIZE
    block = np.arange(NUM_BLOCKS)
    forced = np.zeros(NUM_BLOCKS, dtype=bool) if forced is None else forced
    chosen = np.isin(block, selection)
    states = np.where(block <= local, VISIBLE, HIDDEN) + chosen + (forced & chosen)
    scores = block_scores[group, row]
    ranks = np.zeros(NUM_BLOCKS, dtype=int)
    ranks[np.argsort(-scores, kind="stable")] = block + 1
    heads = head_mass[group, :, row].astype(np.float64)
    kept = heads * chosen
    dense = heads.mean(axis=0)
    best = _best(np.where(forced, np.inf, dense), len(selection))
    unread = np.where(states == VISIBLE, dense, -1.0)
    missed = int(unread.argmax()) if (states == VISIBLE).any() else -1
    first = block[chosen] * BLOCK_SIZE
    return Selected(
        query,
        group,
        raised,
        [int(b) for b in block[chosen]],
        states,
        np.where(block <= local, ranks, 0),
        token_scores[group, row],
        scores,
        winners[group, row],
        dense,
        (kept / kept.sum(axis=-1, keepdims=True)).mean(axis=0),
        float(dense[chosen].sum()),
        float(dense[best].sum()),
        missed,
        float(dense[missed]) if missed >= 0 else 0.0,
        int(np.minimum(BLOCK_SIZE, query + 1 - first).sum()),
        query + 1,
    )


def describe(selected: Selected) -> str:
    """Which blocks this query reads, what they hold, and the heaviest one it leaves out."""
    word = scene().words[selected.query].strip()
    local = selected.query // BLOCK_SIZE
    ids, states = selected.selection, selected.states
    marks = [" (local)" if b == local else " (forced)" * int(states[b] == FORCED) for b in ids]
    names = ", ".join(f"{block}{mark}" for block, mark in zip(ids, marks))
    raised = f"k is raised to {len(ids)}. " if selected.raised else ""
    return (
        f"{raised}Query {selected.query}, \u201c{word}\u201d, of group {selected.group} reads "
        f"block{'s' * (len(ids) > 1)} {names}: {selected.tokens_read} of the "
        f"{selected.tokens_seen} tokens it sees. They hold {percent(selected.held)} of its "
        f"attention, where as many blocks can hold {percent(selected.best)}. The heaviest block "
        f"left out is {selected.missed}, with {percent(selected.missed_share)}."
    )


def percent(share: float) -> str:
    """A share to a tenth of a percent, as JavaScript writes it too."""
    return f"{100 * share:.1f} %"
