"""The main branch in PyTorch: exact attention on the selected blocks, with gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.autograd.function import once_differentiable

from msa_learning.attention import contracts
from msa_learning.attention.select import CHUNK_QUERIES, query_chunks, readable_tokens

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor


def attention(
    q: Float[Tensor, "B Hq T d"],
    k: Float[Tensor, "B Hkv S d"],
    v: Float[Tensor, "B Hkv S d"],
    selection: Int[Tensor, "B Hkv T k"],
    *,
    block_size: int,
    scale: float | None = None,
) -> Float[Tensor, "B Hq T d"]:
    """Output of exact attention over the visible tokens of the selected blocks.

    Gradients reach q, k and v; the selection has none. A row that selects nothing has output 0.
    CHUNK_QUERIES rows at a time, scores in float32 at least, masks and weights made again in the
    backward pass, so memory grows with T and never with T x S. `scale` is d**-0.5 unless given.
    """
    contracts.check_query_key(q, k)
    contracts.check_tensors("B Hkv S d", k=k, v=v)
    contracts.check_shape("v", v, k.shape, "B Hkv S d")
    contracts.check_selection(selection, q, k, block_size)
    scale = q.shape[3] ** -0.5 if scale is None else scale
    return BlockAttention.apply(q, k, v, selection, block_size, scale)


class BlockAttention(torch.autograd.Function):
    """`attention`, with the gradient written by hand: nothing T x S is kept for it."""

    @staticmethod
    def forward(ctx, q, k, v, selection, block_size, scale):
        parts = []
        with torch.autocast(q.device.type, enabled=False):
            for rows, seen in query_chunks(q.shape[2], k.shape[2], CHUNK_QUERIES):
                lanes = q[:, :, rows], k[:, :, :seen], selection[:, :, rows]
                weights = attention_weights(*lanes, block_size, scale)
                parts.append(by_head(weights.to(v.dtype) @ v[:, :, :seen], q.shape[1]))
        out = torch.cat(parts, dim=2).masked_fill(empty_rows(selection, q.shape[1]), 0)
        ctx.save_for_backward(q, k, v, selection, out)
        ctx.settings = block_size, scale
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_out):
        q, k, v, selection, out = ctx.saved_tensors
        groups, dtype = k.shape[1], torch.promote_types(q.dtype, torch.float32)
        grad_out = grad_out.masked_fill(empty_rows(selection, q.shape[1]), 0).to(dtype)
        # The softmax's share of the gradient: one number a row.
        shares = (grad_out * out).sum(dim=-1, keepdim=True)
        grad_q, (grad_k, grad_v) = [], (torch.zeros_like(x, dtype=dtype) for x in (k, v))
        with torch.autocast(q.device.type, enabled=False):
            for rows, seen in query_chunks(q.shape[2], k.shape[2], CHUNK_QUERIES):
                keys, values = k[:, :, :seen], v[:, :, :seen].to(dtype)
                lanes = q[:, :, rows], keys, selection[:, :, rows]
                weights = attention_weights(*lanes, *ctx.settings)
                grad = by_group(grad_out[:, :, rows], groups)
                grad_v[:, :, :seen] += weights.mT @ grad
                grad_scores = (grad @ values.mT).sub_(by_group(shares[:, :, rows], groups))
                grad_scores.mul_(weights)
                grad_q.append(by_head(grad_scores @ keys.to(dtype), q.shape[1]))
                grad_k[:, :, :seen] += grad_scores.mT @ by_group(q[:, :, rows].to(dtype), groups)
        grad_q, scale = torch.cat(grad_q, dim=2), ctx.settings[1]
        grads = (grad_q * scale).to(q.dtype), (grad_k * scale).to(k.dtype), grad_v.to(v.dtype)
        return *grads, None, None, None


def attention_weights(q, k, selection, block_size: int, scale: float):
    """Weights [B,Hkv,G*T,S] of queries that stand at the end of the keys.

    A row that selects nothing has weights, which mean nothing: its output is set to 0 afterwards.
    """
    dtype, num_queries = torch.promote_types(q.dtype, torch.float32), q.shape[2]
    unread = ~readable_tokens(selection, k.shape[2], block_size)
    scores = by_group(q.to(dtype) * scale, k.shape[1]) @ k.to(dtype).mT
    by_row = scores.unflatten(2, (-1, num_queries))
    by_row.masked_fill_(unread[:, :, None], torch.finfo(dtype).min)
    return scores.softmax(dim=-1)


def by_group(x: Float[Tensor, "B Hq T d"], groups: int) -> Float[Tensor, "B Hkv G*T d"]:
    """The rows of a group's heads end to end, to meet its keys in one product."""
    return x.unflatten(1, (groups, -1)).flatten(2, 3)


def by_head(x: Float[Tensor, "B Hkv G*T d"], num_heads: int) -> Float[Tensor, "B Hq T d"]:
    """The heads apart again."""
    return x.unflatten(2, (num_heads // x.shape[1], -1)).flatten(1, 2)


def empty_rows(selection: Int[Tensor, "B Hkv T k"], num_heads: int) -> Bool[Tensor, "B Hq T 1"]:
    """True for the rows of every head that selected nothing."""
    empty = (selection < 0).all(dim=-1, keepdim=True)
    return empty.repeat_interleave(num_heads // selection.shape[1], dim=1)
