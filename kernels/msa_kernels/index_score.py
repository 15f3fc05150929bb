"""Index scores: the block maxima of every query and group, over a prefill or a decode step.

The one shared index key head is read once for all groups: a tile's rows are queries x groups.
Beside each score the maximum of every GROUP consecutive blocks is kept, so that the selection
reads a sixteenth of the scores.
"""

import torch
import triton
import triton.language as tl

from msa_kernels import launch

PREFILL_GROUP = 16


@triton.jit
def _score_prefill(
    q_ptr, k_ptr, query_length_ptr, key_length_ptr, score_ptr, group_ptr,
    first_query, T, NB, NG, scale,
    stride_qb, stride_qh, stride_qt, stride_kb, stride_kt,
    HKV: tl.constexpr, ROWS: tl.constexpr, DI: tl.constexpr, BS: tl.constexpr,
    TILE: tl.constexpr, GROUP: tl.constexpr, SPAN: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    tile = tl.num_programs(0) - 1 - tl.program_id(0)  # late queries have the most keys: first
    span = tl.program_id(1)
    b = tl.program_id(2)
    queries = tl.load(query_length_ptr + b)
    keys = tl.load(key_length_ptr + b)
    row = tl.arange(0, ROWS)
    t = tile * TILE + row % TILE
    head = row // TILE
    live = (first_query + t < queries) & (t < T) & (head < HKV)
    position = keys - queries + first_query + t
    channel = tl.arange(0, DI)
    token = tl.arange(0, BS)
    column = tl.arange(0, GROUP)
    q_row = b.to(tl.int64) * stride_qb + head.to(tl.int64) * stride_qh + t.to(tl.int64) * stride_qt
    q = tl.load(q_ptr + q_row[:, None] + channel[None, :], mask=live[:, None], other=0.0)
    k_ptr += b.to(tl.int64) * stride_kb
    out_row = (b.to(tl.int64) * HKV + head) * T + t
    last = tl.minimum(keys - queries + first_query + tile * TILE + TILE, keys) - 1
    first_masked = (keys - queries + first_query + tile * TILE) // BS
    start = span * SPAN
    stop = tl.minimum(start + SPAN, NG)
    visible = tl.where(first_query + tile * TILE < queries, last // (BS * GROUP) + 1, 0)
    for group in range(start, tl.minimum(stop, visible)):
        scores = tl.full([ROWS, GROUP], float("-inf"), tl.float32)
        for i in range(0, GROUP):
            block = group * GROUP + i
            key = block * BS + token
            k_at = key[None, :].to(tl.int64) * stride_kt + channel[:, None]
            k = tl.load(k_ptr + k_at, mask=key[None, :] < keys, other=0.0)  # [DI, BS]
            s = tl.dot(q, k, input_precision=PRECISION)  # [ROWS, BS]
            if block >= first_masked:  # the mask comes before the max
                s = tl.where(key[None, :] <= position[:, None], s, float("-inf"))
            scores = tl.where(column[None, :] == i, tl.max(s, 1)[:, None], scores)
        scores *= scale
        at = out_row[:, None] * NB + group * GROUP + column[None, :]
        tl.store(score_ptr + at, scores, mask=live[:, None])
        tl.store(group_ptr + out_row * NG + group, tl.max(scores, 1), mask=live)


@triton.jit
def _score_decode(
    q_ptr, index_pages_ptr, table_ptr, length_ptr, score_ptr, group_ptr,
    max_pages, NG, scale,
    HKV: tl.constexpr, HEADS: tl.constexpr, DI: tl.constexpr, BS: tl.constexpr,
    GROUP: tl.constexpr, PRECISION: tl.constexpr, FP8: tl.constexpr,
):  # fmt: skip
    group = tl.program_id(0)
    b = tl.program_id(1)
    head = tl.arange(0, HEADS)
    channel = tl.arange(0, DI)
    token = tl.arange(0, BS)
    start = group * GROUP
    table_ptr += b * max_pages
    # Three loads that need not wait for one another; each next page is asked for a block ahead.
    length = tl.load(length_ptr + b)
    page = tl.load(table_ptr + start).to(tl.int64)
    q_at = (b * HKV + head[None, :]) * DI + channel[:, None]
    q = tl.load(q_ptr + q_at, mask=head[None, :] < HKV, other=0.0)  # [DI, HEADS]
    if FP8:
        q = q.to(tl.float16)
    num_blocks = (length + BS - 1) // BS
    best = tl.full([HEADS], float("-inf"), tl.float32)
    for block in range(start, tl.minimum(start + GROUP, num_blocks)):
        next_page = tl.load(table_ptr + block + 1, mask=block + 1 < max_pages, other=0)
        k = tl.load(index_pages_ptr + (page * BS + token[:, None]) * DI + channel[None, :])
        if FP8:  # e4m3 widens to float16 exactly
            k = k.to(tl.float16)
        s = tl.dot(k, q, input_precision=PRECISION) * scale  # [BS, HEADS]
        s = tl.where(block * BS + token[:, None] < length, s, float("-inf"))
        score = tl.max(s, 0)
        at = (b * HKV + head).to(tl.int64) * max_pages + block
        tl.store(score_ptr + at, score, mask=head < HKV)
        best = tl.maximum(best, score)
        page = next_page.to(tl.int64)
    tl.store(group_ptr + (b * HKV + head) * NG + group, best, mask=head < HKV)


def score_prefill(
    index_q, index_k, query_lengths, key_lengths, *, block_size, num_keys, first_query=0, scale=None
):
    """Scores [B, Hkv, T, nb] and their maxima over groups of 16 blocks, both float32.

    nb is padded to whole groups. What a query cannot see is left unwritten: the selection reads
    up to a query's own block alone. Query row t of sequence b stands at
    key_lengths[b] - query_lengths[b] + first_query + t. Source: MSA paper, Eq. 6.
    """
    batch, num_groups, num_queries, index_dim = index_q.shape
    ng = triton.cdiv(triton.cdiv(num_keys, block_size), PREFILL_GROUP)
    shape = (batch, num_groups, num_queries)
    scores = torch.empty(*shape, ng * PREFILL_GROUP, device=index_q.device, dtype=torch.float32)
    maxima = torch.empty(*shape, ng, device=index_q.device, dtype=torch.float32)
    heads = triton.next_power_of_2(num_groups)
    options = launch.options("score_prefill", index_dim, block_size, index_q.dtype)
    rows = max(options.pop("rows"), 16)
    tile = max(1, rows // heads)
    span = options.pop("span")
    _score_prefill[(triton.cdiv(num_queries, tile), triton.cdiv(ng, span), batch)](
        index_q, index_k, query_lengths, key_lengths, scores, maxima,
        first_query, num_queries, ng * PREFILL_GROUP, ng,
        index_dim**-0.5 if scale is None else scale,
        *index_q.stride()[:3], index_k.stride(0), index_k.stride(2),
        HKV=num_groups, ROWS=tile * heads, DI=index_dim, BS=block_size, TILE=tile,
        GROUP=PREFILL_GROUP, SPAN=span, PRECISION=launch.precision(index_q.dtype), **options,
    )  # fmt: skip
    return scores, maxima


def score_decode(index_q, cache, *, group, scores, maxima):
    """Scores [B, Hkv, max_pages] of the newest token's blocks and maxima over `group` blocks.

    Written into the given float32 buffers: nothing is allocated, nothing is read on the host.
    """
    batch, num_groups, _, index_dim = index_q.shape
    options = launch.options("score_decode", index_dim, cache.block_size, index_q.dtype)
    ng = maxima.shape[2]
    _score_decode[(ng, batch)](
        index_q, cache.index_pages, cache.block_table, cache.lengths, scores, maxima,
        cache.block_table.shape[1], ng, index_dim**-0.5,
        HKV=num_groups, HEADS=max(16, triton.next_power_of_2(num_groups)), DI=index_dim,
        BS=cache.block_size, GROUP=group, PRECISION=launch.precision(index_q.dtype),
        FP8=cache.index_pages.dtype == torch.float8_e4m3fn, **options,
    )  # fmt: skip
