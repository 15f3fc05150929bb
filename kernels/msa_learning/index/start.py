"""Where an index starts: at the model's own queries and keys, before it has learned anything.

The index has one query where the model's group has several heads: that of the head which tells keys
apart most. It has one key where the model has one for every group: of each pair of channels that
RoPE turns together it gets the one mixture of the groups' keys that loses least, and the groups
with the sharper heads count more. And it has norms where the model has none: a steady channel keeps
them from taking the keys' lengths away.

An index may also be led by its layer's sharpest head: that head's query and the key that suits it
are held fast, and the other groups' queries learn to use this key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from msa_learning.models.smollm2 import AttentionInput, SmolLM2, attend_dense

if TYPE_CHECKING:
    from jaxtyping import Complex, Float, Int
    from torch import Tensor, nn

    from msa_learning.attention.layer import GemmaNorm

STD = 0.1  # of the weights: the norm behind them hides their scale, the optimiser feels it
STEADY = 4.0  # the steady channel, over the length of all others together
DAMPING = 1e-4


@torch.no_grad()
def start_from_model(
    branches: nn.ModuleList, model: SmolLM2, ids: Int[Tensor, "B T"], *, power: int = 1
) -> list[int]:
    """Set projections and norms of every branch from its layer's weights; `ids` are any real text.

    A group counts by the deviation of its sharpest head's scores to this power. Returned is the
    group that counts most in each layer. An index dimension other than the head dimension:
    ValueError.
    """
    sizes, leaders = model.sizes, []
    if branches[0].k_proj.out_features != sizes.head_dim:
        got = branches[0].k_proj.out_features
        raise ValueError(f"branches: got {got} index channels, takes the heads' {sizes.head_dim}")

    def attend(inputs: AttentionInput):
        layer, branch = model.blk[inputs.layer], branches[inputs.layer]
        q, k = (
            pairs_of(linear.weight, sizes.num_kv_heads, sizes.head_dim)
            for linear in (layer.attn_q, layer.attn_k)
        )
        x = inputs.hidden.flatten(0, 1).double()
        spread, heads = score_spread(inputs.q, inputs.k).max(dim=1)
        leaders.append(int(spread.argmax()))
        *rows, energy = join_groups(
            q[torch.arange(len(q), device=q.device), heads], k[:, 0], x, spread**power
        )
        lanes = (branch.q_proj, branch.q_norm), (branch.k_proj, branch.k_norm)
        for (linear, norm), pairs in zip(lanes, rows):
            weight = torch.view_as_real(pairs).transpose(-2, -1)
            set_lane(linear, norm, weight.reshape(-1, *weight.shape[-3:]), x, energy.argmin())
        return attend_dense(inputs)

    model(ids, attend)
    return leaders


def hold_leader(branch: nn.Module, group: int) -> None:
    """Let nothing of this branch learn but the queries of the groups other than `group`."""
    for parameter in (branch.k_proj.weight, branch.k_norm.weight, branch.q_norm.weight):
        parameter.requires_grad_(False)
    weight = branch.q_proj.weight
    learns = torch.ones_like(weight)
    learns.unflatten(0, (-1, branch.k_proj.out_features))[group] = 0
    weight.register_hook(lambda gradient: gradient * learns)


@torch.no_grad()
def set_lane(
    linear: nn.Linear,
    norm: GemmaNorm,
    weight: Float[Tensor, "heads n 2 width"],
    x: Float[Tensor, "N width"],
    weakest: int,
) -> None:
    """Give a projection these weights, and its norm gains that nearly undo what it divides by.

    In the place of the `weakest` pair one channel is about the same for every token, and long:
    with it all tokens are divided by about the same number. Its own gain is 0.
    """
    weight = weight.clone()
    weight[:, weakest] = 0
    length = (x @ weight.flatten(0, 2).mT).unflatten(1, (len(weight), -1)).square().sum(-1).mean()
    steady = STEADY * length.sqrt()
    weight[:, weakest, 0] = steady * steady_weights(x)
    gains = torch.full_like(norm.weight, steady / norm.weight.numel() ** 0.5)
    gains.unflatten(0, (-1, 2))[weakest] = 0
    norm.weight.copy_(gains - 1)
    linear.weight.copy_(weight.reshape(linear.weight.shape) * (STD / weight.std()))


def steady_weights(x: Float[Tensor, "N width"]) -> Float[Tensor, " width"]:
    """The weights whose product with a token of x is nearest to 1, by least squares."""
    moment = x.mT @ x / len(x)
    moment.diagonal().add_(DAMPING * moment.diagonal().mean())
    return torch.linalg.solve(moment, x.mean(dim=0))


def score_spread(
    q: Float[Tensor, "B Hq T d"], k: Float[Tensor, "B Hkv S d"]
) -> Float[Tensor, "Hkv G"]:
    """How much each head's scores differ from key to key: their standard deviation.

    A head that looks things up stands out: where it finds one its scores are far above the rest.
    """
    queries = q.double().unflatten(1, (k.shape[1], -1))
    keys = k.double() - k.double().mean(dim=2, keepdim=True)
    # The variance of q k over all keys is q' C q, with C the keys' covariance.
    covariance = (keys.mT @ keys)[:, :, None] / k.shape[2]
    moment = queries.mT @ queries / q.shape[2]
    return (moment * covariance).sum(dim=(-2, -1)).mean(dim=0).sqrt()


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
    weight: Float[Tensor, " Hkv"],
) -> tuple[Complex[Tensor, "Hkv n width"], Complex[Tensor, "n width"], Float[Tensor, " n"]]:
    """Rows of index queries and of one index key whose products are nearest to conj(q) k.

    With them, how much each pair moves the scores: the variance that its key explains.

    A pair adds the real part of conj(q_g x) (k_g x') to a score of group g. With one key c for
    all groups, sum_g |w_g q_g|**2 |k_g - a_g c|**2 is least on the tokens x if c is the first
    principal component of the keys, each times its group's weight w_g and the size of its queries.
    Keys count from their mean: a softmax does not feel what all of them share.
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
    # Half of a pair's weight on either side: both pass a norm over all pairs.
    balance = energy[:, -1:].clamp(min=torch.finfo(energy.dtype).tiny) ** 0.25
    return index_q * balance, index_k / balance, energy[:, -1]
