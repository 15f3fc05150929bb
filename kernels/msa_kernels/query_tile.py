"""Main branch of a prefill, query-major: a tile of neighbours reads the union of its blocks.

No plan by block, no partial results, no combine: one pass with a running softmax. It wins where
neighbours agree or the context is short; where they do not, most of a tile's rows sit out most of
its blocks. With a tile of one query this is the plain query-major order.
"""

import torch
import triton
import triton.language as tl

from msa_kernels import launch
from msa_kernels.sparse_prefill import LOG2E

LN2 = tl.constexpr(0.6931471805599453)
MOST_SLOTS = 256  # the union compares every slot of a tile with every other


@triton.jit
def _union(
    selection_ptr, block_ptr, member_ptr, size_ptr, T, tiles, NB,
    K: tl.constexpr, SLOTS: tl.constexpr, QUERIES: tl.constexpr,
):  # fmt: skip
    tile = tl.program_id(0)
    pair = tl.program_id(1)
    flat = tl.arange(0, QUERIES * SLOTS)
    query = flat // SLOTS
    rank = flat % SLOTS
    t = tile * QUERIES + query
    at = (pair.to(tl.int64) * T + t) * K + rank
    block = tl.load(selection_ptr + at, mask=(rank < K) & (t < T), other=-1)
    block = tl.where(block < 0, NB + flat, block)  # unused slots stand apart and come last
    same = block[:, None] == block[None, :]
    member = tl.sum(tl.where(same, 1 << query[:, None], 0), 0)
    earlier = tl.sum((same & (flat[:, None] < flat[None, :])).to(tl.int32), 0)
    first = (earlier == 0) & (block < NB)
    place = tl.sum((first[:, None] & (block[:, None] < block[None, :])).to(tl.int32), 0)
    start = (pair.to(tl.int64) * tiles + tile) * QUERIES * K
    tl.store(block_ptr + start + place, block, mask=first)
    tl.store(member_ptr + start + place, member, mask=first)
    tl.store(size_ptr + pair * tiles + tile, tl.sum(first.to(tl.int32), 0))


@triton.jit
def _attend(
    q_ptr, k_ptr, v_ptr, query_length_ptr, key_length_ptr, block_ptr, member_ptr, size_ptr,
    out_ptr, lse_ptr, first_query, T, out_T, tiles, HKV, K, scale,
    stride_qb, stride_qh, stride_qt, stride_kb, stride_kh, stride_kt,
    stride_vb, stride_vh, stride_vt,
    G: tl.constexpr, D: tl.constexpr, BS: tl.constexpr, ROWS: tl.constexpr, QUERIES: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    tile = tl.num_programs(0) - 1 - tl.program_id(0)
    pair = tl.program_id(1)
    b = (pair // HKV).to(tl.int64)
    g = (pair % HKV).to(tl.int64)
    keys = tl.load(key_length_ptr + b)
    queries = tl.load(query_length_ptr + b)
    row = tl.arange(0, ROWS)
    channel = tl.arange(0, D)
    token = tl.arange(0, BS)
    t = tile * QUERIES + row // G
    inside = (row < QUERIES * G) & (t < T)
    position = keys - queries + first_query + t
    first_position = keys - queries + first_query + tile * QUERIES
    q_at = b * stride_qb + (g * G + row % G) * stride_qh + t.to(tl.int64) * stride_qt
    # Beyond a sequence's queries anything may lie; a NaN there would outlive the masks below.
    live = inside & (first_query + t < queries)
    q = tl.load(q_ptr + q_at[:, None] + channel[None, :], mask=live[:, None], other=0.0)
    k_ptr += b * stride_kb + g * stride_kh
    v_ptr += b * stride_vb + g * stride_vh
    start = (pair.to(tl.int64) * tiles + tile) * QUERIES * K
    peak = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    out = tl.zeros([ROWS, D], tl.float32)
    for i in range(0, tl.load(size_ptr + pair * tiles + tile)):
        block = tl.load(block_ptr + start + i)
        member = tl.load(member_ptr + start + i)
        key = block * BS + token
        at = key.to(tl.int64)[:, None]
        k = tl.load(k_ptr + at * stride_kt + channel[None, :], mask=key[:, None] < keys, other=0.0)
        v = tl.load(v_ptr + at * stride_vt + channel[None, :], mask=key[:, None] < keys, other=0.0)
        s = tl.dot(q, tl.trans(k), input_precision=PRECISION)  # [ROWS, BS]
        if block * BS + BS > first_position:  # some key may lie in some query's future
            s = tl.where(key[None, :] <= position[:, None], s, float("-inf"))
        chosen = (member >> (row // G)) & 1 != 0
        new_peak = tl.where(chosen, tl.maximum(peak, tl.max(s, 1) * scale), peak)
        p = tl.exp2(s * scale - tl.where(chosen, new_peak, float("inf"))[:, None])
        rescale = tl.exp2(peak - tl.where(new_peak == float("-inf"), 0.0, new_peak))
        total = total * rescale + tl.sum(p, 1)
        out = tl.dot(p.to(v.dtype), v, out * rescale[:, None], input_precision=PRECISION)
        peak = new_peak
    safe = tl.where(total == 0.0, 1.0, total)
    out = out / safe[:, None]
    out_at = ((b * HKV + g) * G + row % G) * out_T + first_query + t
    tl.store(
        out_ptr + out_at[:, None] * D + channel[None, :],
        out.to(out_ptr.dtype.element_ty),
        mask=inside[:, None],
    )
    tl.store(
        lse_ptr + out_at, tl.where(total == 0.0, peak, (peak + tl.log2(safe)) * LN2), mask=inside
    )


def attend(
    q, k, v, selection, query_lengths, key_lengths, out, lse,
    *, block_size, first_query=0, tile=None,
):  # fmt: skip
    """Write out [B, Hq, T, d] and natural-log lse [B, Hq, T] of the queries from `first_query` on.

    `tile` neighbouring queries, a power of two up to 16, share one program: as many as fill the
    rows, if not given. A query that selects nothing gets 0 and -inf. Source: MSA paper, Eq. 8.
    """
    batch, num_heads, num_queries, head_dim = q.shape
    num_groups, top_k = selection.shape[1], selection.shape[3]
    group_size = num_heads // num_groups
    options = launch.options("query_tile", head_dim, block_size, q.dtype)
    rows = max(options.pop("rows"), triton.next_power_of_2(group_size))
    if tile is None:
        tile = rows // triton.next_power_of_2(group_size)
        tile = max(1, min(16, tile, MOST_SLOTS // triton.next_power_of_2(top_k)))
    rows = max(16, triton.next_power_of_2(tile * group_size))
    tiles = triton.cdiv(num_queries, tile)
    pairs = batch * num_groups
    int32 = {"dtype": torch.int32, "device": q.device}
    blocks = torch.empty(pairs * tiles * tile * top_k, **int32)
    members = torch.empty_like(blocks)
    sizes = torch.empty(pairs * tiles, **int32)
    num_blocks = triton.cdiv(k.shape[2], block_size)
    _union[(tiles, pairs)](
        selection, blocks, members, sizes, num_queries, tiles, num_blocks,
        K=top_k, SLOTS=triton.next_power_of_2(top_k), QUERIES=tile,
    )  # fmt: skip
    _attend[(tiles, pairs)](
        q, k, v, query_lengths, key_lengths, blocks, members, sizes, out, lse,
        first_query, num_queries, out.shape[2], tiles, num_groups, top_k, head_dim**-0.5 * LOG2E,
        *q.stride()[:3], *k.stride()[:3], *v.stride()[:3],
        G=group_size, D=head_dim, BS=block_size, ROWS=rows, QUERIES=tile,
        PRECISION=launch.precision(q.dtype), **options,
    )  # fmt: skip
