"""MiniMax-M3's attention layer in PyTorch: that of `msa_ref.layer`, with gradients to train."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from msa_learning.attention import contracts, sparse
from msa_learning.attention.index_loss import index_kl
from msa_learning.attention.rope import rope_angles, rotate_halves
from msa_learning.attention.selection import select_blocks
from msa_ref.checks import check_int, check_rotary
from msa_ref.config import check_config
from msa_ref.layer import NORM_EPSILON

if TYPE_CHECKING:
    from jaxtyping import Float, Int32
    from torch import Tensor

    from msa_ref.config import MSAConfig

    Rotate = Callable[[Tensor], Tensor]


class LayerOutput(NamedTuple):
    """What the layer returns; no selection in the warm-up, no KL in `eval` mode."""

    out: Float[Tensor, "B T hidden"]
    selection: Int32[Tensor, "B Hkv T k"] | None
    kl: Float[Tensor, ""] | None


class GemmaNorm(nn.Module):
    """Rows divided by their root mean square, times (1 + weight); computed in float32 at least."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows d"]:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        gain = (1 + self.weight).to(wide.dtype)
        return functional.rms_norm(wide, gain.shape, gain, NORM_EPSILON).to(x.dtype)


class Indexer(nn.Module):
    """The index branch: one query head for each group and one key head that all groups share.

    `rotate` gives heads their positions (RoPE), as it does those of the main branch.
    """

    def __init__(self, hidden: int, num_groups: int, index_dim: int):
        super().__init__()
        self.q_proj = nn.Linear(hidden, num_groups * index_dim, bias=False)
        self.k_proj = nn.Linear(hidden, index_dim, bias=False)
        self.q_norm, self.k_norm = GemmaNorm(index_dim), GemmaNorm(index_dim)

    def project(
        self, hidden: Float[Tensor, "B T hidden"], rotate: Rotate
    ) -> tuple[Float[Tensor, "B Hkv T di"], Float[Tensor, "B 1 T di"]]:
        """index_q and index_k, with a gradient that goes on into the hidden states."""
        index_dim = self.k_proj.out_features
        index_q = rotate(self.q_norm(split_heads(self.q_proj(hidden), index_dim)))
        return index_q, rotate(self.k_norm(split_heads(self.k_proj(hidden), index_dim)))

    def forward(
        self, hidden: Float[Tensor, "B T hidden"], rotate: Rotate
    ) -> tuple[Float[Tensor, "B Hkv T di"], Float[Tensor, "B 1 T di"]]:
        """index_q and index_k of detached hidden states: what the index learns stays in it."""
        return self.project(hidden.detach(), rotate)


class M3Attention(nn.Module):
    """One sparse attention layer of MiniMax-M3; its parameters go by Hugging Face's names.

    `hidden` channels come in and go out; `rotary_dim` channels of every head are rotated by
    position. Positions start at 0: a training sequence is one call. In `eval` mode there is no KL.
    Source: MSA paper, section 3; MiniMax-M3's released code.
    """

    def __init__(self, config: MSAConfig, hidden: int, *, rotary_dim: int, rope_theta: float = 5e6):
        super().__init__()
        check_config(config)
        check_int("hidden", hidden, 1)
        check_rotary(rotary_dim, rope_theta, "rope_theta")
        self.config, self.rotary_dim, self.rope_theta = config, rotary_dim, rope_theta
        inside, shared = (n * config.head_dim for n in (config.num_heads, config.num_kv_heads))
        self.q_proj = nn.Linear(hidden, inside, bias=False)
        self.k_proj = nn.Linear(hidden, shared, bias=False)
        self.v_proj = nn.Linear(hidden, shared, bias=False)
        self.o_proj = nn.Linear(inside, hidden, bias=False)
        self.q_norm, self.k_norm = GemmaNorm(config.head_dim), GemmaNorm(config.head_dim)
        self.indexer = Indexer(hidden, config.num_kv_heads, config.index_dim)

    def forward(self, hidden: Float[Tensor, "B T hidden"], *, warm_up: bool = False) -> LayerOutput:
        """Output, selection and, in training, the KL of the index.

        In the warm-up attention is dense and the index learns on all visible tokens; after it
        the index selects, and learns on what it selected.
        """
        config, width = self.config, self.q_proj.in_features
        contracts.check_tensors("B T hidden", hidden=hidden)
        contracts.check_shape("hidden", hidden, (*hidden.shape[:2], width), "B T hidden")
        angles = rope_angles(
            0,
            hidden.shape[1],
            rotary_dim=self.rotary_dim,
            theta=self.rope_theta,
            device=hidden.device,
        )

        def rotate(heads):
            return rotate_halves(heads, angles)

        q = rotate(self.q_norm(split_heads(self.q_proj(hidden), config.head_dim)))
        k = rotate(self.k_norm(split_heads(self.k_proj(hidden), config.head_dim)))
        v = split_heads(self.v_proj(hidden), config.head_dim)
        index_q, index_k = self.indexer(hidden, rotate)
        block_size = config.block_size
        if warm_up:
            selection = None
            attended = functional.scaled_dot_product_attention(
                q, k, v, is_causal=True, enable_gqa=True
            )
        else:
            selection = select_blocks(
                index_q,
                index_k,
                block_size=block_size,
                top_k=config.top_k,
                init_blocks=config.init_blocks,
                local_blocks=config.local_blocks,
            )
            attended = sparse.attention(q, k, v, selection, block_size=block_size)
        kl = None
        if self.training:
            kl = index_kl(index_q, index_k, q, k, selection, block_size=block_size)
        joined = attended.transpose(1, 2).flatten(2)
        return LayerOutput(self.o_proj(joined), selection, kl)


def split_heads(rows: Float[Tensor, "B T n"], head_dim: int) -> Float[Tensor, "B heads T d"]:
    """The heads of a projection, head-major."""
    return rows.unflatten(-1, (-1, head_dim)).transpose(1, 2)
