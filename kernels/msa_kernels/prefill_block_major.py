"""Main branch of a prefill, block-major: each block is loaded once for all queries that chose it.

A tile is as many queries x G heads as fill 64 rows, so the tensor cores are full even when no two
neighbouring queries agree. Partial outputs lie in the order of the plan's entries: each tile
writes one contiguous piece, no atomics, the same bits in every run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

from msa_kernels import launch
from msa_kernels.arguments import Heads, Lengths, Partials, Plan, heads

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


@triton.jit
def attend_block_major_kernel(
    q: Heads, k: Heads, v: Heads, lengths: Lengths, plan: Plan, partials: Partials,
    num_lists, NB, HKV, K, scale,
    G: tl.constexpr, D: tl.constexpr, BS: tl.constexpr, ROWS: tl.constexpr,
    ITEM_SIZE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One block and up to ITEM_SIZE of the queries that selected it a program.

    load k, v of the block
    for each ROWS // G queries of the item:
        s = q k, future keys masked
        partial out = softmax(s) v; partial lse = log2(sum(2 ** s))
    """
    # q [B, HKV * G, T, D], k and v [B, HKV, S, D]; partials.out [E, G, D], partials.lse [E, G]
    item = tl.program_id(0)
    if item < tl.load(plan.item_ends + num_lists - 1):
        list_id = tl.load(plan.item_lists + item)
        count = tl.load(plan.counts + list_id)
        first = tl.load(plan.list_ends + list_id) - count
        list_items = (count + ITEM_SIZE - 1) // ITEM_SIZE
        start = (item - tl.load(plan.item_ends + list_id) + list_items) * ITEM_SIZE
        stop = tl.minimum(start + ITEM_SIZE, count)
        block = list_id % NB
        g = (list_id // NB % HKV).to(tl.int64)
        b = (list_id // NB // HKV).to(tl.int64)
        keys = tl.load(lengths.keys + b)
        offset = keys - tl.load(lengths.queries + b) + lengths.first_query - block * BS
        token = tl.arange(0, BS)
        channel = tl.arange(0, D)
        key_ok = block * BS + token[:, None] < keys
        key = (block * BS + token).to(tl.int64)[:, None]
        k_at = b * k.stride_b + g * k.stride_h + key * k.stride_t + channel[None, :]
        v_at = b * v.stride_b + g * v.stride_h + key * v.stride_t + channel[None, :]
        k_block = tl.load(k.ptr + k_at, mask=key_ok, other=0.0)  # [BS, D]
        v_block = tl.load(v.ptr + v_at, mask=key_ok, other=0.0)  # [BS, D]
        q_ptr = q.ptr + b * q.stride_b + g * G * q.stride_h
        out_ptr = partials.out + first.to(tl.int64) * G * D
        lse_ptr = partials.lse + first.to(tl.int64) * G
        row = tl.arange(0, ROWS)
        QUERIES: tl.constexpr = ROWS // G
        in_tile = row < QUERIES * G
        head_at = ((row % G).to(tl.int64) * q.stride_h)[:, None] + channel[None, :]
        entry_ptr = plan.entries + first + row // G
        # Queries come a tile ahead and their ids two, so that no tile waits for its own.
        row_ok = in_tile & (start + row // G < stop)
        t = tl.load(entry_ptr + start, mask=row_ok, other=0) // K
        q_at = q_ptr + head_at + (t.to(tl.int64) * q.stride_t)[:, None]
        q_tile = tl.load(q_at, mask=row_ok[:, None], other=0.0)  # [ROWS, D]
        next_ok = in_tile & (start + QUERIES + row // G < stop)
        next_t = tl.load(entry_ptr + start + QUERIES, mask=next_ok, other=0) // K
        for entry in range(start, stop, QUERIES):
            next_q_at = q_ptr + head_at + (next_t.to(tl.int64) * q.stride_t)[:, None]
            next_q_tile = tl.load(next_q_at, mask=next_ok[:, None], other=0.0)
            after = entry + 2 * QUERIES
            after_ok = in_tile & (after + row // G < stop)
            after_t = tl.load(entry_ptr + after, mask=after_ok, other=0) // K
            s = tl.dot(q_tile, tl.trans(k_block), input_precision=PRECISION)  # [ROWS, BS]
            if offset < BS:  # some query may stand inside this block
                s = tl.where(token[None, :] <= (offset + t)[:, None], s, float("-inf"))
            peak = tl.max(s, 1) * scale
            finite_peak = tl.where(peak == float("-inf"), 0.0, peak)  # of rows that see no key
            p = tl.exp2(s * scale - finite_peak[:, None])
            total = tl.sum(p, 1)
            safe_total = tl.where(total == 0.0, 1.0, total)
            out = tl.dot(p.to(v_block.dtype), v_block, input_precision=PRECISION)  # [ROWS, D]
            out = (out * (1.0 / safe_total)[:, None]).to(out_ptr.dtype.element_ty)
            at = (entry * G + row).to(tl.int64)
            tl.store(out_ptr + at[:, None] * D + channel[None, :], out, mask=row_ok[:, None])
            tl.store(lse_ptr + at, peak + tl.log2(safe_total), mask=row_ok)
            q_tile, t, row_ok = next_q_tile, next_t, next_ok
            next_t, next_ok = after_t, after_ok


def attend(
    q: Float[Tensor, "B Hq T d"],
    k: Float[Tensor, "B Hkv S d"],
    v: Float[Tensor, "B Hkv S d"],
    plan: Plan,
    lengths: Lengths,
    *,
    top_k: int,
    block_size: int,
    item_size: int,
) -> Partials:
    """Partial results of every entry of a plan, out in q's dtype, LSE in float32.

    `item_size` is the one that the plan was made with. Source: MSA paper, section 4 (KV-outer
    order).
    """
    _, num_heads, _, head_dim = q.shape
    num_kv_heads, num_keys = k.shape[1:3]
    group_size = num_heads // num_kv_heads
    out = torch.empty(plan.entries.numel(), group_size, head_dim, device=q.device, dtype=q.dtype)
    partials = Partials(out, torch.empty(out.shape[:2], device=q.device, dtype=torch.float32))
    options = launch.options("prefill_block_major", q.dtype)
    rows = max(options.pop("rows"), triton.next_power_of_2(group_size))
    attend_block_major_kernel[(plan.item_lists.numel(),)](
        heads(q), heads(k), heads(v), lengths, plan, partials,
        plan.counts.numel(), triton.cdiv(num_keys, block_size), num_kv_heads, top_k,
        head_dim**-0.5 * launch.LOG2E,
        G=group_size, D=head_dim, BS=block_size, ROWS=rows, ITEM_SIZE=item_size,
        PRECISION=launch.precision(q.dtype), **options,
    )  # fmt: skip
    return partials
