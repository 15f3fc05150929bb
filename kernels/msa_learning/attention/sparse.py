"""The main branch in PyTorch: exact attention on the selected blocks, with gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.utils.checkpoint import checkpoint

from msa_learning.attention import contracts
from msa_learning.attention.selection import CHUNK_QUERIES, query_chunks, readable_tokens

if TYPE_CHECKING:
    from jaxtyping import Float, Int
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
    CHUNK_QUERIES rows at a time, in float32 at least; the backward pass computes each chunk again,
    so memory grows with T and never with T x S. `scale` is d**-0.5 unless given.
    """
    contracts.check_query_key(q, k)
    contracts.check_tensors("B Hkv S d", k=k, v=v)
    contracts.check_shape("v", v, k.shape, "B Hkv S d")
    contracts.check_selection(selection, q, k, block_size)
    scale = q.shape[3] ** -0.5 if scale is None else scale
    dtype, parts = torch.promote_types(q.dtype, torch.float32), []
    wide_q, wide_k, wide_v = (x.to(dtype) for x in (q, k, v))
    with torch.autocast(q.device.type, enabled=False):
        for rows, num_visible in query_chunks(q.shape[2], k.shape[2], CHUNK_QUERIES):
            parts.append(
                checkpoint(
                    attend_rows,
                    wide_q[:, :, rows],
                    wide_k[:, :, :num_visible],
                    wide_v[:, :, :num_visible],
                    selection[:, :, rows],
                    block_size,
                    scale,
                    use_reentrant=False,
                    preserve_rng_state=False,
                )
            )
    return torch.cat(parts, dim=2).to(v.dtype)


def attend_rows(q, k, v, selection, block_size: int, scale: float) -> Float[Tensor, "B Hq T d"]:
    """Attention of queries that are the last of the keys."""
    groups, num_queries = k.shape[1], q.shape[2]
    unread = ~readable_tokens(selection, k.shape[2], block_size)[:, :, None]
    # A group's heads, their rows end to end, meet its keys in one product.
    heads = (q * scale).unflatten(1, (groups, -1)).flatten(2, 3)
    scores = (heads @ k.mT).unflatten(2, (-1, num_queries))
    # Not -inf: in a row that selects nothing it would make NaN, and the row's output is 0.
    scores = scores.masked_fill(unread, torch.finfo(q.dtype).min)
    weights = scores.softmax(dim=-1).flatten(2, 3)
    out = (weights @ v).unflatten(2, (-1, num_queries))
    empty = (selection < 0).all(dim=-1)[:, :, None, :, None]
    return out.masked_fill(empty, 0).flatten(1, 2)
