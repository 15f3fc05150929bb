"""The index branch: one score for every (query, KV group, key block)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from msa_ref import blocks, contracts

if TYPE_CHECKING:
    from jaxtyping import Float

CHUNK_TOKENS = 4096


def token_scores(
    index_q: Float[np.ndarray, "B Hkv T di"],
    index_k: Float[np.ndarray, "B 1 S di"],
    *,
    scale: float | None = None,
) -> Float[np.ndarray, "B Hkv T S"]:
    """Score of every token for every query and group; -inf where the token is in the future.

    A plain dot product with the one shared index key: no softmax, no ReLU, no sum over heads.
    `scale` is di**-0.5 unless given; it never changes a ranking. Raises ValueError or TypeError on
    shapes or dtypes that do not fit. Source: MSA paper, section 3.1.
    """
    index_q, index_k = contracts.check_index(index_q, index_k)
    scale = contracts.check_scale(scale)
    scale = index_q.shape[-1] ** -0.5 if scale is None else scale
    scores = index_q @ index_k.swapaxes(-1, -2) * scale
    positions = blocks.query_positions(index_q.shape[2], index_k.shape[2])
    return np.where(np.arange(index_k.shape[2]) <= positions[:, None], scores, -np.inf)


def max_pool(
    scores: Float[np.ndarray, "*rows S"], block_size: int
) -> Float[np.ndarray, "*rows nb"]:
    """Highest token score of every block of each row; the last block may be partial.

    Raises ValueError on rows without a score or a block size below 1.
    """
    contracts.check_rows("scores", scores)
    contracts.check_sizes(block_size=block_size)
    first_tokens = np.arange(0, scores.shape[-1], block_size)
    return np.maximum.reduceat(scores, first_tokens, axis=-1)


def block_scores(
    index_q: Float[np.ndarray, "B Hkv T di"],
    index_k: Float[np.ndarray, "B 1 S di"],
    *,
    block_size: int,
    scale: float | None = None,
) -> Float[np.ndarray, "B Hkv T nb"]:
    """Score of every block for every query and group; -inf where nothing is visible.

    The mask comes before the max, so the local block never borrows a score from the future.
    `scale` is di**-0.5 unless given. Raises ValueError or TypeError on shapes or dtypes that do
    not fit. Source: MSA paper, Eq. 6.
    """
    index_q, index_k = contracts.check_index(index_q, index_k)
    return scan_index_keys(
        index_q,
        lambda start, stop: index_k[:, :, start:stop],
        index_k.shape[2],
        block_size=block_size,
        scale=scale,
    )


def scan_index_keys(
    index_q: Float[np.ndarray, "B Hkv T di"],
    load_keys: Callable[[int, int], Float[np.ndarray, "B 1 n di"]],
    num_keys: int,
    *,
    block_size: int,
    scale: float | None = None,
) -> Float[np.ndarray, "B Hkv T nb"]:
    """Block scores of index keys that arrive chunk by chunk, as `load_keys(start, stop)`.

    At most T x CHUNK_TOKENS token scores (one block at least) exist at a time: what a paged
    cache and a long prefill both need. Raises ValueError on sizes below 1 and on more queries than
    keys.
    """
    contracts.check_sizes(block_size=block_size)
    scale = contracts.check_scale(scale)
    scale = index_q.shape[-1] ** -0.5 if scale is None else scale
    positions = blocks.query_positions(index_q.shape[2], num_keys)
    step = max(1, CHUNK_TOKENS // block_size) * block_size
    pooled = []
    for start in range(0, num_keys, step):
        stop = min(start + step, num_keys)
        scores = index_q @ load_keys(start, stop).swapaxes(-1, -2) * scale
        scores = np.where(np.arange(start, stop) <= positions[:, None], scores, -np.inf)
        pooled.append(max_pool(scores, block_size))
    return np.concatenate(pooled, axis=-1)
