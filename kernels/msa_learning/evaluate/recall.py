"""How good a layer's selection is: score and block recall against the dense model's attention."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from msa_learning.attention import select
from msa_learning.attention.loss import teacher
from msa_learning.models.smollm2 import AttentionInput, attend_dense, index_lanes
from msa_ref.checks import check_sizes

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor, nn


class Recall(NamedTuple):
    """Means over the rows that see more than k blocks, one number a sequence: [B]."""

    score: Tensor
    block: Tensor
    mass: Tensor


@torch.no_grad()
def block_mass(
    q: Float[Tensor, "B Hq T d"], k: Float[Tensor, "B Hkv S d"], *, block_size: int
) -> Float[Tensor, "B Hkv T nb"]:
    """Dense attention mass of every block, the mean over the group's heads. Source: section 5.2."""
    check_sizes(block_size=block_size)
    num_keys, dtype = k.shape[2], torch.promote_types(q.dtype, torch.float32)
    mass = q.new_zeros(
        (q.shape[0], k.shape[1], q.shape[2], -(-num_keys // block_size)), dtype=dtype
    )
    for rows, seen in select.query_chunks(q.shape[2], num_keys, select.CHUNK_QUERIES):
        visible = select.visible_tokens(rows.stop - rows.start, seen, q.device)
        scale = q.shape[3] ** -0.5
        with torch.autocast(q.device.type, enabled=False):
            weights = teacher(q[:, :, rows].to(dtype), k[:, :, :seen].to(dtype), visible, scale)
        weights = torch.nn.functional.pad(weights, (0, -seen % block_size))
        sums = weights.unflatten(-1, (-1, block_size)).sum(dim=-1)
        mass[:, :, rows, : sums.shape[-1]] = sums
    return mass


@torch.no_grad()
def selection_mask(
    selection: Int[Tensor, "B Hkv T k"], num_blocks: int
) -> Bool[Tensor, "B Hkv T nb"]:
    """True where a block is selected."""
    ids = selection.long().masked_fill(selection < 0, num_blocks)
    chosen = ids.new_zeros((*ids.shape[:3], num_blocks + 1), dtype=torch.bool)
    return chosen.scatter(-1, ids, True)[..., :num_blocks]


@torch.no_grad()
def measure(
    selection: Int[Tensor, "B Hkv T k"],
    mass: Float[Tensor, "B Hkv T nb"],
    *,
    num_keys: int,
    block_size: int,
) -> Recall:
    """Recall of a selection against the best blocks by mass, the own block forced in both.

    Over the rows that see more than k blocks; NaN if there are none. Source: MSA paper,
    section 5.2.
    """
    top_k, num_blocks = selection.shape[3], mass.shape[3]
    ideal = select.best_blocks(mass, top_k=top_k, block_size=block_size, num_keys=num_keys)
    first = max(0, top_k * block_size - (num_keys - mass.shape[2]))
    chosen, ideal, mass = (
        lane[:, :, first:]
        for lane in (
            selection_mask(selection, num_blocks),
            selection_mask(ideal, num_blocks),
            mass,
        )
    )
    hits = chosen & ideal
    shares = (
        (mass * hits).sum(dim=-1) / (mass * ideal).sum(dim=-1),
        hits.sum(dim=-1) / ideal.sum(dim=-1),
        (mass * chosen).sum(dim=-1),
    )
    return Recall(*(share.mean(dim=(1, 2)) for share in shares))


class RecallOfLayers:
    """Dense attention that measures what the branches would have selected."""

    def __init__(self, branches: nn.ModuleList, *, block_size: int, top_k: int):
        self.branches, self.block_size, self.top_k = branches, block_size, top_k
        self.scores, self.blocks = [], []

    def __call__(self, inputs: AttentionInput):
        size = {"block_size": self.block_size}
        index_q, index_k = index_lanes(self.branches, inputs)
        chosen = select.select_blocks(index_q, index_k, top_k=self.top_k, **size)
        mass = block_mass(inputs.q, inputs.k, **size)
        found = measure(chosen, mass, num_keys=inputs.k.shape[2], **size)
        self.scores.append(found.score.mean())
        self.blocks.append(found.block.mean())
        return attend_dense(inputs)
