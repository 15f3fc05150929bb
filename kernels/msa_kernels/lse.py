"""Log-sum-exp of every query's scores, which turns each score into a softmax weight."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

from msa_kernels import launch
from msa_kernels.arguments import Heads, VisibleBlocks, heads

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Int32
    from torch import Tensor


@triton.jit
def visible_mask(blocks: VisibleBlocks, bh, t, key, T, BS: tl.constexpr):
    """Whether query t sees a key: not in its future and, if blocks are given, in one of them."""
    visible = (key <= t) & (t < T)
    if blocks.ptr is not None:
        at = (bh.to(tl.int64) * T + t) * blocks.nb + key // BS
        visible = visible & (tl.load(blocks.ptr + at, mask=visible, other=0) != 0)
    return visible


@triton.jit
def weights_from_lse(s, lse):
    """Softmax weights of base-2 scores; hidden scores, whose weight would overflow, give 1."""
    return tl.exp2(tl.minimum(s - lse, 0.0, propagate_nan=tl.PropagateNan.ALL))


@triton.jit
def base2_lse_kernel(
    q: Heads, k: Heads, blocks: VisibleBlocks, lse, T, scale,
    HKV: tl.constexpr, G: tl.constexpr, D: tl.constexpr, BS: tl.constexpr,
    ROWS: tl.constexpr, COLS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """ROWS queries of one head a program: a running maximum and a running sum over the keys."""
    # q [B, HKV * G, T, D], k [B, HKV, T, D], lse [B, HKV * G, T]
    tile = tl.num_programs(0) - 1 - tl.program_id(0)  # late queries have the most keys: first
    bh = tl.program_id(1).to(tl.int64)
    b = bh // (HKV * G)
    h = bh % (HKV * G)
    channel = tl.arange(0, D)
    t = tile * ROWS + tl.arange(0, ROWS)
    row_ok = t < T
    q_at = b * q.stride_b + h * q.stride_h + t.to(tl.int64) * q.stride_t
    q_tile = tl.load(q.ptr + q_at[:, None] + channel[None, :], mask=row_ok[:, None], other=0.0)
    k_ptr = k.ptr + b * k.stride_b + (h // G) * k.stride_h
    peak = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    for first in range(0, tl.minimum(T, (tile + 1) * ROWS), COLS):
        key = first + tl.arange(0, COLS)
        k_at = key.to(tl.int64)[:, None] * k.stride_t + channel[None, :]
        k_tile = tl.load(k_ptr + k_at, mask=key[:, None] < T, other=0.0)  # [COLS, D]
        s = tl.dot(q_tile, tl.trans(k_tile), input_precision=PRECISION) * scale  # [ROWS, COLS]
        visible = visible_mask(blocks, bh // G, t[:, None], key[None, :], T, BS)
        s = tl.where(visible, s, float("-inf"))
        new_peak = tl.maximum(peak, tl.max(s, 1))
        finite_peak = tl.where(new_peak == float("-inf"), 0.0, new_peak)
        total = total * tl.exp2(peak - finite_peak) + tl.sum(tl.exp2(s - finite_peak[:, None]), 1)
        peak = new_peak
    total = tl.where(row_ok, total, 1.0)
    tl.store(lse + bh * T + t, peak + tl.log2(total), mask=row_ok)


def visible_blocks(
    selection: Int32[Tensor, "B Hkv T k"] | None, length: int, block_size: int
) -> VisibleBlocks:
    """A byte for every query and block, from a selection; no bytes without one."""
    if selection is None:
        return VisibleBlocks(None, 0)
    nb = triton.cdiv(length, block_size) + 1  # the last for unused slots
    ids = selection.long().masked_fill(selection < 0, nb - 1)
    marks = torch.zeros(*selection.shape[:3], nb, dtype=torch.int8, device=selection.device)
    return VisibleBlocks(marks.scatter_(-1, ids, 1), nb)


def base2_lse(
    q: Float[Tensor, "B Hq T d"],
    k: Float[Tensor, "B Hkv T d"],
    blocks: VisibleBlocks,
    *,
    block_size: int,
    dtype: torch.dtype,
) -> Float32[Tensor, "B Hq T"]:
    """LSE in base 2 of causal scores q k / sqrt(d), over the blocks that each query may see.

    Float32 inputs are multiplied exactly if `dtype` is float32, and else as TF32.
    """
    batch, num_heads, length, dim = q.shape
    num_kv_heads = k.shape[1]
    lse = torch.empty(batch, num_heads, length, dtype=torch.float32, device=q.device)
    options = launch.options("lse", dtype)
    rows, cols = options.pop("rows"), options.pop("cols")
    base2_lse_kernel[(triton.cdiv(length, rows), batch * num_heads)](
        heads(q), heads(k), blocks, lse, length, dim**-0.5 * launch.LOG2E,
        HKV=num_kv_heads, G=num_heads // num_kv_heads, D=dim, BS=block_size, ROWS=rows, COLS=cols,
        PRECISION=launch.precision(dtype), **options,
    )  # fmt: skip
    return lse
