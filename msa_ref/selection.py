"""Which blocks a query reads: top-k with forced blocks, and how good a selection is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from msa_ref import blocks, contracts

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, Int32


def forced_blocks(
    positions: Int[np.ndarray, " T"],
    num_blocks: int,
    *,
    block_size: int,
    init_blocks: int = 0,
    local_blocks: int = 1,
) -> Bool[np.ndarray, "T {num_blocks}"]:
    """True for the blocks a query reads whatever their score.

    The first `init_blocks` of the sequence and the last `local_blocks` up to the local block, the
    one that holds the query; those in its future are never forced. M3 forces the local block alone.
    """
    contracts.check_integers("positions", positions, "T", 0)
    contracts.check_sizes(num_blocks=num_blocks, block_size=block_size)
    contracts.check_forced(init_blocks, local_blocks)
    own = positions[:, None] // block_size
    block = np.arange(num_blocks)
    first = block < init_blocks
    local = block > own - local_blocks
    return (first | local) & (block <= own)


def select_blocks(
    block_scores: Float[np.ndarray, "B Hkv T nb"],
    *,
    top_k: int,
    block_size: int,
    num_keys: int,
    init_blocks: int = 0,
    local_blocks: int = 1,
) -> Int32[np.ndarray, "B Hkv T {top_k}"]:
    """Ids of the blocks every query and group reads: ascending, -1 in unused slots on the right.

    Forced blocks come first and count inside `top_k`; the others follow by score, ties to the
    lower id. A block that scores -inf or lies in the query's future is never taken unless forced,
    so a query that sees fewer than `top_k` blocks gets them all. Raises ValueError on NaN or +inf
    scores and on sizes that do not fit. Source: MSA paper, Eq. 7.
    """
    block_scores = contracts.check_block_scores(block_scores, block_size, num_keys)
    contracts.check_budget(top_k, init_blocks, local_blocks)
    num_queries, num_blocks = block_scores.shape[2:]
    positions = blocks.query_positions(num_queries, num_keys)
    forced = forced_blocks(
        positions,
        num_blocks,
        block_size=block_size,
        init_blocks=init_blocks,
        local_blocks=local_blocks,
    )
    in_future = np.arange(num_blocks) > positions[:, None] // block_size
    ranked = np.where(in_future, -np.inf, block_scores)
    ranked = np.where(forced, np.inf, ranked)
    best = np.argsort(-ranked, axis=-1, kind="stable")[..., :top_k]
    unused = np.take_along_axis(ranked, best, axis=-1) == -np.inf
    ids = np.sort(np.where(unused, num_blocks, best), axis=-1)
    selection = np.full((*ids.shape[:3], top_k), -1, dtype=np.int32)
    selection[..., : ids.shape[-1]] = np.where(ids == num_blocks, -1, ids)
    return selection


def selection_mask(
    selection: Int[np.ndarray, "*rows k"], num_blocks: int
) -> Bool[np.ndarray, "*rows {num_blocks}"]:
    """True where a block is selected.

    Raises ValueError or TypeError on ids that are no integers from -1 (unused) to num_blocks - 1.
    """
    contracts.check_ids(selection, num_blocks)
    chosen = np.zeros((*selection.shape[:-1], num_blocks + 1), dtype=bool)
    np.put_along_axis(chosen, selection, True, axis=-1)
    return chosen[..., :num_blocks]


def block_mass(
    weights: Float[np.ndarray, "B Hq T S"], *, num_kv_heads: int, block_size: int
) -> Float[np.ndarray, "B {num_kv_heads} T nb"]:
    """Attention mass of every block: softmax weights summed in blocks, averaged over the group.

    `weights` are those of dense attention, so every row sums to 1. Raises ValueError or TypeError
    on weights whose heads do not split into the groups. Source: MSA paper, section 5.2.
    """
    weights = contracts.check_weights(weights, num_kv_heads, block_size)
    batch, _, num_queries, num_keys = weights.shape
    grouped = weights.reshape(batch, num_kv_heads, -1, num_queries, num_keys).mean(axis=2)
    return np.add.reduceat(grouped, np.arange(0, num_keys, block_size), axis=-1)


def captured_mass(
    selection: Int[np.ndarray, "B Hkv T k"], mass: Float[np.ndarray, "B Hkv T nb"]
) -> Float[np.ndarray, "B Hkv T"]:
    """Share of each row's attention mass that lies in its selected blocks.

    Raises ValueError or TypeError on a selection and a mass whose rows differ.
    """
    mass = contracts.check_mass(selection, mass)
    return (mass * selection_mask(selection, mass.shape[-1])).sum(axis=-1)


def block_recall(
    selection: Int[np.ndarray, "B Hkv T k"],
    ideal: Int[np.ndarray, "B Hkv T k_ideal"],
    num_blocks: int,
) -> Float[np.ndarray, "B Hkv T"]:
    """Share of the ideal blocks that were selected: |I* & I| / |I*|, row by row.

    `ideal` is `select_blocks` of the block mass, the local block forced there too. Average over
    rows that see more than k blocks; the others score 1 for free. Raises ValueError on a row of
    `ideal` without a block. Source: MSA paper, section 5.2.
    """
    contracts.check_ideal(selection, ideal)
    best = selection_mask(ideal, num_blocks)
    hits = best & selection_mask(selection, num_blocks)
    return hits.sum(axis=-1) / best.sum(axis=-1)


def score_recall(
    selection: Int[np.ndarray, "B Hkv T k"],
    ideal: Int[np.ndarray, "B Hkv T k_ideal"],
    mass: Float[np.ndarray, "B Hkv T nb"],
) -> Float[np.ndarray, "B Hkv T"]:
    """Share of the ideal blocks' mass that was selected: mass(I* & I) / mass(I*), row by row.

    `ideal`, averages and errors as in `block_recall`. Source: MSA paper, section 5.2.
    """
    mass = contracts.check_mass(selection, mass)
    contracts.check_ideal(selection, ideal)
    best = selection_mask(ideal, mass.shape[-1])
    hits = best & selection_mask(selection, mass.shape[-1])
    return (mass * hits).sum(axis=-1) / (mass * best).sum(axis=-1)
