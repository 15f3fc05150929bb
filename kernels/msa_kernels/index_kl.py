"""What the index branch is taught: the KL loss and its gradients, with nothing T x S in memory.

Scores are made anew wherever they are needed: once for the log-sum of every head, once query by
query for the loss and the gradient of the index queries, once key by key for that of the keys.
"""

import torch
import triton
import triton.language as tl

from msa_kernels import checks, launch
from msa_kernels.log_sum import log_sum, seen
from msa_kernels.query_tile import LN2
from msa_kernels.sparse_prefill import LOG2E


@triton.jit
def _teacher(
    q_ptr, k, lse_ptr, t, T, scale, stride_qh, stride_qt,
    G: tl.constexpr, D: tl.constexpr, BY_KEYS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Mean of the heads' weights [rows, keys], or [keys, rows] BY_KEYS; the future not masked."""
    ROWS: tl.constexpr = t.shape[0]
    KEYS: tl.constexpr = k.shape[0]
    p = tl.zeros([KEYS, ROWS] if BY_KEYS else [ROWS, KEYS], tl.float32)
    for h in tl.static_range(G):
        q_at = (h * stride_qh + t.to(tl.int64) * stride_qt)[:, None] + tl.arange(0, D)[None, :]
        q = tl.load(q_ptr + q_at, mask=t[:, None] < T, other=0.0)
        lse = tl.load(lse_ptr + h * T + t, mask=t < T, other=0.0)
        if BY_KEYS:
            s = tl.dot(k, tl.trans(q), input_precision=PRECISION)
            p += tl.exp2(s * scale - lse[None, :])
        else:
            s = tl.dot(q, tl.trans(k), input_precision=PRECISION)
            p += tl.exp2(s * scale - lse[:, None])
    return p / G


@triton.jit
def _by_queries(
    index_q_ptr, index_k_ptr, q_ptr, k_ptr, chosen_ptr, index_lse_ptr, lse_ptr, kl_ptr, grad_ptr,
    T, NB, index_scale, scale,
    stride_iqb, stride_iqh, stride_iqt, stride_ikb, stride_ikt,
    stride_qb, stride_qh, stride_qt, stride_kb, stride_kh, stride_kt,
    HKV: tl.constexpr, G: tl.constexpr, D: tl.constexpr, DI: tl.constexpr, BS: tl.constexpr,
    CHOSEN: tl.constexpr, ROWS: tl.constexpr, KEYS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    tile = tl.num_programs(0) - 1 - tl.program_id(0)
    pair = tl.program_id(1)
    b = (pair // HKV).to(tl.int64)
    g = pair % HKV
    channel = tl.arange(0, D)
    index_channel = tl.arange(0, DI)
    t = tile * ROWS + tl.arange(0, ROWS)
    inside = t < T
    row = t.to(tl.int64)
    at = b * stride_iqb + g * stride_iqh + row * stride_iqt
    index_q = tl.load(
        index_q_ptr + at[:, None] + index_channel[None, :], mask=inside[:, None], other=0.0
    )
    index_lse = tl.load(index_lse_ptr + pair.to(tl.int64) * T + t, mask=inside, other=0.0)
    q_ptr += b * stride_qb + g * G * stride_qh
    k_ptr += b * stride_kb + g * stride_kh
    lse_ptr += pair.to(tl.int64) * G * T
    index_k_ptr += b * stride_ikb
    kl = tl.zeros([ROWS], tl.float32)
    grad = tl.zeros([ROWS, DI], tl.float32)
    for first in range(0, tl.minimum(T, (tile + 1) * ROWS), KEYS):
        key = first + tl.arange(0, KEYS)
        column = key.to(tl.int64)[:, None]
        exists = key[:, None] < T
        k = tl.load(k_ptr + column * stride_kt + channel[None, :], mask=exists, other=0.0)
        index_k = tl.load(
            index_k_ptr + column * stride_ikt + index_channel[None, :], mask=exists, other=0.0
        )
        p = _teacher(
            q_ptr, k, lse_ptr, t, T, scale, stride_qh, stride_qt, G, D, False, PRECISION
        )  # fmt: skip
        visible = seen(chosen_ptr, pair, t[:, None], key[None, :], T, NB, BS, CHOSEN)
        p = tl.where(visible, p, 0.0)
        s = tl.dot(index_q, tl.trans(index_k), input_precision=PRECISION)
        log_p_index = s * index_scale - index_lse[:, None]
        ratio = tl.log2(tl.where(p > 0.0, p, 1.0)) - log_p_index
        kl += tl.sum(tl.where(p > 0.0, p * ratio, 0.0), 1)
        error = tl.where(visible, tl.exp2(log_p_index), 0.0) - p
        grad = tl.dot(error, index_k, grad, input_precision=PRECISION)
    out = pair.to(tl.int64) * T + row
    tl.store(kl_ptr + out, kl * LN2, mask=inside)
    tl.store(grad_ptr + out[:, None] * DI + index_channel[None, :], grad, mask=inside[:, None])


@triton.jit
def _by_keys(
    index_q_ptr, index_k_ptr, q_ptr, k_ptr, chosen_ptr, index_lse_ptr, lse_ptr, grad_ptr,
    T, NB, index_scale, scale,
    stride_iqb, stride_iqh, stride_iqt, stride_ikb, stride_ikt,
    stride_qb, stride_qh, stride_qt, stride_kb, stride_kh, stride_kt,
    HKV: tl.constexpr, G: tl.constexpr, D: tl.constexpr, DI: tl.constexpr, BS: tl.constexpr,
    CHOSEN: tl.constexpr, ROWS: tl.constexpr, KEYS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    tile = tl.program_id(0)  # early keys are seen by the most queries: first
    pair = tl.program_id(1)
    b = (pair // HKV).to(tl.int64)
    g = pair % HKV
    channel = tl.arange(0, D)
    index_channel = tl.arange(0, DI)
    key = tile * KEYS + tl.arange(0, KEYS)
    column = key.to(tl.int64)[:, None]
    exists = key[:, None] < T
    k_at = b * stride_kb + g * stride_kh + column * stride_kt
    k = tl.load(k_ptr + k_at + channel[None, :], mask=exists, other=0.0)
    index_k_at = b * stride_ikb + column * stride_ikt
    index_k = tl.load(index_k_ptr + index_k_at + index_channel[None, :], mask=exists, other=0.0)
    index_q_ptr += b * stride_iqb + g * stride_iqh
    index_lse_ptr += pair.to(tl.int64) * T
    q_ptr += b * stride_qb + g * G * stride_qh
    lse_ptr += pair.to(tl.int64) * G * T
    grad = tl.zeros([KEYS, DI], tl.float32)
    for first in range(tile * KEYS // ROWS * ROWS, T, ROWS):
        t = first + tl.arange(0, ROWS)
        at = (t.to(tl.int64) * stride_iqt)[:, None] + index_channel[None, :]
        index_q = tl.load(index_q_ptr + at, mask=t[:, None] < T, other=0.0)
        index_lse = tl.load(index_lse_ptr + t, mask=t < T, other=0.0)
        p = _teacher(
            q_ptr, k, lse_ptr, t, T, scale, stride_qh, stride_qt, G, D, True, PRECISION
        )  # fmt: skip
        s = tl.dot(index_k, tl.trans(index_q), input_precision=PRECISION)
        visible = seen(chosen_ptr, pair, t[None, :], key[:, None], T, NB, BS, CHOSEN)
        error = tl.where(visible, tl.exp2(s * index_scale - index_lse[None, :]) - p, 0.0)
        grad = tl.dot(error, index_q, grad, input_precision=PRECISION)
    out = pair.to(tl.int64) * T + column
    tl.store(grad_ptr + out * DI + index_channel[None, :], grad, mask=exists)


def index_kl(index_q, index_k, q, k, selection=None, *, block_size=16):
    """The index's loss, a float32 scalar, and its gradients by index_q and index_k, float32.

    KL(p || p_idx) in nats, averaged over sequences, groups and queries: p is each head's softmax of
    q [B, Hq, T, d] with k [B, Hkv, T, d], averaged over its group; p_idx is that of
    index_q [B, Hkv, T, di] with index_k [B, 1, T, di]. Over all visible tokens, or those of the
    blocks in `selection` int32 [B, Hkv, T, k], of which every row must hold one. As
    `msa_learning.attention.index_loss.index_kl`. Raises ValueError on tensors that do not fit.
    Source: MSA paper, section 3.2.
    """
    checks.check_lesson(index_q, index_k, q, k, selection)
    batch, groups, length, index_dim = index_q.shape
    num_heads, head_dim = q.shape[1], q.shape[3]
    index_q, index_k = index_q.float(), index_k.float()
    chosen, num_blocks = None, 0
    if selection is not None:
        num_blocks = triton.cdiv(length, block_size) + 1  # the last for unused slots
        ids = selection.long().masked_fill(selection < 0, num_blocks - 1)
        shape = (batch, groups, length, num_blocks)
        chosen = torch.zeros(shape, dtype=torch.int8, device=q.device).scatter_(-1, ids, 1)
    # The index's one key head stands for every group's: no copy, a stride of 0.
    index_keys = index_k.expand(-1, groups, -1, -1)
    index_lse = log_sum(index_q, index_keys, chosen, block_size=block_size, dtype=q.dtype)
    lse = log_sum(q, k, chosen, block_size=block_size, dtype=q.dtype)
    kl = torch.empty(batch, groups, length, dtype=torch.float32, device=q.device)
    grad_q = torch.empty(batch, groups, length, index_dim, dtype=torch.float32, device=q.device)
    grad_k = torch.empty_like(grad_q)
    options = launch.options("index_kl", head_dim, block_size, q.dtype)
    mine, others = options.pop("mine"), options.pop("others")
    lanes = index_q, index_k, q, k, chosen, index_lse, lse
    numbers = length, num_blocks, index_dim**-0.5 * LOG2E, head_dim**-0.5 * LOG2E
    strides = *index_q.stride()[:3], index_k.stride(0), index_k.stride(2)
    strides += *q.stride()[:3], *k.stride()[:3]
    same = {
        "HKV": groups, "G": num_heads // groups, "D": head_dim, "DI": index_dim, "BS": block_size,
        "CHOSEN": chosen is not None, "PRECISION": launch.precision(q.dtype), **options,
    }  # fmt: skip
    grid = triton.cdiv(length, mine), batch * groups
    _by_queries[grid](*lanes, kl, grad_q, *numbers, *strides, ROWS=mine, KEYS=others, **same)
    _by_keys[grid](*lanes, grad_k, *numbers, *strides, ROWS=others, KEYS=mine, **same)
    rows = index_dim**-0.5 / (batch * groups * length)
    return kl.mean(), grad_q.mul_(rows), grad_k.sum(dim=1, keepdim=True).mul_(rows)
