"""The index branch of one layer: the only new weights, which score keys for sparse attention."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from msa_learning.attention.layer import Indexer
from msa_learning.attention.rope import rotate_neighbours
from msa_learning.attention.selection import Budget, select_blocks
from msa_ref.checks import check_sizes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float
    from torch import Tensor

    from msa_learning.models.smollm2 import AttentionInput, Select

INIT_STD = 0.02


class IndexBranch(Indexer):
    """One index query head for every KV group and one index key head that all groups share.

    From hidden [B,T,width], the input of the layer's own q projection: projection, Gemma RMSNorm,
    then RoPE as the layer's q and k have it. Computes in float32 whatever the model's dtype. The
    caller detaches the hidden states where the trunk must not learn from the index.
    """

    def __init__(self, width: int, num_kv_heads: int, index_dim: int):
        check_sizes(width=width, num_kv_heads=num_kv_heads, index_dim=index_dim)
        super().__init__(width, num_kv_heads, index_dim)

    def forward(self, hidden: Float[Tensor, "B T width"], angles: Float[Tensor, "T di/2"]):
        """index_q [B,Hkv,T,di] and index_k [B,1,T,di]."""
        return self.project(hidden.float(), lambda heads: rotate_neighbours(heads, angles))


def new_branches(
    layers: int, width: int, num_kv_heads: int, index_dim: int, *, seed: int
) -> nn.ModuleList:
    """Untrained branches, one a layer, the same for the same seed on every device."""
    generator = torch.Generator().manual_seed(seed)
    branches = nn.ModuleList(IndexBranch(width, num_kv_heads, index_dim) for _ in range(layers))
    for name, weight in branches.named_parameters():
        if "proj" in name:
            nn.init.normal_(weight, std=INIT_STD, generator=generator)
    return branches


def index_qk(
    branches: Sequence[nn.Module], inputs: AttentionInput, *, detach: bool = True
) -> tuple[Float[Tensor, "B Hkv T di"], Float[Tensor, "B 1 S di"]]:
    """index_q of the new tokens and index_k of all, by the branch of the inputs' layer.

    With `detach` no gradient of the index reaches the trunk. With a cache the new index keys are
    stored there.
    """
    hidden = inputs.hidden.detach() if detach else inputs.hidden
    index_q, index_k = branches[inputs.layer](hidden, inputs.angles)
    if inputs.cache is not None:
        index_k = inputs.cache.extend("index_k", inputs.layer, index_k)
    return index_q, index_k


def index_selector(branches: Sequence[nn.Module]) -> Select:
    """The function that selects a layer's blocks by its branch, for `SparseAttention`."""

    def select(inputs: AttentionInput, budget: Budget):
        index = index_qk(branches, inputs)
        return select_blocks(*index, block_size=budget.block_size, top_k=budget.top_k)

    return select
