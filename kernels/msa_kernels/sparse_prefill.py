"""Main branch of a prefill, block-major: each block is loaded once for all queries that chose it.

A tile is as many queries x G heads as fill 64 rows, so the tensor cores are full even when no two
neighbouring queries agree. Partial outputs lie in the order of the plan's entries: each tile
writes one contiguous piece, no atomics, the same bits in every run.
"""

import torch
import triton
import triton.language as tl

from msa_kernels import launch

LOG2E = 1.4426950408889634


@triton.jit
def _attend(
    q_ptr, k_ptr, v_ptr, query_length_ptr, key_length_ptr,
    entry_ptr, count_ptr, end_ptr, item_ptr, item_end_ptr, part_ptr, part_lse_ptr,
    first_query, lists, NB, HKV, K, scale,
    stride_qb, stride_qh, stride_qt, stride_kb, stride_kh, stride_kt,
    stride_vb, stride_vh, stride_vt,
    G: tl.constexpr, D: tl.constexpr, BS: tl.constexpr, ROWS: tl.constexpr, CHUNK: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    item = tl.program_id(0)
    if item < tl.load(item_end_ptr + lists - 1):
        which = tl.load(item_ptr + item)
        count = tl.load(count_ptr + which)
        first = tl.load(end_ptr + which) - count
        start = (item - tl.load(item_end_ptr + which)) * CHUNK + (
            count + CHUNK - 1
        ) // CHUNK * CHUNK
        stop = tl.minimum(start + CHUNK, count)
        block = which % NB
        g = which // NB % HKV
        b = (which // NB // HKV).to(tl.int64)
        keys = tl.load(key_length_ptr + b)
        offset = keys - tl.load(query_length_ptr + b) + first_query - block * BS
        token = tl.arange(0, BS)
        channel = tl.arange(0, D)
        held = block * BS + token[:, None] < keys
        k_ptr += b * stride_kb + g.to(tl.int64) * stride_kh + block.to(tl.int64) * BS * stride_kt
        v_ptr += b * stride_vb + g.to(tl.int64) * stride_vh + block.to(tl.int64) * BS * stride_vt
        k = tl.load(k_ptr + token[:, None] * stride_kt + channel[None, :], mask=held, other=0.0)
        v = tl.load(v_ptr + token[:, None] * stride_vt + channel[None, :], mask=held, other=0.0)
        q_ptr += b * stride_qb + g.to(tl.int64) * G * stride_qh
        part_ptr += first.to(tl.int64) * G * D
        part_lse_ptr += first.to(tl.int64) * G
        row = tl.arange(0, ROWS)
        QUERIES: tl.constexpr = ROWS // G
        inside = row < QUERIES * G
        head_at = ((row % G).to(tl.int64) * stride_qh)[:, None] + channel[None, :]
        entry_at = entry_ptr + first + row // G
        # Queries come a tile ahead and their ids two, so that no tile waits for its own.
        live = inside & (start + row // G < stop)
        t = tl.load(entry_at + start, mask=live, other=0) // K
        q = tl.load(q_ptr + head_at + (t * stride_qt)[:, None], mask=live[:, None], other=0.0)
        next_live = inside & (start + QUERIES + row // G < stop)
        next_t = tl.load(entry_at + start + QUERIES, mask=next_live, other=0) // K
        for entry in range(start, stop, QUERIES):
            next_q_at = q_ptr + head_at + (next_t * stride_qt)[:, None]
            next_q = tl.load(next_q_at, mask=next_live[:, None], other=0.0)
            after = entry + 2 * QUERIES
            after_live = inside & (after + row // G < stop)
            after_t = tl.load(entry_at + after, mask=after_live, other=0) // K
            s = tl.dot(q, tl.trans(k), input_precision=PRECISION)  # [ROWS, BS]
            if offset < BS:  # some query may stand inside this block
                s = tl.where(token[None, :] <= (offset + t)[:, None], s, float("-inf"))
            peak = tl.max(s, 1) * scale
            p = tl.exp2(s * scale - peak[:, None])
            total = tl.sum(p, 1)
            out = tl.dot(p.to(v.dtype), v, input_precision=PRECISION) * (1.0 / total)[:, None]
            at = entry * G + row
            out = out.to(part_ptr.dtype.element_ty)
            tl.store(part_ptr + at[:, None] * D + channel[None, :], out, mask=live[:, None])
            tl.store(part_lse_ptr + at, peak + tl.log2(total), mask=live)
            q, t, live = next_q, next_t, next_live
            next_t, next_live = after_t, after_live


def attend(q, k, v, plan, query_lengths, key_lengths, *, top_k, block_size, chunk, first_query=0):
    """Partial outputs [E, G, d] in q's dtype and LSEs [E, G] (base 2), one a plan's entry.

    Source: MSA paper, section 4 (KV-outer order).
    """
    _, num_heads, _, head_dim = q.shape
    num_groups, num_keys = k.shape[1:3]
    group_size = num_heads // num_groups
    parts = torch.empty(plan.entries.numel(), group_size, head_dim, device=q.device, dtype=q.dtype)
    part_lses = torch.empty(parts.shape[:2], device=q.device, dtype=torch.float32)
    options = launch.options("sparse_prefill", head_dim, block_size, q.dtype)
    rows = max(options.pop("rows"), triton.next_power_of_2(group_size))
    _attend[(plan.items.numel(),)](
        q, k, v, query_lengths, key_lengths,
        plan.entries, plan.counts, plan.ends, plan.items, plan.item_ends, parts, part_lses,
        first_query, len(plan.counts), triton.cdiv(num_keys, block_size), num_groups, top_k,
        head_dim**-0.5 * LOG2E,
        *q.stride()[:3], *k.stride()[:3], *v.stride()[:3],
        G=group_size, D=head_dim, BS=block_size, ROWS=rows, CHUNK=chunk,
        PRECISION=launch.precision(q.dtype), **options,
    )  # fmt: skip
    return parts, part_lses
