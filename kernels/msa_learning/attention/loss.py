"""The loss that teaches the index: the KL divergence of its softmax from the heads' attention."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.autograd.function import once_differentiable

from msa_learning.attention import contracts
from msa_learning.attention.select import (
    CHUNK_QUERIES,
    query_chunks,
    readable_tokens,
    visible_tokens,
)
from msa_ref.checks import check_sizes

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor


def index_kl(
    index_q: Float[Tensor, "B Hkv T di"],
    index_k: Float[Tensor, "B 1 S di"],
    q: Float[Tensor, "B Hq T d"],
    k: Float[Tensor, "B Hkv S d"],
    selection: Int[Tensor, "B Hkv T k"] | None = None,
    *,
    block_size: int,
    scale: float | None = None,
    index_scale: float | None = None,
    chunk: int = CHUNK_QUERIES,
) -> Float[Tensor, ""]:
    """KL(p || p_idx), in nats, averaged over sequences, groups and queries.

    Over the support, which is the visible tokens of the selected blocks (all visible tokens
    without a selection: the warm-up), p_idx is the softmax of the index scores, and p that of
    each head's scores, averaged over the group's heads. The gradient reaches index_q and index_k
    alone. The scales are d**-0.5 and di**-0.5 unless given. `chunk` queries are handled at a
    time, so memory grows with S and never with T x S. Raises ValueError on tensors that do not
    fit and on a row whose support is empty. Source: MSA paper, section 3.2.
    """
    contracts.check_index(index_q, index_k)
    contracts.check_query_key(q, k)
    contracts.check_tensors("B H T d", index_q=index_q, q=q)
    check_sizes(block_size=block_size, chunk=chunk)
    rows = (q.shape[0], k.shape[1], q.shape[2])
    contracts.check_shape("index_q", index_q, (*rows, index_q.shape[3]), "B Hkv T di")
    contracts.check_shape("index_k", index_k, (rows[0], 1, *index_k.shape[2:]), "B 1 S di")
    if index_k.shape[2] != k.shape[2]:
        raise ValueError(f"index_k: got {index_k.shape[2]} keys, takes k's {k.shape[2]}")
    if selection is not None:
        contracts.check_selection(selection, q, k, block_size)
        contracts.check_support(selection)
    scale = q.shape[3] ** -0.5 if scale is None else scale
    index_scale = index_q.shape[3] ** -0.5 if index_scale is None else index_scale
    return IndexKL.apply(
        index_q, index_k, q.detach(), k.detach(), selection, block_size, scale, index_scale, chunk
    )


class IndexKL(torch.autograd.Function):
    """`index_kl`, with the gradient written by hand and made while the rows are at hand.

    On the index's logits it is (p_idx - p) / rows. Both factors exist in the forward pass, so the
    gradients of index_q and index_k, which are small, are kept instead of anything T x S.
    """

    @staticmethod
    def forward(ctx, index_q, index_k, q, k, selection, block_size, scale, index_scale, chunk):
        learns = any(ctx.needs_input_grad)
        dtype = torch.promote_types(index_q.dtype, torch.float32)
        total = torch.zeros((), dtype=dtype, device=q.device)
        grad_q = torch.zeros_like(index_q, dtype=dtype)
        grad_k = torch.zeros_like(index_k, dtype=dtype)
        num_rows = index_q.shape[:3].numel()
        for rows, seen in query_chunks(q.shape[2], k.shape[2], chunk):
            if selection is None:
                support = visible_tokens(rows.stop - rows.start, seen, q.device)
            else:
                support = readable_tokens(selection[:, :, rows], seen, block_size)
            with torch.autocast(q.device.type, enabled=False):
                p = teacher(q[:, :, rows].to(dtype), k[:, :, :seen].to(dtype), support, scale)
                query, keys = index_q[:, :, rows].to(dtype), index_k[:, :, :seen].to(dtype)
                log_p_idx = log_softmax(query @ keys.mT * index_scale, support)
                total += (torch.xlogy(p, p) - p * log_p_idx.masked_fill(~support, 0)).sum()
                if learns:
                    grad_logits = (log_p_idx.exp() - p) * (index_scale / num_rows)
                    grad_q[:, :, rows] = grad_logits @ keys
                    grad_k[:, :, :seen] += (grad_logits.mT @ query).sum(dim=1, keepdim=True)
        ctx.save_for_backward(grad_q.to(index_q.dtype), grad_k.to(index_k.dtype))
        return total / num_rows

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_loss):
        grad_q, grad_k = ctx.saved_tensors
        return grad_loss * grad_q, grad_loss * grad_k, *[None] * 7


def teacher(
    q: Float[Tensor, "B Hq T d"],
    k: Float[Tensor, "B Hkv S d"],
    support: Bool[Tensor, "B Hkv T S"] | Bool[Tensor, "T S"],
    scale: float,
) -> Float[Tensor, "B Hkv T S"]:
    """Attention of each head on the support, averaged over the group: what the index imitates.

    Normalise each head first, average after: a head with large scores counts no more than another.
    """
    grouped = q.unflatten(1, (k.shape[1], -1))
    # One product per group with its heads' rows end to end: k is not copied for every head.
    scores = (scale * grouped.flatten(2, 3) @ k.mT).unflatten(2, grouped.shape[2:4])
    support = support if support.ndim == 2 else support[:, :, None]
    return scores.masked_fill(~support, -torch.inf).softmax(dim=-1).mean(dim=2)


def log_softmax(scores: Float[Tensor, "*rows S"], support: Bool[Tensor, "*rows S"]):
    """Log of the softmax over the support, -inf outside."""
    return scores.masked_fill(~support, -torch.inf).log_softmax(dim=-1)
