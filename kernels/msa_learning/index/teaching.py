"""One layer's lesson for its index: loss, gradients, selection, output, for a trunk without any.

The same numbers as `select_blocks`, `index_kl` and `sparse.attention` one after the other. On a GPU
by the kernels of `msa_kernels`, which keep no array of queries by keys; elsewhere in one pass over
the scores, made once and masked in place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.autograd.function import once_differentiable

from msa_learning.attention import contracts, select
from msa_ref.config import MSAConfig

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int32
    from torch import Tensor

CHUNK = 512


class Lesson(NamedTuple):
    """`kl` is the layer's loss and goes backward to index_q and index_k, nowhere else.

    `selection` [B,Hkv,T,k] and the attention's output `out` [B,Hq,T,d] are of the blocks that the
    index picked; None in the warm-up.
    """

    kl: Float[Tensor, ""]
    selection: Int32[Tensor, "B Hkv T k"] | None
    out: Float[Tensor, "B Hq T d"] | None


def teach(
    index_q: Float[Tensor, "B Hkv T di"],
    index_k: Float[Tensor, "B 1 T di"],
    q: Float[Tensor, "B Hq T d"],
    k: Float[Tensor, "B Hkv T d"],
    v: Float[Tensor, "B Hkv T d"] | None = None,
    *,
    block_size: int | None = None,
    top_k: int | None = None,
) -> Lesson:
    """What the index learns from all visible tokens, or with `top_k` from the blocks it picks.

    With `v` the output of attention on these blocks comes along, without gradient. Memory grows
    with T and never with T x T.
    """
    contracts.check_index(index_q, index_k)
    contracts.check_query_key(q, k)
    with torch.no_grad():
        teacher = teach_by_kernels if q.is_cuda else teach_by_chunks
        kl, *gradients, selection, out = teacher(index_q, index_k, q, k, v, block_size, top_k)
    return Lesson(WithGradient.apply(index_q, index_k, kl, *gradients), selection, out)


def teach_by_kernels(index_q, index_k, q, k, v, block_size: int | None, top_k: int | None):
    """KL, its two gradients, selection and output, by Triton kernels."""
    from msa_kernels import index_kl, msa_attention

    if top_k is None:
        return *index_kl(index_q, index_k, q, k), None, None
    out, sizes = None, {"block_size": block_size, "top_k": top_k}
    if v is None:
        selection = select.select_blocks(index_q, index_k, **sizes)
    else:
        heads, dims = (q.shape[1], k.shape[1]), (q.shape[3], index_q.shape[3])
        config = MSAConfig(*heads, *dims, block_size, top_k)
        index = index_q.to(q.dtype), index_k.to(q.dtype)
        out, _, selection = msa_attention(q, k, v, *index, config)
    return *index_kl(index_q, index_k, q, k, selection, block_size=block_size), selection, out


def teach_by_chunks(index_q, index_k, q, k, v, block_size: int | None, top_k: int | None):
    """The same in plain PyTorch, CHUNK queries at a time."""
    parts = []
    grad_k = torch.zeros_like(index_k, dtype=torch.promote_types(index_k.dtype, torch.float32))
    with torch.autocast(q.device.type, enabled=False):
        for rows, seen in select.query_chunks(q.shape[2], k.shape[2], CHUNK):
            part = teach_rows(
                index_q[:, :, rows].to(grad_k.dtype),
                index_k[:, :, :seen].to(grad_k.dtype),
                q[:, :, rows].to(grad_k.dtype),
                k[:, :, :seen].to(grad_k.dtype),
                None if v is None else v[:, :, :seen],
                block_size,
                top_k,
            )
            grad_k[:, :, :seen] += part[2]
            parts.append(part)
    kl, grad_q, _, selection, out = zip(*parts)
    kl = torch.stack(kl).sum() / index_q.shape[:3].numel()
    scale = index_q.shape[3] ** -0.5 / index_q.shape[:3].numel()
    selection, out = (
        None if lanes[0] is None else torch.cat(lanes, dim=2) for lanes in (selection, out)
    )
    return kl, torch.cat(grad_q, dim=2).mul_(scale), grad_k.mul_(scale), selection, out


def teach_rows(index_q, index_k, q, k, v, block_size: int | None, top_k: int | None):
    """The same for queries that stand at the end of the keys: KL summed, gradients unscaled."""
    num_queries, group_size = q.shape[2], q.shape[1] // k.shape[1]
    lowest = torch.finfo(index_q.dtype).min  # and not -inf: times a weight of 0 it gives 0
    index_scores = (index_q * index_q.shape[3] ** -0.5) @ index_k.mT
    heads = (q * q.shape[3] ** -0.5).unflatten(1, (-1, group_size)).flatten(2, 3)
    # A group's heads, their rows end to end, meet its keys in one product.
    scores = (heads @ k.mT).unflatten(2, (group_size, num_queries))
    # Of these keys only the last T can be in a query's future.
    future = ~select.visible_tokens(num_queries, num_queries, q.device)
    index_scores[..., -num_queries:].masked_fill_(future, lowest)
    if top_k is None:
        selection = None
        scores[..., -num_queries:].masked_fill_(future, lowest)
    else:
        selection, unread = pick(index_scores, block_size, top_k)
        index_scores.masked_fill_(unread, lowest)
        scores.masked_fill_(unread[:, :, None], lowest)
    weights = scores.softmax(dim=-1)
    p = weights.mean(dim=2)
    out = None
    if v is not None:
        out = (weights.to(v.dtype).flatten(2, 3) @ v).unflatten(2, (group_size, num_queries))
        out = out.flatten(1, 2)
    log_p_idx = index_scores.log_softmax(dim=-1)
    kl = -torch.special.entr(p).sum() - torch.dot(p.flatten(), log_p_idx.flatten())
    grad_logits = log_p_idx.exp_().sub_(p)
    grad_q = grad_logits @ index_k
    grad_k = (grad_logits.mT @ index_q).sum(dim=1, keepdim=True)
    return kl, grad_q, grad_k, selection, out


def pick(
    index_scores: Float[Tensor, "B Hkv T S"], block_size: int, top_k: int
) -> tuple[Int32[Tensor, "B Hkv T k"], Bool[Tensor, "B Hkv T S"]]:
    """The blocks with the best scores, and the tokens that are not to be read."""
    num_keys = index_scores.shape[3]
    lowest = torch.finfo(index_scores.dtype).min
    padding = -num_keys % block_size
    padded = torch.nn.functional.pad(index_scores, (0, padding), value=lowest)
    pooled = padded.unflatten(-1, (-1, block_size)).amax(dim=-1)
    sizes = {"top_k": top_k, "block_size": block_size, "num_keys": num_keys}
    selection = select.best_blocks(pooled, **sizes)
    return selection, ~select.readable_tokens(selection, num_keys, block_size)


class WithGradient(torch.autograd.Function):
    """A loss whose gradients of index_q and index_k are known already."""

    @staticmethod
    def forward(ctx, index_q, index_k, kl, grad_q, grad_k):
        ctx.save_for_backward(grad_q.to(index_q.dtype), grad_k.to(index_k.dtype))
        return kl

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_loss):
        grad_q, grad_k = ctx.saved_tensors
        return grad_loss * grad_q, grad_loss * grad_k, None, None, None
