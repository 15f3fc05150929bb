"""Where an index starts: at the model's own queries and keys, before it has learned anything.

The index has one key where the model has one for every group. Of each pair of channels that RoPE
turns together it gets the one mixture of the groups' keys that loses least.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from msa_ref.learning.smollm2 import AttentionInput, SmolLM2, attend_dense

if TYPE_CHECKING:
    from jaxtyping import Complex, Float, Int
    from torch import Tensor, nn

STD = 0.1  # of the weights: the norm behind them hides their scale, the optimiser feels it


@torch.no_grad()
def start_from_model(branches: nn.ModuleList, model: SmolLM2, ids: Int[Tensor, "B T"]) -> None:
    """Set the projections of every branch from its layer's; `ids` are any real text.

    The norms stay as they are. An index dimension other than the head dimension: ValueError.
    """
    sizes = model.sizes
    if branches[0].k_proj.out_features != sizes.head_dim:
        got = branches[0].k_proj.out_features
        raise ValueError(f"branches: got {got} index channels, takes the heads' {sizes.head_dim}")

    def attend(inputs: AttentionInput):
        layer, branch = model.blk[inputs.layer], branches[inputs.layer]
        q, k = (
            pairs_of(linear.weight, sizes.num_kv_heads, sizes.head_dim)
            for linear in (layer.attn_q, layer.attn_k)
        )
        rows = join_groups(q.mean(dim=1), k[:, 0], inputs.hidden.flatten(0, 1).double())
        for linear, pairs in zip((branch.q_proj, branch.k_proj), rows):
            weight = torch.view_as_real(pairs).transpose(-2, -1).reshape(linear.weight.shape)
            linear.weight.copy_(weight * (STD / weight.std()))
        return attend_dense(inputs)

    model(ids, attend)


def pairs_of(
    weight: Float[Tensor, "n width"], groups: int, head_dim: int
) -> Complex[Tensor, "Hkv G d/2 width"]:
    """A projection's rows as complex numbers, one for two channels that RoPE turns together."""
    rows = weight.double().unflatten(0, (groups, -1, head_dim // 2, 2))
    return torch.view_as_complex(rows.transpose(-2, -1).contiguous())


def join_groups(
    q: Complex[Tensor, "Hkv n width"],
    k: Complex[Tensor, "Hkv n width"],
    x: Float[Tensor, "N width"],
) -> tuple[Complex[Tensor, "Hkv n width"], Complex[Tensor, "n width"]]:
    """Rows of index queries and of one index key whose products are nearest to conj(q) k.

    A pair adds the real part of conj(q_g x) (k_g x') to a score of group g. With one key c for
    all groups, sum_g |q_g|**2 |k_g - a_g c|**2 is least on the tokens x if c is the first principal
    component of the keys, each weighted by how large its group's queries are. Keys count from
    their mean: a softmax does not feel what all of them share.
    """
    centred, complex_type = x - x.mean(dim=0), q.dtype
    spread = (centred.mT @ centred / len(x)).to(complex_type)
    moment = (x.mT @ x / len(x)).to(complex_type)
    size = ((q @ moment) * q.conj()).sum(dim=-1).real.sqrt()[..., None]
    weighted = (k * size).transpose(0, 1)
    energy, components = torch.linalg.eigh(weighted @ spread @ weighted.mH)
    first = components[..., -1].conj()  # [n,Hkv]
    index_k = (first[..., None] * weighted).sum(dim=1)
    index_q = first.T[..., None] * q / size
    # Half of a pair's weight on either side: both pass a norm over all pairs.
    balance = energy[:, -1:].clamp(min=torch.finfo(energy.dtype).tiny) ** 0.25
    return index_q * balance, index_k / balance
