"""Attention that teaches the index while the model runs: the loss of every layer, where it arises.

Each is handed to `SmolLM2` as its `attend`. The trunk may run without gradients: a layer's loss
needs its input, q and k alone, so it goes backward on the spot and nothing of it is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from msa_learning.attention import sparse
from msa_learning.index.teaching import teach
from msa_learning.models.smollm2 import AttentionInput, attend_dense, index_lanes

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn


class WarmUp:
    """Dense attention; the index learns from all visible tokens. The trunk is frozen.

    Several indices can learn side by side, each with its gradients in its branches already.
    `losses` fills with the first one's KL of each layer.
    """

    def __init__(self, *indices: nn.ModuleList):
        self.indices, self.losses = indices, []

    def __call__(self, inputs: AttentionInput) -> Float[Tensor, "B Hq T d"]:
        losses = []
        for branches in self.indices:
            with torch.enable_grad():
                lesson = teach(*index_lanes(branches, inputs), inputs.q, inputs.k)
                lesson.kl.backward()
            losses.append(lesson.kl.detach())
        self.losses.append(losses[0])
        return attend_dense(inputs)


class SparseLearning:
    """Attention on the selected blocks; the index learns from these. The trunk is frozen."""

    def __init__(self, branches: nn.ModuleList, *, block_size: int, top_k: int):
        self.branches, self.losses = branches, []
        self.sizes = {"block_size": block_size, "top_k": top_k}

    def __call__(self, inputs: AttentionInput) -> Float[Tensor, "B Hq T d"]:
        with torch.enable_grad():
            index = index_lanes(self.branches, inputs)
            lesson = teach(*index, inputs.q, inputs.k, inputs.v, **self.sizes)
            lesson.kl.backward()
        self.losses.append(lesson.kl.detach())
        return lesson.out


class JointLearning(SparseLearning):
    """The same with a trunk that learns too: `losses` are to be added to the language model's.

    Without `detach` the KL reaches the trunk through the index's input: what that breaks is one
    of the experiments.
    """

    def __init__(self, branches: nn.ModuleList, *, block_size: int, top_k: int, detach: bool):
        super().__init__(branches, block_size=block_size, top_k=top_k)
        self.detach = detach

    def __call__(self, inputs: AttentionInput) -> Float[Tensor, "B Hq T d"]:
        index = index_lanes(self.branches, inputs, detach=self.detach)
        q, k, v = inputs.q, inputs.k, inputs.v
        lesson = teach(*index, q, k, **self.sizes)
        self.losses.append(lesson.kl)
        return sparse.attention(q, k, v, lesson.selection, block_size=self.sizes["block_size"])
