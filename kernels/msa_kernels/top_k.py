"""Selection: the top-k blocks of every query and KV head, forced blocks first, ids ascending.

Two rounds instead of one sort: the k best blocks lie in the k best groups of consecutive blocks,
ranked by their maxima. Scores become integers of the same order, so that one instruction reduces a
warp. Ties go to the lower id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

from msa_kernels import launch
from msa_kernels.arguments import BlockScores, Lengths

if TYPE_CHECKING:
    from jaxtyping import Int32
    from torch import Tensor

    from msa_ref.config import MSAConfig

NO_ID = tl.constexpr(0x7FFFFFFF)  # sorts behind every id
FORCED = tl.constexpr(0x7FFFFFFF)  # ranks above every score
MINUS_INF = tl.constexpr(-0x7F800001)  # -inf as a sortable integer
TAKEN = tl.constexpr(-0x7FFFFFFF - 1)  # ranks below every score


@triton.jit
def sortable_int(score):
    """Integers ordered as the scores are, -0.0 as 0.0, NaN as -inf."""
    score = tl.where(score == score, score, float("-inf"))
    bits = (score + 0.0).to(tl.int32, bitcast=True)
    return tl.where(bits < 0, bits ^ 0x7FFFFFFF, bits)


@triton.jit
def top_k_of_rows(sortable, ids, K: tl.constexpr, SLOTS: tl.constexpr, ROWS: tl.constexpr):
    """Ids of the K highest of each row, best first; NO_ID where only -inf is left."""
    slot = tl.arange(0, SLOTS)
    best = tl.full([ROWS, SLOTS], NO_ID, tl.int32)
    for i in range(0, K):
        top = tl.max(sortable, 1)
        pick = tl.min(tl.where(sortable == top[:, None], ids, NO_ID), 1)
        found = (slot[None, :] == i) & (top > MINUS_INF)[:, None]
        best = tl.where(found, pick[:, None], best)
        sortable = tl.where(ids == pick[:, None], TAKEN, sortable)
    return best


@triton.jit
def select_blocks_kernel(
    given: BlockScores, lengths: Lengths, selection,
    T, HKV, num_rows, init_blocks, local_blocks,
    K: tl.constexpr, SLOTS: tl.constexpr, BS: tl.constexpr, BLOCKS_PER_MAX: tl.constexpr,
    MAXIMA: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """ROWS rows of the selection a program, a row being one query of one KV head."""
    # given.scores [B, HKV, T, nb], given.maxima [B, HKV, T, num_maxima];
    # selection int32 [B, HKV, T, K]
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    row_ok = row < num_rows
    t = (row % T).to(tl.int32)
    b = row // T // HKV
    coarse = tl.arange(0, MAXIMA)[None, :]
    coarse_ok = row_ok[:, None] & (coarse < given.num_maxima)
    # Loaded before it is known what of it a query sees.
    maximum = tl.load(
        given.maxima + row[:, None] * given.num_maxima + coarse, mask=coarse_ok, other=float("-inf")
    )  # [ROWS, MAXIMA]
    keys = tl.load(lengths.keys + b, mask=row_ok, other=1)
    queries = T
    if lengths.queries is not None:
        queries = tl.load(lengths.queries + b, mask=row_ok, other=0)
    row_ok = row_ok & (lengths.first_query + t < queries) & (keys > 0)
    local_block = tl.where(row_ok, (keys - queries + lengths.first_query + t) // BS, -1)[:, None]
    first_local = tl.maximum(local_block - local_blocks + 1, 0)
    # Round 1: groups of blocks. One with a forced block ranks above every score.
    visible = coarse * BLOCKS_PER_MAX <= local_block
    maximum = tl.where(visible, maximum, float("-inf"))
    forced = (coarse * BLOCKS_PER_MAX < init_blocks) | (
        (coarse >= first_local // BLOCKS_PER_MAX) & (local_blocks > 0)
    )
    sortable = tl.where(forced & visible, FORCED, sortable_int(maximum))
    groups = top_k_of_rows(sortable, coarse + tl.zeros([ROWS, 1], tl.int32), K, SLOTS, ROWS)
    # Round 2: the blocks of those groups.
    block = groups[:, :, None] * BLOCKS_PER_MAX + tl.arange(0, BLOCKS_PER_MAX)[None, None, :]
    block = tl.where(groups[:, :, None] == NO_ID, NO_ID, block)
    block = tl.reshape(block, [ROWS, SLOTS * BLOCKS_PER_MAX])
    visible = block <= local_block
    score_at = given.scores + row[:, None] * given.nb + block
    score = tl.load(score_at, mask=visible, other=float("-inf"))  # [ROWS, SLOTS * BLOCKS_PER_MAX]
    forced = (block < init_blocks) | ((block >= first_local) & (local_blocks > 0))
    sortable = tl.where(forced & visible, FORCED, sortable_int(score))
    ids = tl.sort(top_k_of_rows(sortable, block, K, SLOTS, ROWS), dim=1)
    slot = tl.arange(0, SLOTS)[None, :]
    ids = tl.where(ids == NO_ID, -1, ids)
    store_ok = (row < num_rows)[:, None] & (slot < K)
    tl.store(selection + row[:, None] * K + slot, ids, mask=store_ok)


def select_blocks(
    given: BlockScores,
    lengths: Lengths,
    *,
    config: MSAConfig,
    blocks_per_max: int,
    selection: Int32[Tensor, "B Hkv T k"] | None = None,
    rows: int | None = None,
) -> Int32[Tensor, "B Hkv T k"]:
    """Selected ids, ascending, -1 on the right, the local block among them.

    Rows past a sequence's queries, and those of an empty sequence, hold -1 alone. Ties go to the
    lower id; NaN counts as -inf. Written into `selection` if given. `rows` rows, a power of two,
    share one program (four in long prefills, if not given). Source: MSA paper, Eq. 7.
    """
    batch, num_kv_heads, num_queries, _ = given.scores.shape
    if selection is None:
        shape = (batch, num_kv_heads, num_queries, config.top_k)
        selection = torch.empty(shape, device=given.scores.device, dtype=torch.int32)
    num_rows = batch * num_kv_heads * num_queries
    if rows is None:
        is_long = num_rows >= 4096 and given.num_maxima <= 1024
        rows = 4 if is_long else 1
        if launch.INTERPRETED:  # a program takes as long, however many rows it has
            rows = min(32, triton.next_power_of_2(num_rows))
    select_blocks_kernel[(triton.cdiv(num_rows, rows),)](
        given, lengths, selection,
        num_queries, num_kv_heads, num_rows, config.init_blocks, config.local_blocks,
        K=config.top_k, SLOTS=triton.next_power_of_2(config.top_k), BS=config.block_size,
        BLOCKS_PER_MAX=blocks_per_max, MAXIMA=triton.next_power_of_2(given.num_maxima), ROWS=rows,
        num_warps=1 if given.num_maxima <= 1024 else 4,
    )  # fmt: skip
    return selection
