"""Main branch of a decode step: selected blocks split over programs, merged by LSE afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import triton
import triton.language as tl

from msa_kernels import launch
from msa_kernels.arguments import Heads, Pages, PageTable, Partials, heads

if TYPE_CHECKING:
    from jaxtyping import Float, Int32
    from torch import Tensor

    from msa_kernels.cache import PagedCache


@triton.jit
def decode_split_kernel(
    q: Heads, k_pages: Pages, v_pages: Pages, table: PageTable, selection, partials: Partials,
    scale,
    HKV: tl.constexpr, G: tl.constexpr, ROWS: tl.constexpr, D: tl.constexpr, BS: tl.constexpr,
    K: tl.constexpr, SPLITS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """All heads of one KV head over every SPLITS-th of its selected blocks: a running softmax."""
    # q [B, HKV * G, 1, D], k_pages and v_pages [P, HKV, BS, D], table.pages int32 [B, max_pages],
    # selection int32 [B, HKV, 1, K]; partials.out [B * HKV * SPLITS, G, D]
    split = tl.program_id(0)
    g = tl.program_id(1).to(tl.int64)
    b = tl.program_id(2).to(tl.int64)
    row = tl.arange(0, ROWS)
    channel = tl.arange(0, D)
    token = tl.arange(0, BS)
    bh = b * HKV + g
    row_ok = row < G
    q_at = b * q.stride_b + (g * G + row[:, None]) * q.stride_h + channel[None, :]
    q_tile = tl.load(q.ptr + q_at, mask=row_ok[:, None], other=0.0)  # [ROWS, D]
    length = tl.load(table.lengths + b)
    k_at = g * k_pages.stride_h + token.to(tl.int64)[:, None] * k_pages.stride_t + channel[None, :]
    v_at = g * v_pages.stride_h + token.to(tl.int64)[:, None] * v_pages.stride_t + channel[None, :]
    peak = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    out = tl.zeros([ROWS, D], tl.float32)
    for rank in range(split, K, SPLITS):
        block = tl.load(selection + bh * K + rank)
        if block >= 0:
            page = tl.load(table.pages + b * table.stride_b + block).to(tl.int64)
            key_ok = block * BS + token < length
            k = tl.load(
                k_pages.ptr + page * k_pages.stride_p + k_at, mask=key_ok[:, None], other=0.0
            )  # [BS, D]
            v = tl.load(
                v_pages.ptr + page * v_pages.stride_p + v_at, mask=key_ok[:, None], other=0.0
            )  # [BS, D]
            s = tl.dot(q_tile, tl.trans(k), input_precision=PRECISION) * scale  # [ROWS, BS]
            s = tl.where(key_ok[None, :], s, float("-inf"))
            new_peak = tl.maximum(peak, tl.max(s, 1))
            p = tl.exp2(s - new_peak[:, None])
            rescale = tl.exp2(peak - new_peak)
            total = total * rescale + tl.sum(p, 1)
            out = out * rescale[:, None]
            out += tl.dot(p.to(v.dtype), v, input_precision=PRECISION)  # [ROWS, D]
            peak = new_peak
    at = (bh * SPLITS + split) * G + row
    safe_total = tl.where(total == 0.0, 1.0, total)
    out = out / safe_total[:, None]
    tl.store(partials.out + at[:, None] * D + channel[None, :], out, mask=row_ok[:, None])
    tl.store(partials.lse + at, peak + tl.log2(safe_total), mask=row_ok)


def attend(
    q: Float[Tensor, "B Hq 1 d"],
    cache: PagedCache,
    selection: Int32[Tensor, "B Hkv 1 k"],
    *,
    splits: int,
    partials: Partials,
) -> None:
    """Write partial results, `splits` of each sequence and KV head side by side, in float32.

    `partials.out [B * Hkv * splits, G, d]`. A split without blocks writes 0 and -inf. Source: MSA
    paper, Eq. 8.
    """
    batch, num_heads, _, head_dim = q.shape
    num_kv_heads, top_k = selection.shape[1], selection.shape[3]
    group_size = num_heads // num_kv_heads
    decode_split_kernel[(splits, num_kv_heads, batch)](
        heads(q), Pages(cache.k_pages, *cache.k_pages.stride()[:3]),
        Pages(cache.v_pages, *cache.v_pages.stride()[:3]), cache.page_table(), selection, partials,
        head_dim**-0.5 * launch.LOG2E,
        HKV=num_kv_heads, G=group_size, ROWS=max(16, triton.next_power_of_2(group_size)),
        D=head_dim, BS=cache.block_size, K=top_k, SPLITS=splits,
        PRECISION=launch.precision(q.dtype), **launch.options("decode_split", q.dtype),
    )  # fmt: skip
