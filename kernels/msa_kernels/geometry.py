"""How calls are cut into launches: functions of shapes alone, importable without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from msa_ref.config import MSAConfig

WORKSPACE_BYTES = 6 * 2**30  # block scores and partial results of one chunk of queries
MAX_QUERIES = 8192  # of a chunk: more fill the GPU no better
SHORT_CONTEXT = 8192  # keys up to which a prefill is query-major; measured, see docs/log.md
BLOCKS_PER_MAX = 16  # of a prefill's scores: the selection ranks maxima before scores
ITEM_SIZE = 128  # entries of a work item of the block-major pass
MAX_GRID = 65535  # programs on the second and third axis of a launch, CUDA's limit
FLOAT32_BYTES = 4


def queries_per_chunk(
    batch: int, num_queries: int, num_keys: int, config: MSAConfig, element_bytes: int
) -> int:
    """Queries of one chunk of a prefill: as many as fit WORKSPACE_BYTES, at most MAX_QUERIES.

    A query needs its float32 block scores and maxima, and for every head and selected block a
    partial output in q's dtype, of `element_bytes`, with its float32 LSE.
    """
    num_blocks = -(-num_keys // config.block_size)
    num_maxima = -(-num_blocks // BLOCKS_PER_MAX)
    scores = config.num_kv_heads * num_maxima * (BLOCKS_PER_MAX + 1) * FLOAT32_BYTES
    partial = config.head_dim * element_bytes + FLOAT32_BYTES
    query_bytes = scores + config.num_heads * config.top_k * partial
    return max(1, min(num_queries, MAX_QUERIES, WORKSPACE_BYTES // (batch * query_bytes)))


def is_block_major(num_visible: int) -> bool:
    """Whether a chunk whose last query sees so many keys loads each block once for all queries."""
    return num_visible > SHORT_CONTEXT


def blocks_per_scan(batch: int, max_pages: int) -> int:
    """Blocks one program of a decode step's index scan reads: 2, 4 or 16.

    Few enough that programs fill the GPU, many enough that few maxima are left to rank.
    """
    if batch * max_pages > 16384 or max_pages > 4096:
        return 16
    return 2 if max_pages <= 512 else 4


def decode_splits(batch: int, num_kv_heads: int, top_k: int) -> int:
    """Programs that share one KV head's blocks in a decode step: more where there are few heads."""
    rows = batch * num_kv_heads
    splits = 16 if rows < 32 else 8 if rows < 128 else 4
    return min(splits, top_k)
