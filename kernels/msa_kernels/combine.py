"""Combine: partial outputs of one query merged by their LSEs."""

import triton
import triton.language as tl

LN2 = tl.constexpr(0.6931471805599453)


@triton.jit
def _combine(
    part_ptr, part_lse_ptr, where_ptr, out_ptr, lse_ptr, first_query, T, out_T, HKV,
    K: tl.constexpr, SLOTS: tl.constexpr, G: tl.constexpr, HEADS: tl.constexpr, D: tl.constexpr,
):  # fmt: skip
    t = tl.program_id(0)
    chunks = (G + HEADS - 1) // HEADS
    g = tl.program_id(1) // chunks
    b = tl.program_id(2)
    head = tl.program_id(1) % chunks * HEADS + tl.arange(0, HEADS)
    live = head < G
    channel = tl.arange(0, D)
    rank = tl.arange(0, SLOTS)
    row = ((b * HKV + g) * T + t).to(tl.int64)
    if where_ptr is None:  # the parts of a query stand side by side
        entry = tl.where(rank < K, row * K + rank, -1)
    else:
        entry = tl.load(where_ptr + row * K + rank, mask=rank < K, other=-1).to(tl.int64)
    at = entry[:, None] * G + head[None, :]
    used = (entry >= 0)[:, None] & live[None, :]
    part_lse = tl.load(part_lse_ptr + at, mask=used, other=float("-inf"))  # [SLOTS, HEADS], base 2
    peak = tl.max(part_lse, 0)
    finite_peak = tl.where(peak == float("-inf"), 0.0, peak)
    share = tl.exp2(part_lse - finite_peak[None, :])
    total = tl.sum(share, 0)
    share /= tl.where(total == 0.0, 1.0, total)[None, :]
    out = tl.zeros([HEADS, D], tl.float32)
    for i in range(0, K):
        one = row * K + i
        if where_ptr is not None:
            one = tl.load(where_ptr + one).to(tl.int64)
        part_at = (one * G + head[:, None]) * D + channel[None, :]
        part = tl.load(part_ptr + part_at, mask=(one >= 0) & live[:, None], other=0.0)
        weight = tl.sum(tl.where(rank[:, None] == i, share, 0.0), 0)
        out += part.to(tl.float32) * weight[:, None]
    out_row = ((b * HKV + g) * G + head).to(tl.int64) * out_T + first_query + t
    tl.store(
        out_ptr + out_row[:, None] * D + channel[None, :],
        out.to(out_ptr.dtype.element_ty),
        mask=live[:, None],
    )
    lse = tl.where(total == 0.0, peak, (peak + tl.log2(tl.where(total == 0.0, 1.0, total))) * LN2)
    tl.store(lse_ptr + out_row, lse, mask=live)


def combine(parts, part_lses, out, lse, *, shape, where=None, first_query=0, heads=None):
    """Write out [B, Hq, T, d] and natural-log lse [B, Hq, T] of the queries from `first_query` on.

    `parts [E, G, d]` and `part_lses [E, G]` (base 2) are the partial results, `where` of this
    `shape [B, Hkv, T, parts]` the entry of each, -1 for none; without it a query's parts stand
    side by side. A query without any gets 0 and -inf.
    """
    batch, num_groups, num_queries, top_k = shape
    group_size, head_dim = parts.shape[1:]
    heads = triton.next_power_of_2(group_size) if heads is None else heads
    _combine[(num_queries, num_groups * triton.cdiv(group_size, heads), batch)](
        parts, part_lses, where, out, lse, first_query, num_queries, out.shape[2], num_groups,
        K=top_k, SLOTS=triton.next_power_of_2(top_k), G=group_size, HEADS=heads, D=head_dim,
        num_warps=1, num_stages=4,
    )  # fmt: skip
    return out, lse
