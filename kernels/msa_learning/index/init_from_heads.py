"""Initial weights of an index from the queries and keys of the model's own heads.

The index has one query where the model's group has several heads: that of the head whose scores
differ most from key to key. It has one key where the model has one for every group: for each pair
of channels that RoPE rotates together, the mixture of the groups' keys that loses least of their
scores, where groups with sharper heads count more. And it has norms where the model has none: a
channel that is nearly the same for every token keeps the norms from removing the keys' lengths.

An index may also be anchored at its layer's sharpest head: that head's query and the key that suits
it are frozen, and the other groups' queries learn to use this key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from msa_learning.models.smollm2 import AttentionInput, SmolLM2, attend_dense

if TYPE_CHECKING:
    from jaxtyping import Complex, Float, Int
    from torch import Tensor, nn

    from msa_learning.attention.layer import GemmaNorm

STD = 0.1  # of the weights: the norms cancel their scale, but the optimiser's steps depend on it
CONSTANT_SCALE = 4.0  # length of the constant channel over that of all others together
DAMPING = 1e-4


@torch.no_grad()
def init_from_heads(
    branches: nn.ModuleList, model: SmolLM2, ids: Int[Tensor, "B T"], *, power: int = 1
) -> list[int]:
    """Set projections and norms of every branch from its layer's weights.

    `ids` are any real text. A group's weight is the standard deviation of its sharpest head's
    scores to this power. Returns each layer's group of largest weight. An index dimension other
    than the head dimension: ValueError.
    """
    sizes, anchor_groups = model.sizes, []
    if branches[0].k_proj.out_features != sizes.head_dim:
        got = branches[0].k_proj.out_features
        raise ValueError(f"branches: got {got} index channels, takes the heads' {sizes.head_dim}")

    def attend(inputs: AttentionInput):
        layer, branch = model.blk[inputs.layer], branches[inputs.layer]
        q, k = (
            complex_pairs(linear.weight, sizes.num_kv_heads, sizes.head_dim)
            for linear in (layer.attn_q, layer.attn_k)
        )
        x = inputs.hidden.flatten(0, 1).double()
        std, heads = score_std(inputs.q, inputs.k).max(dim=1)
        anchor_groups.append(int(std.argmax()))
        *rows, energy = join_groups(
            q[torch.arange(len(q), device=q.device), heads], k[:, 0], x, std**power
        )
        targets = (branch.q_proj, branch.q_norm), (branch.k_proj, branch.k_norm)
        for (linear, norm), pairs in zip(targets, rows):
            weight = torch.view_as_real(pairs).transpose(-2, -1)
            weight = weight.reshape(-1, *weight.shape[-3:])
            set_projection_and_norm(linear, norm, weight, x, energy.argmin())
        return attend_dense(inputs)

    model(ids, attend)
    return anchor_groups


def freeze_anchor(branch: nn.Module, group: int) -> None:
    """Freeze all of this branch but the queries of the groups other than `group`."""
    for parameter in (branch.k_proj.weight, branch.k_norm.weight, branch.q_norm.weight):
        parameter.requires_grad_(False)
    weight = branch.q_proj.weight
    learns = torch.ones_like(weight)
    learns.unflatten(0, (-1, branch.k_proj.out_features))[group] = 0
    weight.register_hook(lambda gradient: gradient * learns)


@torch.no_grad()
def set_projection_and_norm(
    linear: nn.Linear,
    norm: GemmaNorm,
    weight: Float[Tensor, "heads n 2 width"],
    x: Float[Tensor, "N width"],
    weakest: int,
) -> None:
    """Set a projection's weights, and its norm's gains so that the norm is close to the identity.

    The `weakest` pair of channels gives way to one channel that is nearly constant over tokens and
    longer than all others together, so that the norm divides every token by nearly the same
    number. The gain of the constant channel is 0.
    """
    weight = weight.clone()
    weight[:, weakest] = 0
    length = (x @ weight.flatten(0, 2).mT).unflatten(1, (len(weight), -1)).square().sum(-1).mean()
    constant = CONSTANT_SCALE * length.sqrt()
    weight[:, weakest, 0] = constant * constant_channel_weights(x)
    gains = torch.full_like(norm.weight, constant / norm.weight.numel() ** 0.5)
    gains.unflatten(0, (-1, 2))[weakest] = 0
    norm.weight.copy_(gains - 1)
    linear.weight.copy_(weight.reshape(linear.weight.shape) * (STD / weight.std()))


def constant_channel_weights(x: Float[Tensor, "N width"]) -> Float[Tensor, " width"]:
    """The weights whose product with a token of x is nearest to 1, by damped least squares."""
    moment = x.mT @ x / len(x)
    moment.diagonal().add_(DAMPING * moment.diagonal().mean())
    return torch.linalg.solve(moment, x.mean(dim=0))


def score_std(
    q: Float[Tensor, "B Hq T d"], k: Float[Tensor, "B Hkv S d"]
) -> Float[Tensor, "Hkv G"]:
    """Standard deviation over keys of each head's scores.

    It is large for a head that looks things up: few of its scores are far above the rest.
    """
    queries = q.double().unflatten(1, (k.shape[1], -1))
    keys = k.double() - k.double().mean(dim=2, keepdim=True)
    # The variance of q k over all keys is q' C q, with C the keys' covariance.
    covariance = (keys.mT @ keys)[:, :, None] / k.shape[2]
    moment = queries.mT @ queries / q.shape[2]
    return (moment * covariance).sum(dim=(-2, -1)).mean(dim=0).sqrt()


def complex_pairs(
    weight: Float[Tensor, "n width"], groups: int, head_dim: int
) -> Complex[Tensor, "Hkv G d/2 width"]:
    """A projection's rows as complex numbers, one for two channels that RoPE rotates together."""
    rows = weight.double().unflatten(0, (groups, -1, head_dim // 2, 2))
    return torch.view_as_complex(rows.transpose(-2, -1).contiguous())


def join_groups(
    q: Complex[Tensor, "Hkv n width"],
    k: Complex[Tensor, "Hkv n width"],
    x: Float[Tensor, "N width"],
    weight: Float[Tensor, " Hkv"],
) -> tuple[Complex[Tensor, "Hkv n width"], Complex[Tensor, "n width"], Float[Tensor, " n"]]:
    """Rows of the index queries and of the one index key that approximate the groups' scores.

    Also the energy of each pair: the variance of the scores that its key explains.

    A pair adds the real part of conj(q_g x) (k_g x') to a score of group g. With one key c for
    all groups, sum_g |w_g q_g|**2 |k_g - a_g c|**2 is least on the tokens x if c is the first
    principal component of the keys, each times its group's weight w_g and the size of its queries.
    Keys count from their mean: a softmax does not depend on what all keys share.
    """
    centred, complex_type = x - x.mean(dim=0), q.dtype
    covariance = (centred.mT @ centred / len(x)).to(complex_type)
    moment = (x.mT @ x / len(x)).to(complex_type)
    size = ((q @ moment) * q.conj()).sum(dim=-1).real.sqrt()
    size = (size * weight[:, None])[..., None]
    weighted = (k * size).transpose(0, 1)
    energy, components = torch.linalg.eigh(weighted @ covariance @ weighted.mH)
    first = components[..., -1].conj()  # [n,Hkv]
    index_k = (first[..., None] * weighted).sum(dim=1)
    index_q = first.T[..., None] * q / size
    # The square root of a pair's size on either side: q and k each pass a norm over all pairs.
    balance = energy[:, -1:].clamp(min=torch.finfo(energy.dtype).tiny) ** 0.25
    return index_q * balance, index_k / balance, energy[:, -1]
