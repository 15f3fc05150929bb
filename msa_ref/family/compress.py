"""Runs of tokens summarised into entries: DeepSeek-V4's compressor, block by block as they close.

A summary is a weighted sum of its tokens' value rows, the weights a softmax over those tokens for
each channel by itself. With overlap (CSA) block i's entry also takes block i - 1: every token
gives two rows, the low channels for the entry of the next block, the high for that of its own, and
all 2m rows share one softmax. Source: DeepSeek-V4, Eq. 9-12.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from msa_ref.dense import softmax_lse
from msa_ref.family.inputs import GrowingCache, project
from msa_ref.family.latent import rms_norm

if TYPE_CHECKING:
    from jaxtyping import Float


def compressor_shapes(
    name: str, d_model: int, width: int, ratio: int, *, overlap: bool
) -> dict[str, tuple[int, ...]]:
    """Shapes of one compressor's weights: two rows a token where blocks overlap."""
    rows = 2 * width if overlap else width
    return {
        f"{name}.kv_proj": (rows, d_model),
        f"{name}.gate_proj": (rows, d_model),
        f"{name}.position_bias": (ratio, rows),
        f"{name}.kv_norm": (width,),
    }


def open_block(cache: GrowingCache, name: str, width: int, ratio: int, *, overlap: bool) -> None:
    """Give an empty cache the compressor's running state: value and gate rows of the open block.

    With overlap a slot for the last closed block stands before it. It starts as block -1, which
    weighs nothing: values 0, gates -inf.
    """
    rows, slots = (2 * width, ratio) if overlap else (width, 0)
    cache.lanes[f"{name}.values"] = np.zeros((cache.batch, 1, slots, rows))
    cache.lanes[f"{name}.gates"] = np.full((cache.batch, 1, slots, rows), -np.inf)


def close_blocks(
    hidden: Float[np.ndarray, "B T d_model"],
    weights: Mapping[str, np.ndarray],
    cache: GrowingCache,
    name: str,
    *,
    overlap: bool,
) -> Float[np.ndarray, "B 1 n width"]:
    """Normed entries of the blocks that T more tokens close; the cache keeps what stays open.

    Fewer tokens than fill the open block close none (n = 0).
    """
    position_bias = weights[f"{name}.position_bias"]
    ratio, rows = position_bias.shape
    lanes = (f"{name}.values", f"{name}.gates")
    new = [project(hidden, weights[f"{name}.{kind}_proj"], 1) for kind in ("kv", "gate")]
    values, gates = cache.extend(**dict(zip(lanes, new, strict=True)))
    full = values.shape[2] // ratio
    by_block = (len(hidden), full, ratio, rows)
    values, gates = (lane[:, 0, : full * ratio].reshape(by_block) for lane in (values, gates))
    gates = gates + position_bias
    if overlap:
        values, gates = with_previous(values), with_previous(gates)
    shares, _ = softmax_lse(gates.swapaxes(-1, -2))
    entries = (shares.swapaxes(-1, -2) * values).sum(axis=2)
    for lane in lanes:
        cache.lanes[lane] = cache.lanes[lane][:, :, entries.shape[1] * ratio :]
    return rms_norm(entries, weights[f"{name}.kv_norm"])[:, None]


def with_previous(
    rows: Float[np.ndarray, "B n m rows"],
) -> Float[np.ndarray, "B n-1 2*m rows//2"]:
    """Rows of each entry but the first: low channels of the block before, high ones of its own."""
    low, high = np.split(rows, 2, axis=-1)
    return np.concatenate([low[:, :-1], high[:, 1:]], axis=2)
