"""Index scores: the block maxima of every query and KV head, over a prefill or a decode step.

The one shared index key head is read once for all KV heads: a tile's rows are queries x KV heads.
Beside each score the maximum of every few consecutive blocks is kept, so that the selection reads
a sixteenth of a prefill's scores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

from msa_kernels import geometry, launch
from msa_kernels.arguments import (
    BlockScores,
    Heads,
    Lengths,
    Pages,
    PageTable,
    as_block_scores,
    heads,
)

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from msa_kernels.cache import PagedCache


@triton.jit
def score_prefill_kernel(
    index_q: Heads, index_k: Heads, lengths: Lengths, result: BlockScores, T, scale,
    HKV: tl.constexpr, ROWS: tl.constexpr, DI: tl.constexpr, BS: tl.constexpr,
    TILE: tl.constexpr, BLOCKS_PER_MAX: tl.constexpr, MAX_GROUPS: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """TILE queries of all KV heads against MAX_GROUPS x BLOCKS_PER_MAX blocks a program."""
    # index_q [B, HKV, T, DI], index_k [B, 1, S, DI];
    # result.scores [B, HKV, T, nb], result.maxima [B, HKV, T, num_maxima]
    tile = tl.num_programs(0) - 1 - tl.program_id(0)  # late queries have the most keys: first
    span = tl.program_id(1)
    b = tl.program_id(2).to(tl.int64)
    queries = tl.load(lengths.queries + b)
    keys = tl.load(lengths.keys + b)
    row = tl.arange(0, ROWS)
    t = tile * TILE + row % TILE
    head = row // TILE
    row_ok = (lengths.first_query + t < queries) & (t < T) & (head < HKV)
    position = keys - queries + lengths.first_query + t
    channel = tl.arange(0, DI)
    token = tl.arange(0, BS)
    column = tl.arange(0, BLOCKS_PER_MAX)
    q_row = (
        b * index_q.stride_b
        + head.to(tl.int64) * index_q.stride_h
        + t.to(tl.int64) * index_q.stride_t
    )
    q_at = index_q.ptr + q_row[:, None] + channel[None, :]
    q = tl.load(q_at, mask=row_ok[:, None], other=0.0)  # [ROWS, DI]
    k_ptr = index_k.ptr + b * index_k.stride_b
    out_row = (b * HKV + head) * T + t
    first_position = keys - queries + lengths.first_query + tile * TILE
    last = tl.minimum(first_position + TILE, keys) - 1
    first_masked = first_position // BS
    start = span * MAX_GROUPS
    stop = tl.minimum(start + MAX_GROUPS, result.num_maxima)
    visible = tl.where(
        lengths.first_query + tile * TILE < queries, last // (BS * BLOCKS_PER_MAX) + 1, 0
    )
    for coarse in range(start, tl.minimum(stop, visible)):
        scores = tl.full([ROWS, BLOCKS_PER_MAX], float("-inf"), tl.float32)
        for i in range(0, BLOCKS_PER_MAX):
            block = coarse * BLOCKS_PER_MAX + i
            key = block * BS + token
            k_at = key[None, :].to(tl.int64) * index_k.stride_t + channel[:, None]
            k = tl.load(k_ptr + k_at, mask=key[None, :] < keys, other=0.0)  # [DI, BS]
            s = tl.dot(q, k, input_precision=PRECISION)  # [ROWS, BS]
            if block >= first_masked:  # the mask comes before the max
                s = tl.where(key[None, :] <= position[:, None], s, float("-inf"))
            scores = tl.where(column[None, :] == i, tl.max(s, 1)[:, None], scores)
        scores *= scale
        at = out_row[:, None] * result.nb + coarse * BLOCKS_PER_MAX + column[None, :]
        tl.store(result.scores + at, scores, mask=row_ok[:, None])
        tl.store(
            result.maxima + out_row * result.num_maxima + coarse, tl.max(scores, 1), mask=row_ok
        )


@triton.jit
def score_decode_kernel(
    index_q: Heads, index_pages: Pages, table: PageTable, result: BlockScores, scale,
    HKV: tl.constexpr, HEADS: tl.constexpr, DI: tl.constexpr, BS: tl.constexpr,
    BLOCKS_PER_MAX: tl.constexpr, PRECISION: tl.constexpr, FP8: tl.constexpr,
):  # fmt: skip
    """BLOCKS_PER_MAX blocks of one sequence, for all KV heads, a program."""
    # index_q [B, HKV, 1, DI], index_pages [P, BS, DI], table.pages int32 [B, max_pages];
    # result.scores [B, HKV, 1, max_pages], result.maxima [B, HKV, 1, num_maxima]
    coarse = tl.program_id(0)
    b = tl.program_id(1).to(tl.int64)
    head = tl.arange(0, HEADS)
    head_ok = head < HKV
    channel = tl.arange(0, DI)
    token = tl.arange(0, BS)
    start = coarse * BLOCKS_PER_MAX
    table_ptr = table.pages + b * table.stride_b
    # Three loads that need not wait for one another; each next page is asked for a block ahead.
    length = tl.load(table.lengths + b)
    page = tl.load(table_ptr + start).to(tl.int64)
    q_at = b * index_q.stride_b + head[None, :].to(tl.int64) * index_q.stride_h + channel[:, None]
    q = tl.load(index_q.ptr + q_at, mask=head_ok[None, :], other=0.0)  # [DI, HEADS]
    if FP8:
        q = q.to(tl.float16)
    token_at = token[:, None] * DI + channel[None, :]
    num_blocks = (length + BS - 1) // BS
    row = b * HKV + head
    best = tl.full([HEADS], float("-inf"), tl.float32)
    for block in range(start, tl.minimum(start + BLOCKS_PER_MAX, num_blocks)):
        next_page = tl.load(table_ptr + block + 1, mask=block + 1 < result.nb, other=0)
        k = tl.load(index_pages.ptr + page * index_pages.stride_p + token_at)  # [BS, DI]
        if FP8:  # e4m3 widens to float16 exactly
            k = k.to(tl.float16)
        s = tl.dot(k, q, input_precision=PRECISION) * scale  # [BS, HEADS]
        s = tl.where(block * BS + token[:, None] < length, s, float("-inf"))
        score = tl.max(s, 0)
        tl.store(result.scores + row * result.nb + block, score, mask=head_ok)
        best = tl.maximum(best, score)
        page = next_page.to(tl.int64)
    tl.store(result.maxima + row * result.num_maxima + coarse, best, mask=head_ok)


def score_prefill(
    index_q: Float[Tensor, "B Hkv T di"],
    index_k: Float[Tensor, "B 1 S di"],
    lengths: Lengths,
    *,
    block_size: int,
    num_keys: int,
    scale: float | None = None,
) -> BlockScores:
    """Scores of the blocks of the first `num_keys` keys and maxima over 16 blocks, in float32.

    nb is padded to a multiple of 16. What a query cannot see is left unwritten: the selection reads
    up to a query's local block alone. `scale` is di ** -0.5 if not given. Source: MSA paper, Eq. 6.
    """
    batch, num_kv_heads, num_queries, index_dim = index_q.shape
    per_max = geometry.BLOCKS_PER_MAX
    num_maxima = triton.cdiv(triton.cdiv(num_keys, block_size), per_max)
    shape = (batch, num_kv_heads, num_queries)
    float32 = {"device": index_q.device, "dtype": torch.float32}
    result = as_block_scores(
        torch.empty(*shape, num_maxima * per_max, **float32),
        torch.empty(*shape, num_maxima, **float32),
    )
    options = launch.options("score_prefill", index_q.dtype)
    padded_heads = triton.next_power_of_2(num_kv_heads)
    tile = max(1, max(options.pop("rows"), 16) // padded_heads)
    max_groups = options.pop("max_groups")
    score_prefill_kernel[
        (triton.cdiv(num_queries, tile), triton.cdiv(num_maxima, max_groups), batch)
    ](
        heads(index_q), heads(index_k), lengths, result, num_queries,
        index_dim**-0.5 if scale is None else scale,
        HKV=num_kv_heads, ROWS=tile * padded_heads, DI=index_dim, BS=block_size, TILE=tile,
        BLOCKS_PER_MAX=per_max, MAX_GROUPS=max_groups,
        PRECISION=launch.precision(index_q.dtype), **options,
    )  # fmt: skip
    return result


def score_decode(
    index_q: Float[Tensor, "B Hkv 1 di"],
    cache: PagedCache,
    *,
    blocks_per_max: int,
    result: BlockScores,
) -> None:
    """Write the scores [B, Hkv, 1, max_pages] of the newest token, and maxima, into `result`.

    Nothing is allocated and nothing is read on the host. Blocks that a sequence does not have are
    left unwritten; their maxima are -inf.
    """
    batch, num_kv_heads, _, index_dim = index_q.shape
    pages = cache.index_pages
    score_decode_kernel[(result.num_maxima, batch)](
        heads(index_q), Pages(pages, pages.stride(0), 0, pages.stride(1)), cache.page_table(),
        result, index_dim**-0.5,
        HKV=num_kv_heads, HEADS=max(16, triton.next_power_of_2(num_kv_heads)), DI=index_dim,
        BS=cache.block_size, BLOCKS_PER_MAX=blocks_per_max,
        PRECISION=launch.precision(index_q.dtype), FP8=pages.dtype == torch.float8_e4m3fn,
        **launch.options("score_decode", index_q.dtype),
    )  # fmt: skip
