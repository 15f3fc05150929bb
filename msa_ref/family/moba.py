"""MoBA: every query head picks whole blocks by the mean of their keys, its local block included.

Mixture of Block Attention (2502.13189), section 2.2: score q . mean(k in block), future blocks
-inf, the local block +inf, top-k of them (k = 3 is the local block and two more), causal mask
inside the local block. No weights of its own, one choice per query head. Defaults there: blocks of
512 and k = 3 at 8K, blocks of 4096 and k = 12 at 1M. Ties go to the lower block.

Two traps of public code: with k = 1 the answer is the local block alone, not full attention; and a
block's mean is over whole past blocks only, so it never holds a future key. Left out: the layers
and the generation phase that the paper runs dense; here decoding selects as prefill does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from msa_ref import checks, contracts, dense
from msa_ref.family import gqa
from msa_ref.family.masks import tokens_of_best_blocks
from msa_ref.family.output import FamilyOutput, attend_tokens

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True, kw_only=True)
class MoBAConfig(gqa.GQAConfig):
    """Each head reads `top_k` blocks of `block_size` tokens, the local one included."""

    block_size: int
    top_k: int = 3

    def __post_init__(self):
        super().__post_init__()
        checks.check_sizes(block_size=self.block_size, top_k=self.top_k)


def block_means(
    k: Float[np.ndarray, "B Hkv S d"], block_size: int
) -> Float[np.ndarray, "B Hkv nb d"]:
    """Mean key of every block; the last block may be partial."""
    num_keys = k.shape[2]
    first = np.arange(0, num_keys, block_size)
    sizes = np.minimum(block_size, num_keys - first)
    return np.add.reduceat(k, first, axis=2) / sizes[:, None].astype(k.dtype)


def attend_to(
    q: Float[np.ndarray, "B Hq T d"],
    k: Float[np.ndarray, "B Hkv S d"],
    v: Float[np.ndarray, "B Hkv S d"],
    config: MoBAConfig,
) -> FamilyOutput:
    """Each query over the blocks its head picks; query row t stands at S - T + t.

    The local block is forced, so the mean of a block that is still open decides nothing.
    """
    q, k, v = contracts.check_attention(q, k, v)
    means = block_means(k, config.block_size)
    allowed = tokens_of_best_blocks(
        dense.group_matmul(q, means.swapaxes(-1, -2)),
        top_k=config.top_k,
        block_size=config.block_size,
        num_keys=k.shape[2],
        num_heads=q.shape[1],
        local_blocks=1,
    )
    return attend_tokens(q, k, v, allowed)


init_weights, new_cache = gqa.init_weights, gqa.new_cache
run = gqa.run_with(attend_to)
