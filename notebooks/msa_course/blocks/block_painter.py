"""The causal triangle cut into tiles: which are hidden, which partial, which visible."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from msa_ref import blocks, dense

if TYPE_CHECKING:
    from jaxtyping import Int, Int8

LARGEST = 40


class Painting(NamedTuple):
    """The triangle cut into tiles, and one query in it."""

    block_size: int
    query_tile: int
    positions: Int[np.ndarray, " T"]
    states: Int8[np.ndarray, "tiles nb"]
    token_states: Int8[np.ndarray, "T S"]
    sizes: Int[np.ndarray, " nb"]
    query: int
    own: int

    @property
    def num_keys(self) -> int:
        """Keys of all blocks together."""
        return self.token_states.shape[1]

    @property
    def own_span(self) -> tuple[int, int]:
        """First token of the query's local block, and the one after its last."""
        return blocks.block_span(self.own, self.block_size, self.num_keys)

    @property
    def counts(self) -> Int[np.ndarray, " 3"]:
        """How many tiles are hidden, partial and visible."""
        return np.bincount(self.states.ravel(), minlength=3)


def compute(num_keys: int, block_size: int, query_tile: int, offset: int, query: int) -> Painting:
    """Tile states, block sizes and one query's local block.

    `offset` is the position of the first query row (S - T); `query` is a position. Both are
    brought into range, so every combination of sliders is a picture. A token's state is its
    tile's, except that the unseen tokens of a partial tile are hidden.
    """
    offset = min(offset, num_keys - 1)
    query = min(max(query, offset), num_keys - 1)
    num_queries = num_keys - offset
    states = blocks.tile_states(num_queries, num_keys, query_tile=query_tile, block_size=block_size)
    by_row = states[np.arange(num_queries) // query_tile]
    by_token = by_row[:, np.arange(num_keys) // block_size]
    seen = dense.causal_mask(num_queries, num_keys)
    spans = [blocks.block_span(b, block_size, num_keys) for b in range(states.shape[1])]
    return Painting(
        block_size=block_size,
        query_tile=query_tile,
        positions=blocks.query_positions(num_queries, num_keys),
        states=states,
        token_states=np.where(seen, by_token, blocks.HIDDEN).astype(np.int8),
        sizes=np.array([stop - first for first, stop in spans]),
        query=query,
        own=query // block_size,
    )


def describe(painting: Painting) -> str:
    """A few short sentences: the blocks, the tiles by state, the query and its local block."""
    num_keys, block_size = painting.num_keys, painting.block_size
    hidden, partial, visible = painting.counts
    last, size = len(painting.sizes) - 1, painting.sizes[-1]
    first, stop = painting.own_span
    keys = "key" if num_keys == 1 else "keys"
    ragged = f"block {last} is ragged with {size}" if size < block_size else "none is ragged"
    return (
        f"{num_keys} {keys} in blocks of {block_size}: {_span('block', 0, last)}, {ragged}. "
        f"{_span('Query', painting.positions[0], num_keys - 1)} in tiles of {painting.query_tile}: "
        f"{hidden} hidden (free), {visible} visible (no mask), {partial} partial (masked). "
        f"Query {painting.query} lives in block {painting.own} "
        f"({_span('token', first, stop - 1)}), which it is forced to read; "
        f"it sees {painting.query + 1 - first} of {stop - first} there."
    )


def _span(noun: str, first: int, last: int) -> str:
    if first == last:
        return f"{noun} {first}"
    plural = "Queries" if noun == "Query" else f"{noun}s"
    return f"{plural} {first} to {last}"
