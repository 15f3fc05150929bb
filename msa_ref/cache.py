"""A paged cache with three lanes (keys, values, index keys) and attention that reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from msa_ref import blocks, contracts, scoring, sparse
from msa_ref.selection import select_blocks

if TYPE_CHECKING:
    from jaxtyping import Float

    from msa_ref.config import MSAConfig


class PagedCache:
    """Keys, values and index keys of `batch` sequences of one length, in pages of one block each.

    `k_pages, v_pages [P, Hkv, bs, d]` and `index_pages [P, bs, di]` share one `block_table
    [batch, max_pages]` (int32, -1 where no page is taken yet): block b of sequence i lives in page
    `block_table[i, b]` of all three lanes. `capacity` is in tokens per sequence; `length` counts
    those stored. Sizes below 1 raise ValueError.
    """

    def __init__(self, config: MSAConfig, *, batch: int, capacity: int, dtype=np.float64):
        contracts.check_config(config)
        contracts.check_sizes(batch=batch, capacity=capacity)
        self.config = config
        self.capacity = capacity
        self.length = 0
        max_pages = blocks.num_blocks(capacity, config.block_size)
        num_pages = batch * max_pages
        lane = (num_pages, config.num_kv_heads, config.block_size, config.head_dim)
        dtype = contracts.check_dtype("dtype", dtype)
        self.k_pages = np.zeros(lane, dtype)
        self.v_pages = np.zeros(lane, dtype)
        self.index_pages = np.zeros((num_pages, config.block_size, config.index_dim), dtype)
        self.block_table = np.full((batch, max_pages), -1, dtype=np.int32)

    def append(
        self,
        k: Float[np.ndarray, "B Hkv T d"],
        v: Float[np.ndarray, "B Hkv T d"],
        index_k: Float[np.ndarray, "B 1 T di"],
    ) -> None:
        """Store T more tokens of every sequence, taking free pages, lowest id first.

        Raises ValueError beyond the capacity, ValueError or TypeError on arrays that do not fit or
        are not finite, and then changes nothing. Not thread-safe: two threads that append to one
        cache need a lock of their own.
        """
        k, v, index_k = contracts.check_append(
            k,
            v,
            index_k,
            self.config,
            batch=len(self.block_table),
            dtype=self.k_pages.dtype,
            length=self.length,
            capacity=self.capacity,
        )
        size = self.config.block_size
        stored = 0
        while stored < k.shape[2]:
            block, slot = divmod(self.length, size)
            if slot == 0:
                taken = np.count_nonzero(self.block_table >= 0)
                self.block_table[:, block] = taken + np.arange(len(self.block_table))
            pages = self.block_table[:, block]
            count = min(size - slot, k.shape[2] - stored)
            into, source = slice(slot, slot + count), slice(stored, stored + count)
            self.k_pages[pages, :, into] = k[:, :, source]
            self.v_pages[pages, :, into] = v[:, :, source]
            self.index_pages[pages, into] = index_k[:, 0, source]
            self.length += count
            stored += count

    def load_block(self, batch: int, group: int, block: int):
        """Keys and values `[n, d]` of one block of one KV head, without copying.

        Raises ValueError on a block beyond the tokens stored.
        """
        first, stop = blocks.block_span(block, self.config.block_size, self.length)
        page = self.block_table[batch, block]
        return self.k_pages[page, group, : stop - first], self.v_pages[page, group, : stop - first]

    def load_index_keys(self, start: int, stop: int) -> Float[np.ndarray, "B 1 n di"]:
        """Index keys of tokens `start` to `stop` - 1; `start` is the first token of a block.

        Raises ValueError on tokens that are not stored.
        """
        size = self.config.block_size
        contracts.check_span(start, stop, block_size=size, length=self.length)
        pages = self.block_table[:, start // size : blocks.num_blocks(stop, size)]
        keys = self.index_pages[pages].reshape(len(pages), 1, -1, self.config.index_dim)
        return keys[:, :, : stop - start]


def attention(
    q: Float[np.ndarray, "B Hq T d"], index_q: Float[np.ndarray, "B Hkv T di"], cache: PagedCache
) -> sparse.MSAOutput:
    """MSA of the last T tokens stored, read from the cache: a decode step when T is 1.

    The keys and values of these T tokens are appended first. All index keys are read, but keys and
    values of the selected pages alone. Raises as `msa_ref.msa_attention` does, and ValueError on
    an empty cache.
    """
    contracts.check_instance("cache", cache, PagedCache)
    config = cache.config
    q, index_q = contracts.check_cached_query(
        q, index_q, config, batch=len(cache.block_table), length=cache.length
    )
    block_scores = scoring.scan_index_keys(
        index_q, cache.load_index_keys, cache.length, block_size=config.block_size
    )
    selection = select_blocks(
        block_scores,
        top_k=config.top_k,
        block_size=config.block_size,
        num_keys=cache.length,
        init_blocks=config.init_blocks,
        local_blocks=config.local_blocks,
    )
    out, lse = sparse.attend_blocks(
        q, selection, cache.load_block, num_keys=cache.length, block_size=config.block_size
    )
    return sparse.MSAOutput(out, lse, selection, block_scores)
