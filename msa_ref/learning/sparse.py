"""The main branch in PyTorch: exact attention on the selected blocks, with gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from msa_ref.learning import contracts
from msa_ref.learning.select import CHUNK_QUERIES, query_chunks, readable_tokens

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
    CHUNK_QUERIES rows at a time, masks and weights made again in the backward pass, so memory
    grows with T and never with T x S. `scale` is d**-0.5 unless given.
    """
    contracts.check_query_key(q, k)
    contracts.check_tensors("B Hkv S d", k=k, v=v)
    contracts.check_shape("v", v, k.shape, "B Hkv S d")
    contracts.check_selection(selection, q, k, block_size)
    parts = []
    for rows, seen in query_chunks(q.shape[2], k.shape[2], CHUNK_QUERIES):
        lanes = q[:, :, rows], k[:, :, :seen], v[:, :, :seen], selection[:, :, rows]
        settings = {"use_reentrant": False, "preserve_rng_state": False}
        parts.append(checkpoint(attend_rows, *lanes, block_size, scale, **settings))
    return torch.cat(parts, dim=2)


def attend_rows(q, k, v, selection, block_size: int, scale: float | None):
    """The same for queries that stand at the end of the keys, all of them at once."""
    group_size = q.shape[1] // k.shape[1]
    empty = (selection < 0).all(dim=-1, keepdim=True)
    # A softmax over nothing is NaN: such a row attends to everything and is then set to 0.
    mask = readable_tokens(selection, k.shape[2], block_size) | empty
    k, v, mask, empty = (lane.repeat_interleave(group_size, dim=1) for lane in (k, v, mask, empty))
    out = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
    return out.masked_fill(empty, 0)
