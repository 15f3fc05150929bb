"""Which blocks a query reads, in PyTorch: the index scores, pooled and ranked; no gradient."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from msa_ref.checks import check_budget, check_sizes
from msa_ref.learning import contracts

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, Int32
    from torch import Tensor

CHUNK_QUERIES = 256


@torch.no_grad()
def block_scores(
    index_q: Float[Tensor, "B Hkv T di"], index_k: Float[Tensor, "B 1 S di"], *, block_size: int
) -> Float[Tensor, "B Hkv T nb"]:
    """Score of every block for every query and group; -inf where nothing is visible.

    Products in float32 (float64 of float64), so many queries at a time; scaled by di**-0.5.
    Source: MSA paper, Eq. 6.
    """
    contracts.check_index(index_q, index_k)
    check_sizes(block_size=block_size)
    num_queries, num_keys = index_q.shape[2], index_k.shape[2]
    dtype = torch.promote_types(index_q.dtype, torch.float32)
    keys = functional.pad(index_k.to(dtype).mT, (0, -num_keys % block_size))
    pooled = []
    for rows, seen in query_chunks(num_queries, num_keys, CHUNK_QUERIES):
        with torch.autocast(keys.device.type, enabled=False):
            scores = index_q[:, :, rows].to(dtype) @ keys
        own = torch.arange(seen - scores.shape[2], seen, device=keys.device)
        future = torch.arange(keys.shape[3], device=keys.device) > own[:, None]
        scores = scores.masked_fill(future, -torch.inf)
        pooled.append(scores.unflatten(-1, (-1, block_size)).amax(dim=-1))
    return torch.cat(pooled, dim=2) * index_q.shape[3] ** -0.5


@torch.no_grad()
def select_blocks(
    index_q: Float[Tensor, "B Hkv T di"],
    index_k: Float[Tensor, "B 1 S di"],
    *,
    block_size: int,
    top_k: int,
    init_blocks: int = 0,
    local_blocks: int = 1,
) -> Int32[Tensor, "B Hkv T k"]:
    """Ids of the blocks every query and group reads: ascending, -1 in unused slots on the right.

    As `msa_ref.selection.select_blocks` of the index's block scores, ties to the lower id
    included. Raises ValueError on NaN scores.
    """
    check_budget(top_k, init_blocks, local_blocks)
    scores = block_scores(index_q, index_k, block_size=block_size)
    num_keys, (num_queries, num_blocks) = index_k.shape[2], scores.shape[2:]
    if scores.isnan().any():
        raise ValueError("index_q, index_k: got scores that are NaN, takes finite numbers")
    positions = torch.arange(num_keys - num_queries, num_keys, device=scores.device)
    own, block = positions[:, None] // block_size, torch.arange(num_blocks, device=scores.device)
    forced = (block < init_blocks) | (block > own - local_blocks)
    ranked = scores.masked_fill(forced, torch.inf).masked_fill(block > own, -torch.inf)
    best_scores, best = ranked.sort(dim=-1, descending=True, stable=True)
    unused = best_scores[..., :top_k] == -torch.inf
    ids = best[..., :top_k].masked_fill(unused, num_blocks).sort(dim=-1).values
    ids = ids.masked_fill(ids == num_blocks, -1)
    return functional.pad(ids, (0, top_k - ids.shape[-1]), value=-1).int()


def query_chunks(num_queries: int, num_keys: int, chunk: int) -> Iterator[tuple[slice, int]]:
    """Rows of `chunk` queries at a time, with how many keys the last of them sees."""
    for first in range(0, num_queries, chunk):
        stop = min(first + chunk, num_queries)
        yield slice(first, stop), num_keys - num_queries + stop


def visible_tokens(num_queries: int, num_keys: int, device: torch.device) -> Bool[Tensor, "T S"]:
    """True where a key is not in the query's future; the queries are the last of the keys."""
    return torch.ones(num_queries, num_keys, dtype=torch.bool, device=device).tril(
        num_keys - num_queries
    )


def readable_tokens(
    selection: Int[Tensor, "B Hkv T k"], num_keys: int, block_size: int
) -> Bool[Tensor, "B Hkv T S"]:
    """True where a key is visible and lies in one of the query's selected blocks."""
    num_blocks = -(-num_keys // block_size)
    ids = selection.long().masked_fill(selection < 0, num_blocks)
    chosen = ids.new_zeros((*ids.shape[:3], num_blocks + 1), dtype=torch.bool)
    # An id beyond these keys is in the future of every query here.
    chosen = chosen.scatter(-1, ids.clamp(max=num_blocks), True)[..., :num_blocks]
    tokens = chosen.repeat_interleave(block_size, dim=-1)[..., :num_keys]
    return tokens & visible_tokens(ids.shape[2], num_keys, ids.device)
