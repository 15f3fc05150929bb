"""Attention that teaches the index while the model runs: the loss of every layer, where it arises.

Each is handed to `SmolLM2` as its `attend`. The trunk may run without gradients: a layer's loss
needs its input, q and k alone, so it goes backward on the spot and nothing of it is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from msa_ref.learning import select, sparse
from msa_ref.learning.loss import index_kl
from msa_ref.learning.smollm2 import AttentionInput, attend_dense, index_lanes

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn

CHUNK = 512


class WarmUp:
    """Dense attention; the index learns from all visible tokens. The trunk is frozen.

    `losses` fills with the KL of each layer, whose gradient is in the branches already.
    """

    def __init__(self, branches: nn.ModuleList):
        self.branches, self.losses = branches, []

    def __call__(self, inputs: AttentionInput) -> Float[Tensor, "B Hq T d"]:
        with torch.enable_grad():
            index_q, index_k = index_lanes(self.branches, inputs)
            loss = index_kl(index_q, index_k, inputs.q, inputs.k, block_size=1, chunk=CHUNK)
            loss.backward()
        self.losses.append(loss.detach())
        return attend_dense(inputs)


class SparseLearning:
    """Attention on the selected blocks; the index learns from these. The trunk is frozen."""

    def __init__(self, branches: nn.ModuleList, *, block_size: int, top_k: int):
        self.branches, self.losses = branches, []
        self.block_size, self.top_k = block_size, top_k

    def __call__(self, inputs: AttentionInput) -> Float[Tensor, "B Hq T d"]:
        with torch.enable_grad():
            loss, out = self.attend(inputs, detach=True)
            loss.backward()
        self.losses.append(loss.detach())
        return out

    def attend(self, inputs: AttentionInput, *, detach: bool):
        """The layer's loss, not yet backward, and its output."""
        index_q, index_k = index_lanes(self.branches, inputs, detach=detach)
        block_size, top_k = self.block_size, self.top_k
        chosen = select.select_blocks(index_q, index_k, block_size=block_size, top_k=top_k)
        q, k, v = inputs.q, inputs.k, inputs.v
        loss = index_kl(index_q, index_k, q, k, chosen, block_size=block_size, chunk=CHUNK)
        return loss, sparse.attention(q, k, v, chosen, block_size=block_size)


class JointLearning(SparseLearning):
    """The same with a trunk that learns too: `losses` are to be added to the language model's.

    Without `detach` the KL reaches the trunk through the index's input: what that breaks is one
    of the experiments.
    """

    def __init__(self, branches: nn.ModuleList, *, block_size: int, top_k: int, detach: bool):
        super().__init__(branches, block_size=block_size, top_k=top_k)
        self.detach = detach

    def __call__(self, inputs: AttentionInput) -> Float[Tensor, "B Hq T d"]:
        loss, out = self.attend(inputs, detach=self.detach)
        self.losses.append(loss)
        return out
