"""Two orders of the same work: query by query, and block by block, with every load numbered."""

from __future__ import annotations

import numpy as np

from msa_ref import selection as selecting

ORDERS = ("query-major", "block-major")


def loads(selection: np.ndarray, num_blocks: int, order: str) -> np.ndarray:
    """Number of the load, from 1, that serves each (query, block) of a selection [T, k].

    0 where a block is not chosen. Query-major loads a block again for every query that chose it;
    block-major loads it once and serves all of them. The largest entry is the number of loads.
    """
    chosen = selecting.selection_mask(selection, num_blocks)
    if order == "query-major":
        return np.cumsum(chosen).reshape(chosen.shape) * chosen
    return np.cumsum(chosen.any(axis=0)) * chosen
