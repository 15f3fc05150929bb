"""Slices of tokens that may overlap: where they lie, and how they meet the blocks of a selection.

Slice i holds tokens i * stride to i * stride + length - 1. NSA summarises slices by an MLP (Eq. 7),
InfLLM-v2, which calls them kernels, by the mean of their keys; both score blocks by what the
summaries say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float, Int


def slice_bounds(num_slices: int, *, length: int, stride: int) -> Int[np.ndarray, "n 2"]:
    """First and last token of every slice."""
    first = np.arange(num_slices) * stride
    return np.stack([first, first + length - 1], axis=1)


def cut_slices(
    rows: Float[np.ndarray, "B heads T d"], *, length: int, stride: int
) -> tuple[Float[np.ndarray, "B heads n length d"], Float[np.ndarray, "B heads rest d"]]:
    """All complete slices of the rows, and the last rows, which slices to come begin with."""
    count = max(0, (rows.shape[2] - length) // stride + 1)
    tokens = np.arange(count)[:, None] * stride + np.arange(length)
    return rows[:, :, tokens], rows[:, :, count * stride :]


def overlap_weights(
    num_slices: int, num_keys: int, *, length: int, stride: int, block_size: int
) -> Int[np.ndarray, "n nb"]:
    """How many strides each slice and each block have in common; stride divides both lengths.

    The blocks are those of `num_keys` tokens. Slices of 32 tokens every 16 meet a block of 64 with
    weights 1, 2, 2, 2, 1. Source: NSA paper, Eq. 9, whose slices and blocks are numbered from 1:
    read from 0 it would shift every block.
    """
    first, last = slice_bounds(num_slices, length=length, stride=stride).T[..., None]
    block = np.arange(0, num_keys, block_size)
    common = np.minimum(last, block + block_size - 1) - np.maximum(first, block) + 1
    return np.maximum(common, 0) // stride


def best_of_touching(
    slice_scores: Float[np.ndarray, "*rows n"],
    num_keys: int,
    *,
    length: int,
    stride: int,
    block_size: int,
) -> Float[np.ndarray, "*rows nb"]:
    """Best score among the slices that touch each block of `num_keys`; -inf where none does."""
    overlaps = overlap_weights(
        slice_scores.shape[-1], num_keys, length=length, stride=stride, block_size=block_size
    )
    best = [
        slice_scores[..., touching].max(axis=-1, initial=-np.inf) for touching in overlaps.T > 0
    ]
    return np.stack(best, axis=-1)
