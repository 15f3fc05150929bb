"""Explorer of a decode step: which pages of the three lanes it reads, and how many bytes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from msa_ref import blocks, cost, selection
from msa_ref.config import M3

if TYPE_CHECKING:
    from jaxtyping import Int32

CONTEXTS = [(f"{2**power:,}", 2**power) for power in range(10, 21)]
BLOCK_SIZES = [(str(size), size) for size in (32, 64, 128, 256)]
NEEDLES = 400


class Reads(NamedTuple):
    """What one decode step of one MiniMax-M3 layer reads, in pages and in bytes of bf16."""

    query: int
    context: int
    block_size: int
    num_pages: int
    selection: Int32[np.ndarray, "Hkv k"]
    index_bytes: int
    main_bytes: int
    dense_bytes: int

    @property
    def ratio(self) -> float:
        """How many times more bytes dense attention reads."""
        return self.dense_bytes / (self.index_bytes + self.main_bytes)


def compute(*, context: int, top_k: int, block_size: int, query: int) -> Reads:
    """Pages and bytes that the newest of `context` tokens reads.

    The scores are constructed: for every group, tokens spread at random over the context that
    answer the query more or less well. Another `query` is another draw.
    """
    attention = replace(M3.attention, top_k=top_k, block_size=block_size)
    spec = replace(M3, attention=attention)
    dense = replace(M3, attention=None, dense_layers=M3.layers)
    num_pages = blocks.num_blocks(context, block_size)
    rng = np.random.default_rng(query)
    place, answer = rng.random((2, attention.num_kv_heads, NEEDLES))
    scores = np.full((attention.num_kv_heads, num_pages), -1.0)
    page = (place * context).astype(int) // block_size
    for group in range(len(scores)):
        np.maximum.at(scores[group], page[group], answer[group])
    chosen = selection.select_blocks(
        scores[None, :, None], top_k=top_k, block_size=block_size, num_keys=context
    )
    index_bytes = attention.index_dim * cost.BF16_BYTES * context
    return Reads(
        query=query,
        context=context,
        block_size=block_size,
        num_pages=num_pages,
        selection=chosen[0, :, 0],
        index_bytes=index_bytes,
        main_bytes=int(cost.decode_bytes(spec, context).layer) - index_bytes,
        dense_bytes=int(cost.decode_bytes(dense, context).layer),
    )


def describe(reads: Reads) -> str:
    """What is read, group 0's blocks by name, and the bytes against dense attention."""
    ids = [int(block) for block in reads.selection[0] if block >= 0]
    others = ", ".join(str(block) for block in ids[:-1][:6]) + (", ..." if len(ids) > 7 else "")
    named = f"blocks {others} and its own, {ids[-1]}" if others else f"its own block, {ids[-1]}"
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
        f"({reads.main_bytes / 1e6:,.2f} MB). Group 0 reads {named}. Together "
        f"{read / 1e6:,.2f} MB, {compared} the {reads.dense_bytes / 1e6:,.2f} MB of dense "
        f"attention."
    )
