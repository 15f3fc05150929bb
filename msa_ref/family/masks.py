"""Which entries a query may attend to, as masks: a window, the best entries, the best blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from msa_ref import blocks, checks, dense
from msa_ref.selection import select_blocks, selection_mask

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, Int32

# Significant bits of a score that rank it; rounding errors stay in the 23 others of a float64.
RANKING_BITS = 30


def newest(count: int, total: int) -> Int[np.ndarray, " count"]:
    """Indices of the last `count` of `total` things; there may be none."""
    return np.arange(total - count, total)


def window_mask(
    positions: Int[np.ndarray, " T"], tokens: Int[np.ndarray, " E"], window: int
) -> Bool[np.ndarray, "T E"]:
    """True for the last `window` tokens of each query, its own included."""
    distance = positions[:, None] - tokens
    return (distance >= 0) & (distance < window)


def round_scores(scores: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """`scores` in `RANKING_BITS` significant bits, so that equal scores tie despite rounding.

    A prefill, a chunk and a decode step sum the same products in different orders. Without this
    the last bit would decide between blocks of equal content, differently in each. Scores of
    float32 and less stay as they are.
    """
    mantissa, exponent = np.frexp(scores)
    return np.ldexp(np.round(np.ldexp(mantissa, RANKING_BITS)), exponent - RANKING_BITS)


def top_k_mask(scores: Float[np.ndarray, "*rows E"], top_k: int) -> Bool[np.ndarray, "*rows E"]:
    """True for the `top_k` highest scores of each row; ties go to the lower entry.

    An entry that scores -inf is never taken, even where fewer than `top_k` others exist: real
    kernels mark such ids -1 after their top-k.
    """
    best = np.argsort(-round_scores(scores), axis=-1, kind="stable")[..., :top_k]
    chosen = np.zeros(scores.shape, dtype=bool)
    np.put_along_axis(chosen, best, True, axis=-1)
    return chosen & (scores > -np.inf)


def tokens_of_blocks(
    selection: Int32[np.ndarray, "B groups T k"],
    *,
    block_size: int,
    num_keys: int,
    num_heads: int,
) -> Bool[np.ndarray, "B H T S"]:
    """The visible tokens of the selected blocks, as a mask for every query head.

    `selection` comes from `msa_ref.selection.select_blocks`, a row for each group of heads;
    query row t stands at S - T + t.
    """
    chosen = selection_mask(selection, blocks.num_blocks(num_keys, block_size))
    tokens = np.repeat(chosen, block_size, axis=-1)[..., :num_keys]
    checks.check_heads(num_heads, selection.shape[1])
    per_head = np.repeat(tokens, num_heads // selection.shape[1], axis=1)
    return per_head & dense.causal_mask(selection.shape[2], num_keys)


def tokens_of_best_blocks(
    block_scores: Float[np.ndarray, "B groups T nb"],
    *,
    top_k: int,
    block_size: int,
    num_keys: int,
    num_heads: int,
    init_blocks: int = 0,
    local_blocks: int = 0,
) -> Bool[np.ndarray, "B H T S"]:
    """The visible tokens of the `top_k` blocks that score highest, as a mask for every query head.

    The first `init_blocks` and the last `local_blocks` up to the query's own are forced and count
    inside `top_k`; ties go to the lower block, and a block that scores -inf is not taken.
    """
    selection = select_blocks(
        round_scores(block_scores),
        top_k=top_k,
        block_size=block_size,
        num_keys=num_keys,
        init_blocks=init_blocks,
        local_blocks=local_blocks,
    )
    return tokens_of_blocks(
        selection, block_size=block_size, num_keys=num_keys, num_heads=num_heads
    )
