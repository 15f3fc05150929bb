"""Combine: partial outputs of one query merged by their LSEs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import triton
import triton.language as tl

from msa_kernels.arguments import Outputs, Partials
from msa_kernels.launch import LN2

if TYPE_CHECKING:
    from jaxtyping import Int32
    from torch import Tensor


@triton.jit
def combine_kernel(
    partials: Partials, entry_of_slot, outputs: Outputs, first_query, T, HKV,
    K: tl.constexpr, SLOTS: tl.constexpr, G: tl.constexpr, HEADS: tl.constexpr, D: tl.constexpr,
):  # fmt: skip
    """One query and HEADS heads of one KV head a program: partial results weighted by 2^LSE."""
    # partials.out [E, G, D], partials.lse [E, G]; entry_of_slot int32 [B, HKV, T, K] or None;
    # outputs.out [B, HKV * G, num_queries, D], outputs.lse [B, HKV * G, num_queries]
    t = tl.program_id(0)
    chunks = (G + HEADS - 1) // HEADS
    g = tl.program_id(1) // chunks
    b = tl.program_id(2).to(tl.int64)
    head = tl.program_id(1) % chunks * HEADS + tl.arange(0, HEADS)
    head_ok = head < G
    channel = tl.arange(0, D)
    rank = tl.arange(0, SLOTS)
    row = (b * HKV + g) * T + t
    if entry_of_slot is None:  # the entries of a query stand side by side
        entry = tl.where(rank < K, row * K + rank, -1)
    else:
        entry = tl.load(entry_of_slot + row * K + rank, mask=rank < K, other=-1).to(tl.int64)
    at = entry[:, None] * G + head[None, :]
    slot_ok = (entry >= 0)[:, None] & head_ok[None, :]
    part_lse = tl.load(partials.lse + at, mask=slot_ok, other=float("-inf"))  # [SLOTS, HEADS]
    peak = tl.max(part_lse, 0)
    finite_peak = tl.where(peak == float("-inf"), 0.0, peak)
    share = tl.exp2(part_lse - finite_peak[None, :])
    total = tl.sum(share, 0)
    safe_total = tl.where(total == 0.0, 1.0, total)
    share /= safe_total[None, :]
    out = tl.zeros([HEADS, D], tl.float32)
    for i in range(0, K):
        one = row * K + i
        if entry_of_slot is not None:
            one = tl.load(entry_of_slot + one).to(tl.int64)
        part_row = one * G + head
        part_ok = head_ok & (part_row >= 0)  # those of entry -1 are negative
        part_at = part_row[:, None] * D + channel[None, :]
        part = tl.load(partials.out + part_at, mask=part_ok[:, None], other=0.0)  # [HEADS, D]
        weight = tl.sum(tl.where(rank[:, None] == i, share, 0.0), 0)
        out += part.to(tl.float32) * weight[:, None]
    out_row = ((b * HKV + g) * G + head) * outputs.num_queries + first_query + t
    tl.store(
        outputs.out + out_row[:, None] * D + channel[None, :],
        out.to(outputs.out.dtype.element_ty),
        mask=head_ok[:, None],
    )
    lse = tl.where(total == 0.0, peak, (peak + tl.log2(safe_total)) * LN2)
    tl.store(outputs.lse + out_row, lse, mask=head_ok)


def combine(
    partials: Partials,
    outputs: Outputs,
    *,
    shape: tuple[int, int, int, int],
    entry_of_slot: Int32[Tensor, "B Hkv T k"] | None = None,
    first_query: int = 0,
    heads: int | None = None,
) -> None:
    """Write rows `first_query` to `first_query + T` of the outputs.

    `entry_of_slot` of this `shape (B, Hkv, T, k)` names the partial result of each slot, -1 for
    none; without it a query's k entries stand side by side. A query without any gets output 0 and
    LSE -inf. `heads`, a power of two, share one program (all of a KV head's, if not given).
    """
    batch, num_kv_heads, num_queries, top_k = shape
    group_size, head_dim = partials.out.shape[1:]
    heads = triton.next_power_of_2(group_size) if heads is None else heads
    combine_kernel[(num_queries, num_kv_heads * triton.cdiv(group_size, heads), batch)](
        partials, entry_of_slot, outputs, first_query, num_queries, num_kv_heads,
        K=top_k, SLOTS=triton.next_power_of_2(top_k), G=group_size, HEADS=heads, D=head_dim,
        num_warps=1, num_stages=4,
    )  # fmt: skip
