"""MiniMax Sparse Attention, by the reference's own block scores and selection.

MSA (2606.13392), Eq. 5 to 8: an index branch of two more projections scores tokens by a plain dot
product, the best token stands for its block, and a KV group reads its top-k blocks, the local block
forced and counted. Released M3: blocks of 128, k = 16, 4 index heads of 128 channels.

Left out, as in the whole family: M3's norms of q, k and the index vectors, and its partial
rotation; `msa_ref.layer` has them. The paged cache is `msa_ref.cache`; here it grows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from msa_ref import config as reference
from msa_ref import contracts, scoring
from msa_ref.family import gqa
from msa_ref.family.inputs import GrowingCache, draw_weights, project
from msa_ref.family.masks import tokens_of_best_blocks
from msa_ref.family.output import FamilyOutput, attend_tokens

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True, kw_only=True)
class GQAMSAConfig(gqa.GQAConfig):
    """The reference's sizes (`msa_ref.MSAConfig`, which checks them) with d_model and RoPE."""

    index_dim: int
    block_size: int
    top_k: int
    init_blocks: int = 0
    local_blocks: int = 1

    def __post_init__(self):
        super().__post_init__()
        if self.attention.index_dim % 2:
            raise ValueError(f"index_dim: got {self.index_dim}, takes an even number")

    @property
    def attention(self) -> reference.MSAConfig:
        """The config as the reference takes it."""
        return reference.MSAConfig(
            self.num_heads,
            self.num_kv_heads,
            self.head_dim,
            self.index_dim,
            self.block_size,
            self.top_k,
            self.init_blocks,
            self.local_blocks,
        )


def weight_shapes(config: GQAMSAConfig) -> dict[str, tuple[int, int]]:
    """Shapes [out, d_model] of the five projections: the index branch has one shared key head."""
    return gqa.weight_shapes(config) | {
        "idx_q_proj": (config.num_kv_heads * config.index_dim, config.d_model),
        "idx_k_proj": (config.index_dim, config.d_model),
    }


def init_weights(config: GQAMSAConfig, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Random q_proj, k_proj, v_proj, idx_q_proj and idx_k_proj, each [out, d_model]."""
    return draw_weights(weight_shapes(config), generator)


def new_cache(config: GQAMSAConfig, batch: int) -> GrowingCache:
    """Empty cache of every token's key and value, and of its one index key."""
    return gqa.new_cache(config, batch, index_k=(1, config.index_dim))


def attend_to(
    q: Float[np.ndarray, "B Hq T d"],
    k: Float[np.ndarray, "B Hkv S d"],
    v: Float[np.ndarray, "B Hkv S d"],
    config: GQAMSAConfig,
    *,
    index_q: Float[np.ndarray, "B Hkv T di"],
    index_k: Float[np.ndarray, "B 1 S di"],
) -> FamilyOutput:
    """Each query over the blocks its group picks; query row t stands at S - T + t.

    What `msa_ref.msa_attention` computes, by way of a mask.
    """
    arrays = contracts.check_msa(q, k, v, index_q, index_k, config.attention)
    q, k, v, index_q, index_k = arrays
    allowed = tokens_of_best_blocks(
        scoring.block_scores(index_q, index_k, block_size=config.block_size),
        top_k=config.top_k,
        block_size=config.block_size,
        num_keys=k.shape[2],
        num_heads=config.num_heads,
        init_blocks=config.init_blocks,
        local_blocks=config.local_blocks,
    )
    return attend_tokens(q, k, v, allowed)


def run(
    hidden: Float[np.ndarray, "B T d_model"],
    weights: Mapping[str, np.ndarray],
    config: GQAMSAConfig,
    cache: GrowingCache | None = None,
) -> FamilyOutput:
    """Output of T more tokens, which stand after those the cache holds and are stored in it.

    Raises ValueError or TypeError on what does not fit the config, and then stores nothing.
    """
    cache = new_cache(config, len(hidden)) if cache is None else cache
    q, k, v = gqa.store_tokens(hidden, weights, config, cache, weight_shapes(config))
    first = cache.length - hidden.shape[1]
    index_q = project(hidden, weights["idx_q_proj"], config.num_kv_heads)
    index_k = project(hidden, weights["idx_k_proj"], 1)
    index_q, index_k = (gqa.rope(x, first, config.rope_theta) for x in (index_q, index_k))
    (index_k,) = cache.extend(index_k=index_k)
    return attend_to(q, k, v, config, index_q=index_q, index_k=index_k)
