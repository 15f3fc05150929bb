"""Named groups of kernel arguments: Triton takes a NamedTuple and reads its fields by name.

On the host a field holds a tensor or an int, inside a kernel a pointer or a scalar. Shapes: batch
B, query heads Hq, KV heads Hkv, G = Hq / Hkv, queries T, keys S, blocks of bs tokens, k of them
selected, pages P.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch

if TYPE_CHECKING:
    from jaxtyping import Float, Int32
    from torch import Tensor


class Heads(NamedTuple):
    """A tensor [B, H, T, d] with contiguous channels and any other strides, in elements."""

    ptr: Float[Tensor, "B H T d"]
    stride_b: int
    stride_h: int
    stride_t: int


class Lengths(NamedTuple):
    """Where queries stand: row t of sequence b is token keys[b] - queries[b] + first_query + t.

    Without `queries` every sequence has all T rows.
    """

    queries: Int32[Tensor, " B"] | None
    keys: Int32[Tensor, " B"]
    first_query: int = 0


class BlockScores(NamedTuple):
    """Scores [B, Hkv, T, nb] of all blocks, and the maximum of every few consecutive ones.

    `nb` and `num_maxima` are the sizes of the last dimensions; both tensors are contiguous.
    """

    scores: Float[Tensor, "B Hkv T nb"]
    maxima: Float[Tensor, "B Hkv T num_maxima"]
    nb: int
    num_maxima: int


class Plan(NamedTuple):
    """Block-to-query lists, one for each sequence, KV head and block, and the items that cut them.

    A slot is one place of the selection, an entry one place of the lists: E = B Hkv T k of each.
    """

    entries: Int32[Tensor, " E"]  # query * k + rank, list by list
    entry_of_slot: Int32[Tensor, "B Hkv T k"]  # -1 where the slot is unused
    counts: Int32[Tensor, " lists"]  # entries of a list
    list_ends: Int32[Tensor, " lists"]  # one past a list's last entry
    item_lists: Int32[Tensor, " items"]  # list of an item, up to the last of item_ends
    item_ends: Int32[Tensor, " lists"]  # one past a list's last item


class Partials(NamedTuple):
    """Partial outputs, normalised each by its own weights, and their LSEs in base 2."""

    out: Float[Tensor, "E G d"]
    lse: Float[Tensor, "E G"]


class TileUnions(NamedTuple):
    """The different blocks that a tile of neighbouring queries selects, ascending."""

    blocks: Int32[Tensor, " slots"]  # QUERIES * k places a tile
    query_bits: Int32[Tensor, " slots"]  # bit i: query i of the tile selects the block
    sizes: Int32[Tensor, " tiles"]  # blocks of a tile


class Outputs(NamedTuple):
    """Where results go: contiguous out and lse (natural logarithm) of all `num_queries` rows."""

    out: Float[Tensor, "B Hq T d"]
    lse: Float[Tensor, "B Hq T"]
    num_queries: int


class Pages(NamedTuple):
    """Pages [P, H, bs, d] with contiguous channels and any other strides, in elements."""

    ptr: Float[Tensor, "P H bs d"]
    stride_p: int
    stride_h: int
    stride_t: int


class PageTable(NamedTuple):
    """Page of every block, and lengths in tokens."""

    pages: Int32[Tensor, "B max_pages"]
    stride_b: int
    lengths: Int32[Tensor, " B"]


class VisibleBlocks(NamedTuple):
    """Non-zero at the blocks each query may see; without a pointer it sees all of them."""

    ptr: Any  # int8 [B, Hkv, T, nb], contiguous
    nb: int


def heads(tensor: Float[Tensor, "B H T d"]) -> Heads:
    """A tensor [B, H, T, d] as kernels take it."""
    return Heads(tensor, *tensor.stride()[:3])


def as_block_scores(
    scores: Float[Tensor, "B Hkv T nb"], maxima: Float[Tensor, "B Hkv T num_maxima"]
) -> BlockScores:
    """Scores and maxima as kernels take them; not contiguous ones are copied."""
    return BlockScores(scores.contiguous(), maxima.contiguous(), scores.shape[3], maxima.shape[3])


def new_outputs(q: Float[Tensor, "B Hq T d"]) -> Outputs:
    """Unwritten results for the queries `q`: out in their dtype, lse in float32."""
    out = torch.empty_like(q, memory_format=torch.contiguous_format)
    lse = torch.empty(q.shape[:3], dtype=torch.float32, device=q.device)
    return Outputs(out, lse, q.shape[2])
