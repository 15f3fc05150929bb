"""Builders that the kernels' tests share: inputs, selections of three kinds, filled caches."""

from typing import NamedTuple

import numpy as np
import torch

import msa_ref
from msa_kernels.arguments import Lengths
from msa_ref import MSAConfig

# No two sizes are equal but where the kernels ask for it: 3 heads a group, d and di apart.
ODD = MSAConfig(num_heads=6, num_kv_heads=2, head_dim=32, index_dim=64, block_size=16, top_k=3)


class Lanes(NamedTuple):
    """The five tensors of msa_attention, in its order."""

    q: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor
    index_q: torch.Tensor
    index_k: torch.Tensor

    def exact(self):
        """The same numbers as float64 arrays, for the reference."""
        return [lane.double().cpu().numpy() for lane in self]


def make_lanes(config, *, batch, num_queries, num_keys, dtype, device, seed=0):
    """Random lanes: query rows are the last of the keys."""
    rng = np.random.default_rng(seed)
    groups, d, di = config.num_kv_heads, config.head_dim, config.index_dim
    shapes = (
        (batch, config.num_heads, num_queries, d),
        (batch, groups, num_keys, d),
        (batch, groups, num_keys, d),
        (batch, groups, num_queries, di),
        (batch, 1, num_keys, di),
    )
    lanes = (torch.from_numpy(rng.standard_normal(shape)) for shape in shapes)
    return Lanes(*(lane.to(device=device, dtype=dtype) for lane in lanes))


def reference(lanes, config):
    """What the reference makes of the lanes in float64."""
    return msa_ref.msa_attention(*lanes.exact(), config)


def pick(kind, *, batch, groups, num_queries, num_keys, block_size, top_k, seed=0):
    """A selection of which every row holds its local block.

    "rand": independent rows; "corr": each other block is redrawn from one query to the next with
    probability 1/8; "sink": "rand", and nearly every row chose block 0. The last row of the
    second sequence, if there is one, selects nothing.
    """
    rng = np.random.default_rng(seed)
    selection = np.full((batch, groups, num_queries, top_k), -1, dtype=np.int32)
    for b, g in np.ndindex(batch, groups):
        kept = []
        for t in range(num_queries):
            own = (num_keys - num_queries + t) // block_size
            if kind == "corr":
                kept = [block for block in kept if block < own and rng.random() > 1 / 8]
            else:
                kept = [0] if kind == "sink" and own and rng.random() < 0.9 else []
            others = rng.permutation(np.setdiff1d(np.arange(own), kept)).tolist()
            kept = (kept + others)[: top_k - 1]
            row = sorted({*kept, own})
            selection[b, g, t, : len(row)] = row
    if batch > 1:
        selection[1, :, -1] = -1
    return selection


def whole(batch, num_queries, num_keys, device):
    """Lengths of a batch that is not ragged."""
    return Lengths(ints([num_queries] * batch, device), ints([num_keys] * batch, device))


def ints(values, device):
    """An int32 tensor."""
    return torch.tensor(values, dtype=torch.int32, device=device)
