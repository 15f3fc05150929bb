"""MoBA: every query head picks whole blocks by the mean of their keys, its own block included.

Mixture of Block Attention (2502.13189), section 2.2: score q . mean(k in block), future blocks
-inf, own block +inf, top-k of them (k = 3 is the own block and two more), causal mask inside the
own block. No weights of its own, one choice per query head. Defaults there: blocks of 512 and k = 3
at 8K, blocks of 4096 and k = 12 at 1M. Ties go to the lower block.

Two traps of public code: with k = 1 the answer is the own block alone, not full attention; and a
block's mean is over whole past blocks only, so it never holds a future key. Left out: the layers
and the generation phase that the paper runs dense; here decoding selects as prefill does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from msa_ref import checks, contracts, dense
from msa_ref.family.gqa import GQAConfig, gqa_cache, gqa_shapes, store_tokens
from msa_ref.family.inputs import Cache, draw_weights
from msa_ref.family.masks import tokens_of_best_blocks
from msa_ref.family.output import FamilyOutput, attend_tokens

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True, kw_only=True)
class MoBAConfig(GQAConfig):
    """Each head reads `top_k` blocks of `block_size` tokens, its own block counted."""

    block_size: int
    top_k: int = 3

    def __post_init__(self):
        super().__post_init__()
        checks.check_sizes(block_size=self.block_size, top_k=self.top_k)


def init_weights(config: MoBAConfig, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Random q_proj, k_proj and v_proj, each [out, d_model]: MoBA adds none."""
    return draw_weights(gqa_shapes(config), generator)


def new_cache(config: MoBAConfig, batch: int) -> Cache:
    """Empty cache of every token's key and value."""
    return gqa_cache(config, batch)


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

    The own block is forced, so the mean of a block that is not over yet decides nothing.
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


def run(
    hidden: Float[np.ndarray, "B T d_model"],
    weights: Mapping[str, np.ndarray],
    config: MoBAConfig,
    cache: Cache | None = None,
) -> FamilyOutput:
    """Output of T more tokens, which stand after those the cache holds and are stored in it.

    Raises ValueError or TypeError on what does not fit the config, and then stores nothing.
    """
    cache = new_cache(config, len(hidden)) if cache is None else cache
    q, k, v = store_tokens(hidden, weights, config, cache, gqa_shapes(config))
    return attend_to(q, k, v, config)
