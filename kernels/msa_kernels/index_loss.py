"""KL distillation loss of the index branch, with its gradients; no T x S array.

Scores are computed again wherever they are needed: once for the LSE of every head, once query by
query for the loss and the gradient of the index queries, once key by key for that of the keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

from msa_kernels import contracts, launch
from msa_kernels.arguments import Heads, VisibleBlocks, heads
from msa_kernels.launch import LN2
from msa_kernels.lse import base2_lse, visible_blocks, visible_mask, weights_from_lse

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Int32
    from torch import Tensor


@triton.jit
def attention_target(
    q_ptr, stride_h, stride_t, k, lse_ptr, t, T, scale,
    G: tl.constexpr, D: tl.constexpr, BY_KEYS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Mean of the heads' weights [rows, keys], or [keys, rows] BY_KEYS; the future not masked."""
    ROWS: tl.constexpr = t.shape[0]
    KEYS: tl.constexpr = k.shape[0]
    p = tl.zeros([KEYS, ROWS] if BY_KEYS else [ROWS, KEYS], tl.float32)
    row = t.to(tl.int64)
    for h in tl.static_range(G):
        head = tl.full([], h, tl.int64)
        q_at = (head * stride_h + row * stride_t)[:, None] + tl.arange(0, D)[None, :]
        q = tl.load(q_ptr + q_at, mask=t[:, None] < T, other=0.0)  # [ROWS, D]
        lse = tl.load(lse_ptr + head * T + t, mask=t < T, other=0.0)  # [ROWS]
        if BY_KEYS:
            s = tl.dot(k, tl.trans(q), input_precision=PRECISION)  # [KEYS, ROWS]
            p += weights_from_lse(s * scale, lse[None, :])
        else:
            s = tl.dot(q, tl.trans(k), input_precision=PRECISION)  # [ROWS, KEYS]
            p += weights_from_lse(s * scale, lse[:, None])
    return p / G


@triton.jit
def index_kl_rows_kernel(
    index_q: Heads, index_k: Heads, q: Heads, k: Heads, blocks: VisibleBlocks, index_lse, lse,
    kl, grad_q, T, index_scale, scale,
    HKV: tl.constexpr, G: tl.constexpr, D: tl.constexpr, DI: tl.constexpr, BS: tl.constexpr,
    ROWS: tl.constexpr, COLS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Loss of ROWS queries of one KV head, and the gradient of their index queries.

    for each COLS keys:
        p = mean over heads of exp2(q k - lse); p_index = exp2(index_q index_k - index_lse)
        kl += sum(p (log2 p - log2 p_index)); grad_q += (p_index - p) index_k
    """
    # index_q [B, HKV, T, DI], index_k [B, 1, T, DI], q [B, HKV * G, T, D], k [B, HKV, T, D],
    # index_lse [B, HKV, T], lse [B, HKV * G, T]; kl [B, HKV, T], grad_q [B, HKV, T, DI]
    tile = tl.num_programs(0) - 1 - tl.program_id(0)
    bh = tl.program_id(1).to(tl.int64)
    b = bh // HKV
    g = bh % HKV
    channel = tl.arange(0, D)
    index_channel = tl.arange(0, DI)
    t = tile * ROWS + tl.arange(0, ROWS)
    row_ok = t < T
    row = t.to(tl.int64)
    at = b * index_q.stride_b + g * index_q.stride_h + row * index_q.stride_t
    index_q_tile = tl.load(
        index_q.ptr + at[:, None] + index_channel[None, :], mask=row_ok[:, None], other=0.0
    )  # [ROWS, DI]
    row_lse = tl.load(index_lse + bh * T + t, mask=row_ok, other=0.0)
    q_ptr = q.ptr + b * q.stride_b + g * G * q.stride_h
    k_ptr = k.ptr + b * k.stride_b + g * k.stride_h
    index_k_ptr = index_k.ptr + b * index_k.stride_b
    loss = tl.zeros([ROWS], tl.float32)
    grad = tl.zeros([ROWS, DI], tl.float32)
    for first in range(0, tl.minimum(T, (tile + 1) * ROWS), COLS):
        key = first + tl.arange(0, COLS)
        key_ok = key[:, None] < T
        col = key.to(tl.int64)[:, None]
        k_tile = tl.load(
            k_ptr + col * k.stride_t + channel[None, :], mask=key_ok, other=0.0
        )  # [COLS, D]
        index_k_tile = tl.load(
            index_k_ptr + col * index_k.stride_t + index_channel[None, :], mask=key_ok, other=0.0
        )  # [COLS, DI]
        p = attention_target(
            q_ptr, q.stride_h, q.stride_t, k_tile, lse + bh * G * T, t, T, scale,
            G, D, False, PRECISION,
        )  # fmt: skip
        visible = visible_mask(blocks, bh, t[:, None], key[None, :], T, BS)
        p = tl.where(visible, p, 0.0)
        s = tl.dot(index_q_tile, tl.trans(index_k_tile), input_precision=PRECISION)  # [ROWS, COLS]
        s *= index_scale
        ratio = tl.log2(tl.where(p != 0.0, p, 1.0)) - (s - row_lse[:, None])
        loss += tl.sum(tl.where(p != 0.0, p * ratio, 0.0), 1)
        error = tl.where(visible, weights_from_lse(s, row_lse[:, None]), 0.0) - p
        grad = tl.dot(error, index_k_tile, grad, input_precision=PRECISION)  # [ROWS, DI]
    out_row = bh * T + row
    tl.store(kl + out_row, loss * LN2, mask=row_ok)
    out_at = out_row[:, None] * DI + index_channel[None, :]
    tl.store(grad_q + out_at, grad, mask=row_ok[:, None])


@triton.jit
def index_kl_cols_kernel(
    index_q: Heads, index_k: Heads, q: Heads, k: Heads, blocks: VisibleBlocks, index_lse, lse,
    grad_k, T, index_scale, scale,
    HKV: tl.constexpr, G: tl.constexpr, D: tl.constexpr, DI: tl.constexpr, BS: tl.constexpr,
    ROWS: tl.constexpr, COLS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Gradient of COLS index keys through one KV head: the sum of (p_index - p) index_q."""
    # Inputs as index_kl_rows_kernel's; grad_k [B, HKV, T, DI]
    tile = tl.program_id(0)  # early keys are seen by the most queries: first
    bh = tl.program_id(1).to(tl.int64)
    b = bh // HKV
    g = bh % HKV
    channel = tl.arange(0, D)
    index_channel = tl.arange(0, DI)
    key = tile * COLS + tl.arange(0, COLS)
    key_ok = key[:, None] < T
    col = key.to(tl.int64)[:, None]
    k_at = b * k.stride_b + g * k.stride_h + col * k.stride_t
    k_tile = tl.load(k.ptr + k_at + channel[None, :], mask=key_ok, other=0.0)  # [COLS, D]
    index_k_at = b * index_k.stride_b + col * index_k.stride_t + index_channel[None, :]
    index_k_tile = tl.load(index_k.ptr + index_k_at, mask=key_ok, other=0.0)  # [COLS, DI]
    index_q_ptr = index_q.ptr + b * index_q.stride_b + g * index_q.stride_h
    q_ptr = q.ptr + b * q.stride_b + g * G * q.stride_h
    grad = tl.zeros([COLS, DI], tl.float32)
    for first in range(tile * COLS // ROWS * ROWS, T, ROWS):
        t = first + tl.arange(0, ROWS)
        row_ok = t < T
        at = (t.to(tl.int64) * index_q.stride_t)[:, None] + index_channel[None, :]
        index_q_tile = tl.load(index_q_ptr + at, mask=row_ok[:, None], other=0.0)  # [ROWS, DI]
        row_lse = tl.load(index_lse + bh * T + t, mask=row_ok, other=0.0)
        p = attention_target(
            q_ptr, q.stride_h, q.stride_t, k_tile, lse + bh * G * T, t, T, scale,
            G, D, True, PRECISION,
        )  # fmt: skip
        s = tl.dot(index_k_tile, tl.trans(index_q_tile), input_precision=PRECISION)  # [COLS, ROWS]
        p_index = weights_from_lse(s * index_scale, row_lse[None, :])
        visible = visible_mask(blocks, bh, t[None, :], key[:, None], T, BS)
        error = tl.where(visible, p_index - p, 0.0)
        grad = tl.dot(error, index_q_tile, grad, input_precision=PRECISION)  # [COLS, DI]
    out_at = (bh * T + col) * DI + index_channel[None, :]
    tl.store(grad_k + out_at, grad, mask=key_ok)


def index_kl(
    index_q: Float[Tensor, "B Hkv T di"],
    index_k: Float[Tensor, "B 1 T di"],
    q: Float[Tensor, "B Hq T d"],
    k: Float[Tensor, "B Hkv T d"],
    selection: Int32[Tensor, "B Hkv T k"] | None = None,
    *,
    block_size: int = 16,
) -> tuple[Float32[Tensor, ""], Float32[Tensor, "B Hkv T di"], Float32[Tensor, "B 1 T di"]]:
    """KL(p || p_index) in nats, and its gradients by index_q and index_k.

    The mean over sequences, KV heads and queries: p is each head's softmax of q with k, averaged
    over the heads of a KV head; p_index is that of index_q with index_k. Over all visible tokens,
    or those of the selected blocks, of which every row must hold one. Computes what
    `msa_learning.attention.index_loss.index_kl` does, and returns gradients itself: nothing joins
    an autograd graph. Raises ValueError on tensors that do not fit. Source: MSA paper, section 3.2.
    """
    contracts.check_index_kl(index_q, index_k, q, k, selection)
    batch, num_kv_heads, length, index_dim = index_q.shape
    num_heads, head_dim = q.shape[1], q.shape[3]
    index_q, index_k = index_q.detach().float(), index_k.detach().float()
    blocks = visible_blocks(selection, length, block_size)
    # The one index key head stands for every KV head's: no copy, a stride of 0.
    index_keys = index_k.expand(-1, num_kv_heads, -1, -1)
    index_lse = base2_lse(index_q, index_keys, blocks, block_size=block_size, dtype=q.dtype)
    lse = base2_lse(q, k, blocks, block_size=block_size, dtype=q.dtype)
    kl = torch.empty(batch, num_kv_heads, length, dtype=torch.float32, device=q.device)
    grad_q = torch.empty(*kl.shape, index_dim, dtype=torch.float32, device=q.device)
    grad_k = torch.empty_like(grad_q)
    options = launch.options("index_kl", q.dtype)
    rows, cols = options.pop("rows"), options.pop("cols")
    given = heads(index_q), heads(index_k), heads(q), heads(k), blocks, index_lse, lse
    sizes = length, index_dim**-0.5 * launch.LOG2E, head_dim**-0.5 * launch.LOG2E
    shared = {
        "HKV": num_kv_heads, "G": num_heads // num_kv_heads, "D": head_dim, "DI": index_dim,
        "BS": block_size, "PRECISION": launch.precision(q.dtype), **options,
    }  # fmt: skip
    grid = triton.cdiv(length, rows), batch * num_kv_heads
    index_kl_rows_kernel[grid](*given, kl, grad_q, *sizes, ROWS=rows, COLS=cols, **shared)
    # The accumulator is the large tile in both: here the keys'.
    index_kl_cols_kernel[grid](*given, grad_k, *sizes, ROWS=cols, COLS=rows, **shared)
    scale = index_dim**-0.5 / kl.numel()
    return kl.mean(), grad_q.mul_(scale), grad_k.sum(dim=1, keepdim=True).mul_(scale)
