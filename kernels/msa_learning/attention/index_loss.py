"""The loss that trains the index: the KL divergence of its softmax from the heads' attention."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.autograd.function import once_differentiable

from msa_learning.attention import contracts
from msa_learning.attention.selection import (
    CHUNK_QUERIES,
    query_chunks,
    readable_tokens,
    visible_tokens,
)
from msa_ref.checks import check_sizes

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

    Unread = Callable[[Tensor], Bool[Tensor, "... T n"]]


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

    def unread(rows: slice, num_visible: int) -> Bool[Tensor, "... T n"]:
        if selection is None:
            return future_tokens(rows.stop - rows.start, q.device)
        return ~readable_tokens(selection[:, :, rows], num_visible, block_size)

    dtype = torch.promote_types(index_q.dtype, torch.float32)
    total, grad_q = torch.zeros((), dtype=dtype, device=q.device), []
    grad_k = torch.zeros_like(index_k, dtype=dtype)
    with torch.no_grad(), torch.autocast(q.device.type, enabled=False):
        for rows, num_visible in query_chunks(q.shape[2], k.shape[2], chunk):
            part = kl_of_rows(
                index_q[:, :, rows].to(dtype),
                index_k[:, :, :num_visible].to(dtype),
                q[:, :, rows].to(dtype),
                k[:, :, :num_visible].to(dtype),
                lambda _, at=(rows, num_visible): unread(*at),
                scale=scale,
                index_scale=index_scale,
            )
            total += part.kl
            grad_q.append(part.grad_q)
            grad_k[:, :, :num_visible] += part.grad_k
    num_rows = index_q.shape[:3].numel()
    gradients = (gradient.div_(num_rows) for gradient in (torch.cat(grad_q, dim=2), grad_k))
    return PrecomputedGradient.apply(index_q, index_k, total / num_rows, *gradients)


class RowsKL(NamedTuple):
    """KL summed over rows, its gradients of the index, and the heads' weights on the support."""

    kl: Float[Tensor, ""]
    grad_q: Float[Tensor, "B Hkv T di"]
    grad_k: Float[Tensor, "B 1 S di"]
    weights: Float[Tensor, "B Hkv G T S"]


def kl_of_rows(
    index_q: Float[Tensor, "B Hkv T di"],
    index_k: Float[Tensor, "B 1 S di"],
    q: Float[Tensor, "B Hq T d"],
    k: Float[Tensor, "B Hkv S d"],
    unread: Unread,
    *,
    scale: float | None = None,
    index_scale: float | None = None,
) -> RowsKL:
    """KL(p || p_idx) of queries that are the last of the keys, and its gradients.

    `unread(index_scores)` is True at the tokens outside the support, over the last n keys; the
    keys before these belong to the support of every row. The gradient on the index's logits is
    p_idx - p.
    """
    num_queries, group_size = q.shape[2], q.shape[1] // k.shape[1]
    scale = q.shape[3] ** -0.5 if scale is None else scale
    index_scale = index_q.shape[3] ** -0.5 if index_scale is None else index_scale
    index_scores = (index_q * index_scale) @ index_k.mT
    # A group's heads, their rows end to end, meet its keys in one product.
    heads = (q * scale).unflatten(1, (-1, group_size)).flatten(2, 3)
    scores = (heads @ k.mT).unflatten(2, (group_size, num_queries))
    outside = unread(index_scores)
    lowest = torch.finfo(index_q.dtype).min  # not -inf: a weight of 0 times it is 0
    last = slice(index_scores.shape[-1] - outside.shape[-1], None)
    index_scores[..., last].masked_fill_(outside, lowest)
    scores[..., last].masked_fill_(outside if outside.ndim == 2 else outside[:, :, None], lowest)
    weights = scores.softmax(dim=-1)
    p = weights.mean(dim=2)
    log_p_idx = index_scores.log_softmax(dim=-1)
    kl = -torch.special.entr(p).sum() - torch.dot(p.flatten(), log_p_idx.flatten())
    grad_logits = log_p_idx.exp_().sub_(p).mul_(index_scale)
    grad_k = (grad_logits.mT @ index_q).sum(dim=1, keepdim=True)
    return RowsKL(kl, grad_logits @ index_k, grad_k, weights)


def future_tokens(num_queries: int, device: torch.device) -> Bool[Tensor, "T T"]:
    """True where one of the last T keys is in the future of one of the last T queries."""
    return ~visible_tokens(num_queries, num_queries, device)


class PrecomputedGradient(torch.autograd.Function):
    """A loss whose gradients of index_q and index_k were computed together with it."""

    @staticmethod
    def forward(ctx, index_q, index_k, loss, grad_q, grad_k):
        ctx.save_for_backward(grad_q.to(index_q.dtype), grad_k.to(index_k.dtype))
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_loss):
        grad_q, grad_k = ctx.saved_tensors
        return grad_loss * grad_q, grad_loss * grad_k, None, None, None


def attention_target(
    q: Float[Tensor, "B Hq T d"],
    k: Float[Tensor, "B Hkv S d"],
    support: Bool[Tensor, "B Hkv T S"] | Bool[Tensor, "T S"],
    scale: float,
) -> Float[Tensor, "B Hkv T S"]:
    """Attention of each head on the support, averaged over the group: what the index imitates.

    Each head is normalised before the average: one with large scores counts no more than another.
    """
    grouped = q.unflatten(1, (k.shape[1], -1))
    # One product per group with its heads' rows end to end: k is not copied for every head.
    scores = (scale * grouped.flatten(2, 3) @ k.mT).unflatten(2, grouped.shape[2:4])
    support = support if support.ndim == 2 else support[:, :, None]
    return scores.masked_fill(~support, -torch.inf).softmax(dim=-1).mean(dim=2)
