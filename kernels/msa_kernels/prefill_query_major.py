"""Main branch of a prefill, query-major: a tile of neighbours reads the union of its blocks.

No plan by block, no partial results, no combine: one pass with a running softmax. It wins where
neighbours agree or the context is short; where they do not, most of a tile's rows sit out most of
its blocks. With a tile of one query this is the plain query-major order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

from msa_kernels import launch
from msa_kernels.arguments import Heads, Lengths, Outputs, TileUnions, heads
from msa_kernels.launch import LN2

if TYPE_CHECKING:
    from jaxtyping import Float, Int32
    from torch import Tensor

MAX_TILE = 16  # queries: a row of the union has a bit for each
MAX_SLOTS = 256  # of a tile: the union compares every slot with every other


@triton.jit
def tile_union_kernel(
    selection, unions: TileUnions, T, num_tiles, NB,
    K: tl.constexpr, SLOTS: tl.constexpr, QUERIES: tl.constexpr,
):  # fmt: skip
    """The different blocks of QUERIES neighbours, ascending, and which of them selected each."""
    # selection int32 [B, Hkv, T, K]; unions.blocks int32 [B, Hkv, num_tiles, QUERIES * K]
    tile = tl.program_id(0)
    bh = tl.program_id(1).to(tl.int64)
    flat = tl.arange(0, QUERIES * SLOTS)
    query = flat // SLOTS
    rank = flat % SLOTS
    t = tile * QUERIES + query
    at = (bh * T + t) * K + rank
    block = tl.load(selection + at, mask=(rank < K) & (t < T), other=-1)
    block = tl.where(block < 0, NB + flat, block)  # unused slots stand apart and come last
    same = block[:, None] == block[None, :]
    query_bits = tl.sum(tl.where(same, 1 << query[:, None], 0), 0)
    earlier = tl.sum((same & (flat[:, None] < flat[None, :])).to(tl.int32), 0)
    first = (earlier == 0) & (block < NB)
    place = tl.sum((first[:, None] & (block[:, None] < block[None, :])).to(tl.int32), 0)
    start = (bh * num_tiles + tile) * QUERIES * K
    tl.store(unions.blocks + start + place, block, mask=first)
    tl.store(unions.query_bits + start + place, query_bits, mask=first)
    tl.store(unions.sizes + bh * num_tiles + tile, tl.sum(first.to(tl.int32), 0))


@triton.jit
def attend_query_major_kernel(
    q: Heads, k: Heads, v: Heads, lengths: Lengths, unions: TileUnions, outputs: Outputs,
    T, num_tiles, HKV, K, scale,
    G: tl.constexpr, D: tl.constexpr, BS: tl.constexpr, ROWS: tl.constexpr, QUERIES: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """QUERIES neighbours, with all heads of one KV head, a program.

    for each block of the tile's union:
        s = q k, future keys masked; rows that did not select the block get weight 0
        running softmax: peak, total, out
    out = out / total; lse = (peak + log2(total)) ln(2)
    """
    # q [B, HKV * G, T, D], k and v [B, HKV, S, D]; outputs.out [B, HKV * G, num_queries, D]
    tile = tl.num_programs(0) - 1 - tl.program_id(0)
    bh = tl.program_id(1)
    b = (bh // HKV).to(tl.int64)
    g = (bh % HKV).to(tl.int64)
    keys = tl.load(lengths.keys + b)
    queries = tl.load(lengths.queries + b)
    row = tl.arange(0, ROWS)
    channel = tl.arange(0, D)
    token = tl.arange(0, BS)
    t = tile * QUERIES + row // G
    store_ok = (row < QUERIES * G) & (t < T)
    first_position = keys - queries + lengths.first_query + tile * QUERIES
    position = first_position + row // G
    q_at = b * q.stride_b + (g * G + row % G) * q.stride_h + t.to(tl.int64) * q.stride_t
    # Beyond a sequence's queries anything may lie; a NaN there would outlive the masks below.
    row_ok = store_ok & (lengths.first_query + t < queries)
    q_tile = tl.load(
        q.ptr + q_at[:, None] + channel[None, :], mask=row_ok[:, None], other=0.0
    )  # [ROWS, D]
    k_ptr = k.ptr + b * k.stride_b + g * k.stride_h
    v_ptr = v.ptr + b * v.stride_b + g * v.stride_h
    start = (bh.to(tl.int64) * num_tiles + tile) * QUERIES * K
    peak = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    out = tl.zeros([ROWS, D], tl.float32)
    for i in range(0, tl.load(unions.sizes + bh * num_tiles + tile)):
        block = tl.load(unions.blocks + start + i)
        query_bits = tl.load(unions.query_bits + start + i)
        key = block * BS + token
        key_ok = key[:, None] < keys
        at = key.to(tl.int64)[:, None]
        k_block = tl.load(
            k_ptr + at * k.stride_t + channel[None, :], mask=key_ok, other=0.0
        )  # [BS, D]
        v_block = tl.load(
            v_ptr + at * v.stride_t + channel[None, :], mask=key_ok, other=0.0
        )  # [BS, D]
        s = tl.dot(q_tile, tl.trans(k_block), input_precision=PRECISION)  # [ROWS, BS]
        if block * BS + BS > first_position:  # some key may lie in some query's future
            s = tl.where(key[None, :] <= position[:, None], s, float("-inf"))
        selected = (query_bits >> (row // G)) & 1 != 0
        new_peak = tl.where(selected, tl.maximum(peak, tl.max(s, 1) * scale), peak)
        finite_peak = tl.where(new_peak == float("-inf"), 0.0, new_peak)
        p = tl.exp2(s * scale - tl.where(selected, finite_peak, float("inf"))[:, None])
        rescale = tl.exp2(peak - finite_peak)
        total = total * rescale + tl.sum(p, 1)
        out = tl.dot(
            p.to(v_block.dtype), v_block, out * rescale[:, None], input_precision=PRECISION
        )  # [ROWS, D]
        peak = new_peak
    safe_total = tl.where(total == 0.0, 1.0, total)
    out = out / safe_total[:, None]
    out_row = ((b * HKV + g) * G + row % G) * outputs.num_queries + lengths.first_query + t
    tl.store(
        outputs.out + out_row[:, None] * D + channel[None, :],
        out.to(outputs.out.dtype.element_ty),
        mask=store_ok[:, None],
    )
    lse = tl.where(total == 0.0, peak, (peak + tl.log2(safe_total)) * LN2)
    tl.store(outputs.lse + out_row, lse, mask=store_ok)


def attend(
    q: Float[Tensor, "B Hq T d"],
    k: Float[Tensor, "B Hkv S d"],
    v: Float[Tensor, "B Hkv S d"],
    selection: Int32[Tensor, "B Hkv T k"],
    lengths: Lengths,
    outputs: Outputs,
    *,
    block_size: int,
    tile: int | None = None,
) -> None:
    """Write rows `first_query` to `first_query + T` of the outputs; the selection is contiguous.

    `tile` neighbouring queries, a power of two up to 16, share one program: as many as fill the
    rows, if not given. A query that selects nothing gets output 0 and LSE -inf. Source: MSA paper,
    Eq. 8.
    """
    batch, num_heads, num_queries, head_dim = q.shape
    num_kv_heads, top_k = selection.shape[1], selection.shape[3]
    group_size = num_heads // num_kv_heads
    options = launch.options("prefill_query_major", q.dtype)
    rows = max(options.pop("rows"), triton.next_power_of_2(group_size))
    if tile is None:
        tile = rows // triton.next_power_of_2(group_size)
        tile = max(1, min(MAX_TILE, tile, MAX_SLOTS // triton.next_power_of_2(top_k)))
    rows = max(16, triton.next_power_of_2(tile * group_size))
    grid = triton.cdiv(num_queries, tile), batch * num_kv_heads
    int32 = {"dtype": torch.int32, "device": q.device}
    blocks = torch.empty(grid[0] * grid[1] * tile * top_k, **int32)
    unions = TileUnions(blocks, torch.empty_like(blocks), torch.empty(grid[0] * grid[1], **int32))
    tile_union_kernel[grid](
        selection, unions, num_queries, grid[0], triton.cdiv(k.shape[2], block_size),
        K=top_k, SLOTS=triton.next_power_of_2(top_k), QUERIES=tile,
    )  # fmt: skip
    attend_query_major_kernel[grid](
        heads(q), heads(k), heads(v), lengths, unions, outputs,
        num_queries, grid[0], num_kv_heads, top_k, head_dim**-0.5 * launch.LOG2E,
        G=group_size, D=head_dim, BS=block_size, ROWS=rows, QUERIES=tile,
        PRECISION=launch.precision(q.dtype), **options,
    )  # fmt: skip
