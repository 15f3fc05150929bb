"""Main branch of a decode step: split over the selected blocks, merged by LSE."""

import triton
import triton.language as tl

from msa_kernels import launch
from msa_kernels.sparse_prefill import LOG2E


@triton.jit
def _attend(
    q_ptr, k_pages_ptr, v_pages_ptr, table_ptr, length_ptr, selection_ptr, part_ptr, part_lse_ptr,
    max_pages, scale,
    HKV: tl.constexpr, G: tl.constexpr, ROWS: tl.constexpr, D: tl.constexpr, BS: tl.constexpr,
    K: tl.constexpr, SPLITS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    split = tl.program_id(0)
    g = tl.program_id(1)
    b = tl.program_id(2)
    row = tl.arange(0, ROWS)
    channel = tl.arange(0, D)
    token = tl.arange(0, BS)
    pair = b * HKV + g
    live = row < G
    q_at = (pair * G + row[:, None]) * D + channel[None, :]
    q = tl.load(q_ptr + q_at, mask=live[:, None], other=0.0)
    length = tl.load(length_ptr + b)
    peak = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    out = tl.zeros([ROWS, D], tl.float32)
    for rank in range(split, K, SPLITS):
        block = tl.load(selection_ptr + pair * K + rank)
        if block >= 0:
            page = tl.load(table_ptr + b * max_pages + block).to(tl.int64)
            kv_at = ((page * HKV + g) * BS + token[:, None]) * D + channel[None, :]
            held = block * BS + token < length
            k = tl.load(k_pages_ptr + kv_at, mask=held[:, None], other=0.0)
            v = tl.load(v_pages_ptr + kv_at, mask=held[:, None], other=0.0)
            s = tl.dot(q, tl.trans(k), input_precision=PRECISION) * scale  # [ROWS, BS]
            s = tl.where(held[None, :], s, float("-inf"))
            new_peak = tl.maximum(peak, tl.max(s, 1))
            p = tl.exp2(s - new_peak[:, None])
            rescale = tl.exp2(peak - new_peak)
            total = total * rescale + tl.sum(p, 1)
            out = out * rescale[:, None]
            out += tl.dot(p.to(v.dtype), v, input_precision=PRECISION)
            peak = new_peak
    at = (pair * SPLITS + split) * G + row
    safe = tl.where(total == 0.0, 1.0, total)
    out = out / safe[:, None]
    tl.store(part_ptr + at[:, None] * D + channel[None, :], out, mask=live[:, None])
    tl.store(part_lse_ptr + at, peak + tl.log2(safe), mask=live)


def attend(q, cache, selection, *, splits, parts, part_lses):
    """Write partial outputs [B*Hkv*splits, G, d] and LSEs (base 2) into float32 buffers.

    A split without blocks writes 0 and -inf. Source: MSA paper, Eq. 8.
    """
    batch, num_heads, _, head_dim = q.shape
    num_groups, top_k = selection.shape[1], selection.shape[3]
    group_size = num_heads // num_groups
    _attend[(splits, num_groups, batch)](
        q, cache.k_pages, cache.v_pages, cache.block_table, cache.lengths, selection,
        parts, part_lses, cache.block_table.shape[1], head_dim**-0.5 * LOG2E,
        HKV=num_groups, G=group_size, ROWS=max(16, triton.next_power_of_2(group_size)), D=head_dim,
        BS=cache.block_size, K=top_k, SPLITS=splits, PRECISION=launch.precision(q.dtype),
        **launch.options("sparse_decode", head_dim, cache.block_size, q.dtype),
    )  # fmt: skip
