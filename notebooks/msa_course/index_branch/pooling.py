"""Three ways to make one score of a block's token scores, on real layers: mean, max, log-sum-exp.

The token scores are attention's own, averaged over a group's heads: an index that has nothing left
to learn, so that what differs is the pooling alone.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from msa_ref import data, dense, scoring, selection

if TYPE_CHECKING:
    from jaxtyping import Float, Int

LAYERS = (0, 11, 18)
GROUP = 2  # of the explorer: the group of the head that looks up a repeated phrase
BLOCK_SIZE = 32
FIRST_QUERY, STEP = 512, 4
NUM_TOKENS, NUM_GROUPS = 1024, 3
POOLS = ("mean", "max", "log-sum-exp")


class Pooled(NamedTuple):
    """One query's blocks, scored in three ways, and what each choice holds of its attention."""

    layer: int
    query: int
    top_k: int
    mass: Float[np.ndarray, " nb"]  # of the blocks the query sees
    scores: Float[np.ndarray, "3 nb"]
    chosen: Int[np.ndarray, "3 k"]
    ideal: Int[np.ndarray, " k"]  # the k blocks with the most mass, the local block among them
    captured: Float[np.ndarray, " 3"]
    recall: Float[np.ndarray, " 3"]  # captured mass that is in ideal blocks, over theirs


def mean_pool(scores: Float[np.ndarray, "*rows S"], block_size: int):
    """Mean score of each block's visible tokens; -inf where there is none."""
    first = np.arange(0, scores.shape[-1], block_size)
    visible = scores > -np.inf
    total = np.add.reduceat(np.where(visible, scores, 0), first, axis=-1)
    count = np.add.reduceat(visible.astype(int), first, axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), -np.inf)


def log_sum_exp_pool(scores: Float[np.ndarray, "*rows S"], block_size: int):
    """Logarithm of the summed exponentials of each block's scores; -inf where none is visible."""
    first = np.arange(0, scores.shape[-1], block_size)
    peak = scores.max(axis=-1, keepdims=True)
    total = np.add.reduceat(np.exp(scores - peak), first, axis=-1)
    with np.errstate(divide="ignore"):
        return np.log(total) + peak


@cache
def scored(layer: int) -> tuple[np.ndarray, np.ndarray]:
    """(scores [3, Hkv, T, nb] by pool, mass [Hkv, T, nb]) of all queries of a captured layer."""
    q, k, _ = data.load_capture(layer)
    mean_q = q.reshape(1, NUM_GROUPS, -1, *q.shape[2:]).mean(axis=2)
    tokens = np.stack(
        [scoring.token_scores(mean_q[:, [g]], k[:, [g]])[0, 0] for g in range(NUM_GROUPS)]
    )
    weights, _ = dense.attention_weights(q, k)
    mass = selection.block_mass(weights, num_kv_heads=NUM_GROUPS, block_size=BLOCK_SIZE)
    pools = (mean_pool, scoring.max_pool, log_sum_exp_pool)
    scores = np.stack([pool(tokens, BLOCK_SIZE) for pool in pools])
    # As the explorer's page stores them, so that its choices are these.
    return scores.astype(np.float32), mass[0].astype(np.float32)


def recalls(layer: int, top_k: int) -> Float[np.ndarray, " 3"]:
    """Score recall of the three pools, over all groups and queries from 256 on."""
    scores, mass = scored(layer)
    sizes = {"top_k": top_k, "block_size": BLOCK_SIZE, "num_keys": NUM_TOKENS}
    ideal = selection.select_blocks(mass[None], **sizes)
    chosen = [selection.select_blocks(pool[None], **sizes) for pool in scores]
    recall = [selection.score_recall(each, ideal, mass[None]) for each in chosen]
    return np.array([each[0, :, 256:].mean() for each in recall])


def compute(layer: int, query: int, top_k: int) -> Pooled:
    """What the three pools choose for one query of group 2; the local block is always read."""
    scores, mass = scored(layer)
    seen = query // BLOCK_SIZE + 1
    mass = mass[GROUP, query, :seen].astype(float)
    scores = scores[:, GROUP, query, :seen].astype(float)
    ideal = _choose(mass, top_k)
    chosen = np.stack([_choose(row, top_k) for row in scores])
    hits = np.array([mass[np.intersect1d(row, ideal)].sum() for row in chosen])
    captured = np.array([mass[row].sum() for row in chosen])
    recall = hits / mass[ideal].sum()
    return Pooled(layer, query, top_k, mass, scores, chosen, ideal, captured, recall)


def _choose(scores, top_k):
    """The best blocks, ascending, the last one among them; ties to the lower id."""
    ranked = np.append(scores[:-1], np.inf)
    return np.sort(np.argsort(-ranked, kind="stable")[:top_k])


def describe(pooled: Pooled) -> str:
    """What each pool reads of the query's attention, and the best that so many blocks could."""
    shares = [f"{name} {share:.0%}" for name, share in zip(POOLS, pooled.captured)]
    best = pooled.mass[pooled.ideal].sum()
    return (
        f"Layer {pooled.layer}, query {pooled.query}: reading {pooled.top_k} of "
        f"{len(pooled.mass)} blocks, the choice holds this much of its attention: "
        f"{', '.join(shares)}. The best {pooled.top_k} blocks hold {best:.0%}."
    )
