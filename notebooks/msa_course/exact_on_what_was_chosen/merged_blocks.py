"""Token 612's look, block by block: what is captured and what is lost by any choice of blocks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from msa_ref import data, dense
from msa_ref.selection import block_mass, select_blocks

LAYER, QUERY, GROUP = 18, 612, 2
HEADS = (6, 7, 8)
BLOCK_SIZE = 32
NUM_BLOCKS = QUERY // BLOCK_SIZE + 1
# Below this share of missed mass "unread - read" is a quotient of two roundings.
SMALL = 5e-4


class Parts(NamedTuple):
    """Partial results of every block for the group's heads, and the best k blocks for every k."""

    outs: np.ndarray  # [heads, blocks, d]
    lses: np.ndarray  # [heads, blocks]
    best: np.ndarray  # [blocks, blocks], row k - 1 holds the ids at k, -1 in unused slots


class Merged(NamedTuple):
    """The merge of the blocks that are read, beside dense attention."""

    head: int
    blocks: tuple[int, ...]
    mass: np.ndarray  # [blocks], of this head
    error: np.ndarray  # [d], dense - sparse
    captured: float
    missed: float
    largest_error: float
    gap: float  # largest error / missed mass: unread - read in that channel


@cache
def parts() -> Parts:
    """The partial results, from the captured queries, keys and values."""
    q, k, v = (array.astype(float) for array in data.load_capture(LAYER))
    q, k, v = q[:, :, [QUERY]], k[:, :, : QUERY + 1], v[:, :, : QUERY + 1]
    outs, lses = [], []
    for start in range(0, QUERY + 1, BLOCK_SIZE):
        block = slice(start, start + BLOCK_SIZE)
        out, lse = dense.attention(q, k[:, :, block], v[:, :, block], causal=False)
        outs.append(out[0, list(HEADS), 0])
        lses.append(lse[0, list(HEADS), 0])
    weights, _ = dense.attention_weights(q, k)
    mass = block_mass(weights, num_kv_heads=k.shape[1], block_size=BLOCK_SIZE)
    size = {"block_size": BLOCK_SIZE, "num_keys": QUERY + 1}
    best = np.full((NUM_BLOCKS, NUM_BLOCKS), -1, dtype=np.int32)
    for k_blocks in range(1, NUM_BLOCKS + 1):
        best[k_blocks - 1, :k_blocks] = select_blocks(mass, top_k=k_blocks, **size)[0, GROUP, 0]
    return Parts(np.stack(outs, axis=1), np.stack(lses, axis=1), best)


def compute(head: int, blocks: Sequence[int]) -> Merged:
    """Captured mass and error when this head reads these blocks, whichever they are."""
    of_head = HEADS.index(head)
    outs, lses, _ = parts()
    blocks = tuple(sorted(blocks))
    mass, _ = dense.softmax_lse(lses[of_head])
    read = np.isin(np.arange(NUM_BLOCKS), blocks)
    sparse, _ = dense.merge_partials(outs[of_head], np.where(read, lses[of_head], -np.inf))
    error = mass @ outs[of_head] - sparse
    captured, missed = mass[read].sum(), mass[~read].sum()
    largest = np.abs(error).max()
    gap = largest / missed if missed >= SMALL else 0.0
    return Merged(head, blocks, mass, error, captured, missed, largest, gap)


def best_blocks(top_k: int) -> tuple[int, ...]:
    """The k blocks with most mass for the group, the local block among them."""
    return tuple(int(block) for block in parts().best[top_k - 1] if block >= 0)


def describe(state: Merged) -> str:
    """What is read, what is missed, and the error as their product."""
    if not state.blocks:
        return (
            "No block is read: the output is 0, its LSE is -inf, and all of dense attention, up to "
            f"{state.largest_error:.3f}, is the error."
        )
    count = len(state.blocks)
    read = f"Head {state.head} reads {count} block{'s' if count > 1 else ''} of {NUM_BLOCKS} and"
    read += f" captures {state.captured:.1%} of its mass."
    if state.gap == 0:
        return f"{read} The largest error of the output is {state.largest_error:.4f}."
    return (
        f"{read} Missed mass {state.missed:.3f} times the difference of the unread and the read, "
        f"{state.gap:.2f} in the worst channel, is the largest error: {state.largest_error:.3f}."
    )
