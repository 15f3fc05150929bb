"""Distillation of one layer's attention into its index: loss, gradients, selection and output.

Equal to `select_blocks`, `index_kl` and `sparse.attention` one after the other, for a frozen trunk.
On a GPU by the kernels of `msa_kernels`, which keep no array of queries by keys;
elsewhere from one pass over the scores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn import functional

from msa_learning.attention import contracts
from msa_learning.attention.index_loss import PrecomputedGradient, future_tokens, kl_of_rows
from msa_learning.attention.selection import (
    Budget,
    best_blocks,
    query_chunks,
    readable_tokens,
    select_blocks,
)
from msa_ref.config import MSAConfig

if TYPE_CHECKING:
    from jaxtyping import Float, Int32
    from torch import Tensor

CHUNK = 512


class Distilled(NamedTuple):
    """What one layer's distillation returns.

    `kl`, in nats and averaged over sequences, groups and queries, goes backward to index_q and
    index_k alone. `selection` and the attention's output `out` are None in the warm-up.
    """

    kl: Float[Tensor, ""]
    selection: Int32[Tensor, "B Hkv T k"] | None
    out: Float[Tensor, "B Hq T d"] | None


def distill(
    index_q: Float[Tensor, "B Hkv T di"],
    index_k: Float[Tensor, "B 1 T di"],
    q: Float[Tensor, "B Hq T d"],
    k: Float[Tensor, "B Hkv T d"],
    v: Float[Tensor, "B Hkv T d"] | None = None,
    *,
    budget: Budget | None = None,
) -> Distilled:
    """KL of the index from the heads' attention, on the blocks that the index selects.

    Without a budget it is over all visible tokens (the warm-up), and nothing is selected. With `v`
    the output of attention on the selected blocks comes along, without gradient. Memory grows with
    T and never with T x T. Tensors that do not fit: ValueError.
    """
    contracts.check_index(index_q, index_k)
    contracts.check_query_key(q, k)
    with torch.no_grad():
        on_device = distill_triton if q.is_cuda else distill_torch
        kl, *gradients, selection, out = on_device(index_q, index_k, q, k, v, budget)
    return Distilled(PrecomputedGradient.apply(index_q, index_k, kl, *gradients), selection, out)


def distill_triton(index_q, index_k, q, k, v, budget: Budget | None):
    """KL, its gradients of index_q and index_k, selection and output, by Triton kernels."""
    from msa_kernels import index_kl, msa_attention

    if budget is None:
        return *index_kl(index_q, index_k, q, k), None, None
    block_size, top_k = budget
    out = None
    if v is None:
        selection = select_blocks(index_q, index_k, block_size=block_size, top_k=top_k)
    else:
        heads, dims = (q.shape[1], k.shape[1]), (q.shape[3], index_q.shape[3])
        config = MSAConfig(*heads, *dims, block_size, top_k)
        index = index_q.to(q.dtype), index_k.to(q.dtype)
        out, _, selection = msa_attention(q, k, v, *index, config)
    return *index_kl(index_q, index_k, q, k, selection, block_size=block_size), selection, out


def distill_torch(index_q, index_k, q, k, v, budget: Budget | None):
    """KL, its gradients of index_q and index_k, selection and output, CHUNK queries at a time."""
    dtype = torch.promote_types(index_q.dtype, torch.float32)
    kl, grad_q, selections, outs = [], [], [], []
    grad_k = torch.zeros_like(index_k, dtype=dtype)

    def unread(index_scores):
        if budget is None:
            return future_tokens(index_scores.shape[2], index_scores.device)
        selections.append(select_rows(index_scores, budget))
        return ~readable_tokens(selections[-1], index_scores.shape[3], budget.block_size)

    with torch.autocast(q.device.type, enabled=False):
        for rows, num_visible in query_chunks(q.shape[2], k.shape[2], CHUNK):
            part = kl_of_rows(
                index_q[:, :, rows].to(dtype),
                index_k[:, :, :num_visible].to(dtype),
                q[:, :, rows].to(dtype),
                k[:, :, :num_visible].to(dtype),
                unread,
            )
            kl.append(part.kl)
            grad_q.append(part.grad_q)
            grad_k[:, :, :num_visible] += part.grad_k
            if v is not None:
                weights = part.weights.to(v.dtype).flatten(2, 3)
                out = weights @ v[:, :, :num_visible]
                outs.append(out.unflatten(2, part.weights.shape[2:4]).flatten(1, 2))
    num_rows = index_q.shape[:3].numel()
    selection, out = (torch.cat(parts, dim=2) if parts else None for parts in (selections, outs))
    grad_q = torch.cat(grad_q, dim=2).div_(num_rows)
    return torch.stack(kl).sum() / num_rows, grad_q, grad_k.div_(num_rows), selection, out


def select_rows(
    index_scores: Float[Tensor, "B Hkv T S"], budget: Budget
) -> Int32[Tensor, "B Hkv T k"]:
    """The selection by token scores of queries that are the last of the keys.

    Future tokens need no mask: the only readable block that holds any is the local one, which is
    selected whatever its score.
    """
    num_keys = index_scores.shape[3]
    lowest = torch.finfo(index_scores.dtype).min
    padded = functional.pad(index_scores, (0, -num_keys % budget.block_size), value=lowest)
    pooled = padded.unflatten(-1, (-1, budget.block_size)).amax(dim=-1)
    sizes = {"top_k": budget.top_k, "block_size": budget.block_size, "num_keys": num_keys}
    return best_blocks(pooled, **sizes)
