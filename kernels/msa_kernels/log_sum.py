"""The log-sum of every query's scores, which turns each of them into a weight."""

import torch
import triton
import triton.language as tl

from msa_kernels import launch
from msa_kernels.sparse_prefill import LOG2E


@triton.jit
def seen(chosen_ptr, pair, t, key, T, NB, BS: tl.constexpr, CHOSEN: tl.constexpr):
    """Whether query t sees a key: not in its future and, if blocks were chosen, in one of them."""
    visible = (key <= t) & (t < T)
    if CHOSEN:
        at = (pair.to(tl.int64) * T + t) * NB + key // BS
        visible = visible & (tl.load(chosen_ptr + at, mask=visible, other=0) != 0)
    return visible


@triton.jit
def _log_sum(
    q_ptr, k_ptr, chosen_ptr, lse_ptr, T, NB, scale,
    stride_qb, stride_qh, stride_qt, stride_kb, stride_kh, stride_kt,
    HKV: tl.constexpr, G: tl.constexpr, D: tl.constexpr, BS: tl.constexpr, CHOSEN: tl.constexpr,
    ROWS: tl.constexpr, KEYS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    tile = tl.num_programs(0) - 1 - tl.program_id(0)  # late queries have the most keys: first
    head = tl.program_id(1)
    b = (head // (HKV * G)).to(tl.int64)
    h = head % (HKV * G)
    channel = tl.arange(0, D)
    t = tile * ROWS + tl.arange(0, ROWS)
    q_at = b * stride_qb + h * stride_qh + t.to(tl.int64) * stride_qt
    q = tl.load(q_ptr + q_at[:, None] + channel[None, :], mask=t[:, None] < T, other=0.0)
    k_ptr += b * stride_kb + (h // G) * stride_kh
    peak = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    for first in range(0, tl.minimum(T, (tile + 1) * ROWS), KEYS):
        key = first + tl.arange(0, KEYS)
        k_at = key.to(tl.int64)[:, None] * stride_kt + channel[None, :]
        k = tl.load(k_ptr + k_at, mask=key[:, None] < T, other=0.0)
        s = tl.dot(q, tl.trans(k), input_precision=PRECISION) * scale
        visible = seen(chosen_ptr, head // G, t[:, None], key[None, :], T, NB, BS, CHOSEN)
        s = tl.where(visible, s, float("-inf"))
        new_peak = tl.maximum(peak, tl.max(s, 1))
        safe = tl.where(new_peak == float("-inf"), 0.0, new_peak)
        total = total * tl.exp2(peak - safe) + tl.sum(tl.exp2(s - safe[:, None]), 1)
        peak = new_peak
    tl.store(lse_ptr + head.to(tl.int64) * T + t, peak + tl.log2(total), mask=t < T)


def log_sum(q, k, chosen, *, block_size, dtype):
    """Log-sums [B, Hq, T] float32, base 2, of causal scores q k / sqrt(d); T queries and keys.

    `chosen` int8 [B, Hkv, T, nb], if not None, is not 0 at the blocks a query may see.
    q [B, Hq, T, d] and k [B, Hkv, T, d] may have any strides but in the last dimension. Float32
    lanes are multiplied exactly if `dtype` is float32, and else as TF32.
    """
    batch, num_heads, length, dim = q.shape
    lse = torch.empty(batch, num_heads, length, dtype=torch.float32, device=q.device)
    options = launch.options("log_sum", dim, block_size, dtype)
    rows, keys = options.pop("rows"), options.pop("keys")
    _log_sum[(triton.cdiv(length, rows), batch * num_heads)](
        q, k, chosen, lse, length, 0 if chosen is None else chosen.shape[3], dim**-0.5 * LOG2E,
        *q.stride()[:3], *k.stride()[:3],
        HKV=k.shape[1], G=num_heads // k.shape[1], D=dim, BS=block_size,
        CHOSEN=chosen is not None, ROWS=rows, KEYS=keys,
        PRECISION=launch.precision(dtype), **options,
    )  # fmt: skip
    return lse
