"""Explorer of a decode step: which pages of the three lanes it reads, and how many bytes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from msa_ref import blocks, cost, selection
from msa_ref.config import M3

if TYPE_CHECKING:
    from jaxtyping import Int, Int32

POWERS = range(10, 21)
CONTEXTS = [(f"{2**power:,}", 2**power) for power in POWERS]
BLOCK_SIZES = [(str(size), size) for size in (32, 64, 128, 256)]
MOST_BLOCKS, QUERIES = 32, 8
NEEDLES = 120
PLACES = 2**20


class Reads(NamedTuple):
    """What one decode step of one MiniMax-M3 layer reads, in pages and in bytes.

    Keys and values are bf16; a channel of an index key has `channel_bytes`. The blocks of `group`
    are the ones that are named.
    """

    query: int
    context: int
    block_size: int
    channel_bytes: int
    group: int
    num_pages: int
    selection: Int32[np.ndarray, "Hkv k"]
    index_bytes: int
    main_bytes: int
    dense_bytes: int

    @property
    def ratio(self) -> float:
        """How many times more bytes dense attention reads."""
        return self.dense_bytes / (self.index_bytes + self.main_bytes)

    @property
    def chosen(self) -> list[int]:
        """The blocks that `group` reads, ascending."""
        return [int(block) for block in self.selection[self.group] if block >= 0]


def needles(query: int) -> tuple[Int[np.ndarray, "Hkv n"], Int[np.ndarray, "Hkv n"]]:
    """Tokens that answer this query, by group: places of 2**20, and how well, a rank from 1."""
    rng = np.random.default_rng(query)
    shape = (M3.num_kv_heads, NEEDLES)
    ranks = rng.permuted(np.broadcast_to(np.arange(1, NEEDLES + 1), shape), axis=1)
    return rng.integers(PLACES, size=shape), ranks


def compute(
    *,
    context: int,
    top_k: int,
    block_size: int,
    query: int,
    channel_bytes: int = 2,
    group: int = 0,
) -> Reads:
    """Pages and bytes that the newest of `context` tokens reads.

    The scores are constructed: for every group, tokens spread at random over the context that
    answer the query more or less well. Another `query` is another draw.
    """
    attention = replace(M3.attention, top_k=top_k, block_size=block_size)
    spec = replace(M3, attention=attention)
    num_pages = blocks.num_blocks(context, block_size)
    places, ranks = needles(query)
    scores = np.zeros((attention.num_kv_heads, num_pages))
    for row, tokens, answers in zip(scores, places * context // PLACES, ranks):
        np.maximum.at(row, tokens // block_size, answers)
    chosen = selection.select_blocks(
        scores[None, :, None], top_k=top_k, block_size=block_size, num_keys=context
    )
    index_bytes = attention.index_dim * channel_bytes * context
    sparse = cost.decode_bytes(spec, context, index_bytes=channel_bytes).layer
    return Reads(
        query=query,
        context=context,
        block_size=block_size,
        channel_bytes=channel_bytes,
        group=group,
        num_pages=num_pages,
        selection=chosen[0, :, 0],
        index_bytes=index_bytes,
        main_bytes=int(sparse) - index_bytes,
        dense_bytes=int(cost.decode_bytes(cost.dense_model(M3), context).layer),
    )


def describe(reads: Reads) -> str:
    """What is read, the group's blocks by name, and the bytes against dense attention."""
    ids = reads.chosen
    others = ", ".join(map(str, ids[:-1][:6])) + (", ..." if len(ids) > 7 else "")
    local = f"the local block, {ids[-1]}"
    named = f"blocks {others} and {local}" if others else local
    read = reads.index_bytes + reads.main_bytes
    compared = (
        f"{reads.ratio:.2f} times less than"
        if read < reads.dense_bytes
        else f"{read / reads.dense_bytes:.3f} times"
    )
    return (
        f"Query {reads.query} at the end of {reads.context:,} tokens reads every index key "
        f"({reads.index_bytes / 1e6:,.2f} MB), then keys and values of {len(ids)} of "
        f"{reads.num_pages:,} pages in each of {len(reads.selection)} groups "
        f"({reads.main_bytes / 1e6:,.2f} MB). Group {reads.group} reads {named}. Together "
        f"{read / 1e6:,.2f} MB, {compared} the {reads.dense_bytes / 1e6:,.2f} MB of dense "
        f"attention."
    )
