"""Functions that score the blocks of a key cache: the learned index and some without training.

Each takes an `AttentionInput` and returns one score for every query, group and block. As in MSA's
own index a group selects as one, so scores of its heads are joined by their maximum or mean.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from msa_learning.attention.selection import Budget, best_blocks, block_scores
from msa_learning.evaluate.recall import block_mass
from msa_learning.index.branch import index_qk
from msa_learning.models.smollm2 import AttentionInput

if TYPE_CHECKING:
    from jaxtyping import Float, Int32
    from torch import Tensor

    Scores = Callable[[AttentionInput, int], Float[Tensor, "B Hkv T nb"]]


class Scorer(NamedTuple):
    """How blocks are scored, and how many of the first are selected whatever their score."""

    scores: Scores
    init_blocks: int = 1

    def select(self, inputs: AttentionInput, budget: Budget) -> Int32[Tensor, "B Hkv T k"]:
        """The selection of one layer."""
        return self.from_scores(self.scores(inputs, budget.block_size), inputs, budget)

    def from_scores(
        self, scores: Float[Tensor, "B Hkv T nb"], inputs: AttentionInput, budget: Budget
    ) -> Int32[Tensor, "B Hkv T k"]:
        """The selection by scores that serve every budget of this block size."""
        return best_blocks(
            scores,
            top_k=budget.top_k,
            block_size=budget.block_size,
            num_keys=inputs.k.shape[2],
            init_blocks=self.init_blocks,
        )


def learned_scorer(branches: nn.ModuleList, *, init_blocks: int = 0) -> Scorer:
    """Scores by a trained index; MiniMax-M3 forces no first block."""

    def scores(inputs: AttentionInput, block_size: int):
        return block_scores(*index_qk(branches, inputs), block_size=block_size)

    return Scorer(scores, init_blocks)


def all_scorers(branches: nn.ModuleList) -> dict[str, Scorer]:
    """Every scorer by its name in the records."""
    return {
        "learned": learned_scorer(branches),
        "learned+sink": learned_scorer(branches, init_blocks=1),
        "max": Scorer(max_scores),
        "mass": Scorer(mass_scores, init_blocks=0),
        "mean": Scorer(mean_key_scores),
        "bound": Scorer(bound_scores),
        "window": Scorer(window_scores),
    }


def max_scores(inputs: AttentionInput, block_size: int) -> Float[Tensor, "B Hkv T nb"]:
    """The highest score of any head with any visible key: an oracle that reads every key."""
    groups = inputs.k.shape[:2]
    # A group's heads share one key, as the index's groups do: each group takes a batch's place.
    q = inputs.q.unflatten(1, (groups[1], -1)).flatten(0, 1)
    k = inputs.k.flatten(0, 1)[:, None]
    scores = block_scores(q, k, block_size=block_size)
    return scores.amax(dim=1).unflatten(0, groups)


def mass_scores(inputs: AttentionInput, block_size: int) -> Float[Tensor, "B Hkv T nb"]:
    """The dense attention mass itself: the selection that recall is measured against."""
    return block_mass(inputs.q, inputs.k, block_size=block_size)


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
    """The block's number: the last blocks are best, which makes a sliding window."""
    num_blocks = -(-inputs.k.shape[2] // block_size)
    late = torch.arange(num_blocks, dtype=torch.float32, device=inputs.q.device)
    return late.expand(len(inputs.q), inputs.k.shape[1], inputs.q.shape[2], -1)


def in_blocks(k: Float[Tensor, "B Hkv S d"], block_size: int) -> Float[Tensor, "B Hkv nb bs d"]:
    """The keys block by block, NaN behind the last."""
    padded = functional.pad(k, (0, 0, 0, -k.shape[2] % block_size), value=torch.nan)
    return padded.unflatten(2, (-1, block_size))
