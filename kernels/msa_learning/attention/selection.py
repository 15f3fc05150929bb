"""Which blocks a query reads, in PyTorch: the index scores, pooled and ranked; no gradient."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn import functional

from msa_learning.attention import contracts
from msa_ref.checks import check_budget, check_sizes

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, Int32
    from torch import Tensor

CHUNK_QUERIES = 256


class Budget(NamedTuple):
    """What one query of one KV group reads: at most `top_k` blocks of `block_size` tokens."""

    block_size: int
    top_k: int

    @property
    def tokens(self) -> int:
        """The most tokens that a query reads."""
        return self.block_size * self.top_k


@torch.no_grad()
def block_scores(
    index_q: Float[Tensor, "B Hkv T di"], index_k: Float[Tensor, "B 1 S di"], *, block_size: int
) -> Float[Tensor, "B Hkv T nb"]:
    """Score of every block for every query and group; -inf where nothing is visible.

    Products in float32 (float64 of float64), scaled by di**-0.5; CHUNK_QUERIES rows at a time.
    Source: MSA paper, Eq. 6.
    """
    contracts.check_index(index_q, index_k)
    check_sizes(block_size=block_size)
    num_blocks = -(-index_k.shape[2] // block_size)
    parts = []
    for rows, num_visible in query_chunks(index_q.shape[2], index_k.shape[2], CHUNK_QUERIES):
        scores = scores_of_rows(index_q[:, :, rows], index_k[:, :, :num_visible], block_size)
        unseen = num_blocks - scores.shape[-1]
        parts.append(functional.pad(scores, (0, unseen), value=-torch.inf))
    return torch.cat(parts, dim=2)


def scores_of_rows(index_q, index_k, block_size: int) -> Float[Tensor, "B Hkv T nb"]:
    """`block_scores` of queries that are the last of the keys, all at once."""
    num_queries, num_keys = index_q.shape[2], index_k.shape[2]
    dtype = torch.promote_types(index_q.dtype, torch.float32)
    with torch.autocast(index_q.device.type, enabled=False):
        scores = index_q.to(dtype) @ index_k.to(dtype).mT
    visible = visible_tokens(num_queries, num_keys, scores.device)
    scores = scores.masked_fill(~visible, -torch.inf)
    scores = functional.pad(scores, (0, -num_keys % block_size), value=-torch.inf)
    return scores.unflatten(-1, (-1, block_size)).amax(dim=-1) * index_q.shape[3] ** -0.5


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

    As `msa_ref.selection.select_blocks` of the block scores, ties to the lower id included;
    CHUNK_QUERIES rows at a time. Raises ValueError on NaN scores.
    """
    contracts.check_index(index_q, index_k)
    check_sizes(block_size=block_size)
    check_budget(top_k, init_blocks, local_blocks)
    forced = {"init_blocks": init_blocks, "local_blocks": local_blocks}
    parts = []
    for rows, num_visible in query_chunks(index_q.shape[2], index_k.shape[2], CHUNK_QUERIES):
        scores = scores_of_rows(index_q[:, :, rows], index_k[:, :, :num_visible], block_size)
        sizes = {"top_k": top_k, "block_size": block_size, "num_keys": num_visible}
        parts.append(best_blocks(scores, **sizes, **forced))
    return torch.cat(parts, dim=2)


@torch.no_grad()
def best_blocks(
    block_scores: Float[Tensor, "B Hkv T nb"],
    *,
    top_k: int,
    block_size: int,
    num_keys: int,
    init_blocks: int = 0,
    local_blocks: int = 1,
) -> Int32[Tensor, "B Hkv T k"]:
    """Ids of the `top_k` blocks with the highest scores, forced blocks first.

    Ascending, -1 in unused slots on the right; ties go to the lower id. The scores may be any,
    such as the attention mass of the blocks. Raises ValueError on NaN.
    """
    if block_scores.isnan().any():
        raise ValueError("block_scores: got NaN, takes finite scores or -inf")
    num_queries, num_blocks = block_scores.shape[2:]
    positions = torch.arange(num_keys - num_queries, num_keys, device=block_scores.device)
    local = positions[:, None] // block_size
    block = torch.arange(num_blocks, device=local.device)
    forced = (block < init_blocks) | (block > local - local_blocks)
    ranked = block_scores.masked_fill(forced, torch.inf).masked_fill(block > local, -torch.inf)
    best_scores, best = ranked.sort(dim=-1, descending=True, stable=True)
    unused = best_scores[..., :top_k] == -torch.inf
    ids = best[..., :top_k].masked_fill(unused, num_blocks).sort(dim=-1).values
    ids = ids.masked_fill(ids == num_blocks, -1)
    return functional.pad(ids, (0, top_k - ids.shape[-1]), value=-1).int()


def query_chunks(num_queries: int, num_keys: int, chunk: int) -> Iterator[tuple[slice, int]]:
    """Rows of `chunk` queries at a time, with the number of keys visible to the last of them."""
    for first in range(0, num_queries, chunk):
        stop = min(first + chunk, num_queries)
        yield slice(first, stop), num_keys - num_queries + stop


def visible_tokens(num_queries: int, num_keys: int, device: torch.device) -> Bool[Tensor, "T S"]:
    """True where a key is not in the query's future; the queries are the last of the keys."""
    return torch.ones(num_queries, num_keys, dtype=torch.bool, device=device).tril(
        num_keys - num_queries
    )


def selection_mask(
    selection: Int[Tensor, "B Hkv T k"], num_blocks: int
) -> Bool[Tensor, "B Hkv T nb"]:
    """True where a block is selected; ids from `num_blocks` on are left out."""
    ids = selection.long().masked_fill(selection < 0, num_blocks).clamp(max=num_blocks)
    chosen = ids.new_zeros((*ids.shape[:3], num_blocks + 1), dtype=torch.bool)
    return chosen.scatter(-1, ids, True)[..., :num_blocks]


def readable_tokens(
    selection: Int[Tensor, "B Hkv T k"], num_keys: int, block_size: int
) -> Bool[Tensor, "B Hkv T S"]:
    """True where a key is visible and lies in one of the query's selected blocks."""
    chosen = selection_mask(selection, -(-num_keys // block_size))
    tokens = chosen.repeat_interleave(block_size, dim=-1)[..., :num_keys]
    return tokens & visible_tokens(selection.shape[2], num_keys, selection.device)
