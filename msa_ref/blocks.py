"""Token and block arithmetic: which block a token lives in, and selections read both ways.

Blocks are absolute: token j lives in block j // block_size, whoever asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from msa_ref import contracts

if TYPE_CHECKING:
    from jaxtyping import Int, Int8, Int32

HIDDEN, PARTIAL, VISIBLE = 0, 1, 2


def num_blocks(num_keys: int, block_size: int) -> int:
    """Number of blocks that hold `num_keys` tokens; the last one may be partial.

    Raises ValueError on sizes below 1, TypeError on sizes that are no integers.
    """
    contracts.check_sizes(num_keys=num_keys, block_size=block_size)
    return -(-num_keys // block_size)


def block_span(block: int, block_size: int, num_keys: int) -> tuple[int, int]:
    """First token of `block` and one past its last; a partial last block ends at `num_keys`.

    Raises ValueError on a block that starts at `num_keys` or later.
    """
    contracts.check_block_id(block, block_size, num_keys)
    first = block * block_size
    return first, min(first + block_size, num_keys)


def query_positions(num_queries: int, num_keys: int) -> Int[np.ndarray, " {num_queries}"]:
    """Positions of the query rows: the last `num_queries` of `num_keys` tokens.

    Row t stands at num_keys - num_queries + t, the "bottom-right" causal convention: offset 0 for
    a whole prefill, more for a later chunk or a decode step. Raises ValueError on more queries than
    keys.
    """
    contracts.check_queries(num_queries, num_keys)
    return np.arange(num_keys - num_queries, num_keys)


def tile_states(
    num_queries: int, num_keys: int, *, query_tile: int, block_size: int
) -> Int8[np.ndarray, "tiles nb"]:
    """State of each (query tile, key block): HIDDEN, PARTIAL or VISIBLE under the causal mask.

    Hidden: no query of the tile sees any token of the block. Visible: every query sees every
    token. Only partial tiles need a mask; hidden ones need no work at all. Raises ValueError on
    sizes below 1 or more queries than keys.
    """
    contracts.check_sizes(query_tile=query_tile, block_size=block_size)
    positions = query_positions(num_queries, num_keys)
    first_query = positions[::query_tile]
    last_query = np.append(first_query[1:] - 1, positions[-1])
    first_key = np.arange(0, num_keys, block_size)
    last_key = np.append(first_key[1:] - 1, num_keys - 1)
    seen_by_some = first_key <= last_query[:, None]
    seen_by_all = last_key <= first_query[:, None]
    return seen_by_some.astype(np.int8) + seen_by_all


def invert_selection(
    selection: Int[np.ndarray, "T k"], num_blocks: int
) -> tuple[Int[np.ndarray, " {num_blocks}+1"], Int[np.ndarray, " E"]]:
    """Block-to-query lists, in CSR form, of query-to-block lists: `offsets` and `queries`.

        pairs = (query, block) of every used slot, query by query    # -1 marks an unused slot
        offsets[b] = number of pairs with a block before b
        queries = the pairs' queries, sorted by block, in a stable sort

    The queries that chose block b are `queries[offsets[b]:offsets[b + 1]]`, ascending. Raises
    ValueError or TypeError on ids that are no integers from -1 to num_blocks - 1.
    """
    contracts.check_ids(selection, num_blocks, layout="T k")
    query_of_slot, slot = np.nonzero(selection >= 0)
    block_of_slot = selection[query_of_slot, slot]
    counts = np.bincount(block_of_slot, minlength=num_blocks)
    offsets = np.append(0, np.cumsum(counts))
    by_block = np.argsort(block_of_slot, kind="stable")
    return offsets, query_of_slot[by_block]


def selection_from_lists(
    offsets: Int[np.ndarray, " ends"],
    queries: Int[np.ndarray, " E"],
    *,
    num_queries: int,
    top_k: int,
) -> Int32[np.ndarray, "{num_queries} {top_k}"]:
    """Query-to-block lists (ascending ids, -1 on the right) of block-to-query lists.

    The inverse of `invert_selection`. Raises ValueError or TypeError on lists that do not fit
    `num_queries` or give a query more than `top_k` blocks.
    """
    contracts.check_lists(offsets, queries, num_queries, top_k)
    selection = np.full((num_queries, top_k), -1, dtype=np.int32)
    used = np.zeros(num_queries, dtype=int)
    for block in range(len(offsets) - 1):
        rows = queries[offsets[block] : offsets[block + 1]]
        selection[rows, used[rows]] = block
        used[rows] += 1
    return selection
