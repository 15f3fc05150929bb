"""Attention that distils into the index while the model runs.

Each class is handed to `SmolLM2` as its `attend`. A layer's loss needs its input, q and k alone, so
with a frozen trunk it goes backward at once and nothing of it is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from msa_learning.attention import sparse
from msa_learning.attention.selection import Budget
from msa_learning.index.branch import index_qk
from msa_learning.index.distill import distill
from msa_learning.models.smollm2 import AttentionInput, attend_dense

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn


class DenseDistillation:
    """Dense attention; the index learns from all visible tokens. The trunk is frozen.

    Several indices can learn side by side. Their gradients are in the branches after the model ran;
    `losses` holds the first index's KL of each layer.
    """

    def __init__(self, *indices: nn.ModuleList):
        self.indices, self.losses = indices, []

    def __call__(self, inputs: AttentionInput) -> Float[Tensor, "B Hq T d"]:
        losses = []
        for branches in self.indices:
            with torch.enable_grad():
                distilled = distill(*index_qk(branches, inputs), inputs.q, inputs.k)
                distilled.kl.backward()
            losses.append(distilled.kl.detach())
        self.losses.append(losses[0])
        return attend_dense(inputs)


class SparseDistillation:
    """Attention on the blocks that the index selects; it learns from these. The trunk is frozen.

    Gradients are in the branches after the model ran; `losses` holds the KL of each layer.
    """

    def __init__(self, branches: nn.ModuleList, budget: Budget):
        self.branches, self.budget, self.losses = branches, budget, []

    def __call__(self, inputs: AttentionInput) -> Float[Tensor, "B Hq T d"]:
        with torch.enable_grad():
            index = index_qk(self.branches, inputs)
            distilled = distill(*index, inputs.q, inputs.k, inputs.v, budget=self.budget)
            distilled.kl.backward()
        self.losses.append(distilled.kl.detach())
        return distilled.out


class JointDistillation:
    """Attention on the selected blocks for a trunk that learns too.

    The caller adds `losses`, the KL of each layer, to the language model's loss. Without `detach`
    they also reach the trunk, through the index's input: an experiment, not a recipe.
    """

    def __init__(self, branches: nn.ModuleList, budget: Budget, *, detach: bool):
        self.branches, self.budget, self.detach, self.losses = branches, budget, detach, []

    def __call__(self, inputs: AttentionInput) -> Float[Tensor, "B Hq T d"]:
        index = index_qk(self.branches, inputs, detach=self.detach)
        q, k, v = inputs.q, inputs.k, inputs.v
        distilled = distill(*index, q, k, budget=self.budget)
        self.losses.append(distilled.kl)
        block_size = self.budget.block_size
        return sparse.attention(q, k, v, distilled.selection, block_size=block_size)
