"""Rules that score the blocks of a key cache: the learned index and those that need no training.

Each takes an `AttentionInput` and gives one score for every query, group and block. Like MSA's own
index they choose for a whole group, so what heads of a group want apart is joined by max or mean.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from msa_learning.attention import select
from msa_learning.evaluate import recall
from msa_learning.models.smollm2 import AttentionInput, index_lanes

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    Scores = Callable[[AttentionInput, int], Float[Tensor, "B Hkv T nb"]]


class Rule(NamedTuple):
    """How blocks are scored, and how many of the first are read whatever their score."""

    scores: Scores
    init_blocks: int = 1

    def choose(self, inputs: AttentionInput, *, block_size: int, top_k: int):
        """The selection [B,Hkv,T,k] of one layer."""
        scores = self.scores(inputs, block_size)
        return self.best(scores, inputs, block_size=block_size, top_k=top_k)

    def best(self, scores: Tensor, inputs: AttentionInput, *, block_size: int, top_k: int):
        """The same from scores at hand, which serve every `top_k`."""
        sizes = {"top_k": top_k, "block_size": block_size, "num_keys": inputs.k.shape[2]}
        return select.best_blocks(scores, init_blocks=self.init_blocks, **sizes)


def all_rules(branches: nn.ModuleList) -> dict[str, Rule]:
    """Every rule by its name in the records."""

    def learned(inputs: AttentionInput, block_size: int):
        return select.block_scores(*index_lanes(branches, inputs), block_size=block_size)

    return {
        "learned": Rule(learned, init_blocks=0),
        "learned+sink": Rule(learned),
        "max": Rule(max_scores),
        "mass": Rule(mass_scores, init_blocks=0),
        "mean": Rule(mean_key_scores),
        "bound": Rule(bound_scores),
        "window": Rule(window_scores),
    }


def max_scores(inputs: AttentionInput, block_size: int) -> Float[Tensor, "B Hkv T nb"]:
    """The highest score of any head with any visible key: an oracle that reads every key."""
    groups = inputs.k.shape[:2]
    # A group's heads share one key, as the index's groups do: each group takes a batch's place.
    q = inputs.q.unflatten(1, (groups[1], -1)).flatten(0, 1)
    k = inputs.k.flatten(0, 1)[:, None]
    scores = select.block_scores(q, k, block_size=block_size)
    return scores.amax(dim=1).unflatten(0, groups)


def mass_scores(inputs: AttentionInput, block_size: int) -> Float[Tensor, "B Hkv T nb"]:
    """The dense attention mass itself: the selection that recall is measured against."""
    return recall.block_mass(inputs.q, inputs.k, block_size=block_size)


def mean_key_scores(inputs: AttentionInput, block_size: int) -> Float[Tensor, "B Hkv T nb"]:
    """Dot product of the group's mean query with the mean key of every block."""
    blocks = in_blocks(inputs.k.float(), block_size)
    mean_keys = blocks.nanmean(dim=3)
    mean_query = inputs.q.float().unflatten(1, (inputs.k.shape[1], -1)).mean(dim=2)
    return mean_query @ mean_keys.mT


def bound_scores(inputs: AttentionInput, block_size: int) -> Float[Tensor, "B Hkv T nb"]:
    """The most that any head could score with keys between a block's lowest and highest channels.

    Source: Quest, arXiv 2406.10774.
    """
    blocks = in_blocks(inputs.k.float(), block_size)
    highest = blocks.nan_to_num(nan=-torch.inf).amax(dim=3)[:, :, None]
    lowest = blocks.nan_to_num(nan=torch.inf).amin(dim=3)[:, :, None]
    q = inputs.q.float().unflatten(1, (inputs.k.shape[1], -1))
    bounds = q.clamp(min=0) @ highest.mT + q.clamp(max=0) @ lowest.mT
    return bounds.amax(dim=2)


def window_scores(inputs: AttentionInput, block_size: int) -> Float[Tensor, "B Hkv T nb"]:
    """The later the block the better: a sliding window behind the first block."""
    num_blocks = -(-inputs.k.shape[2] // block_size)
    late = torch.arange(num_blocks, dtype=torch.float32, device=inputs.q.device)
    return late.expand(len(inputs.q), inputs.k.shape[1], inputs.q.shape[2], -1)


def in_blocks(k: Float[Tensor, "B Hkv S d"], block_size: int) -> Float[Tensor, "B Hkv nb bs d"]:
    """The keys block by block, NaN behind the last."""
    padded = functional.pad(k, (0, 0, 0, -k.shape[2] % block_size), value=torch.nan)
    return padded.unflatten(2, (-1, block_size))
