"""DSA of DeepSeek-V3.2: a lightning indexer picks tokens, MLA attends to their latents.

Paper: DeepSeek-V3.2, Eq. 1 (index score) and Eq. 2 (attention over the top k). As released: 128
heads, latents of 512 + 64 rotated channels, 64 index heads of 128, k = 2048 tokens, one selection
for all heads. Left out: the Hadamard rotation of index queries and keys and their FP8 (neither
changes the ranking beyond rounding), FP8 of the cache, YaRN. Weights go by transformers' names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from msa_ref import checks, layer
from msa_ref.dense import causal_mask
from msa_ref.family.inputs import GrowingCache, check_run, project
from msa_ref.family.latent import (
    check_rotary_fits,
    draw_latent_weights,
    layer_norm,
    rms_norm,
    rotate_pairs,
)
from msa_ref.family.lightning import lightning_scores
from msa_ref.family.masks import top_k_mask
from msa_ref.family.output import FamilyOutput, attend, single_branch, token_entries

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True, kw_only=True)
class DSAConfig:
    """Sizes of one layer: MLA's (`q_rank` to `v_dim`), the indexer's, and `top_k` in tokens.

    A query and a key have `plain_dim` channels without position and `rotary_dim` with. A size
    below 1, an odd rotary_dim or one above index_dim raise ValueError.
    """

    d_model: int
    num_heads: int
    q_rank: int
    kv_rank: int
    plain_dim: int
    rotary_dim: int
    v_dim: int
    index_heads: int
    index_dim: int
    top_k: int
    rope_theta: float = 1e4

    def __post_init__(self):
        checks.check_sizes(**{k: v for k, v in vars(self).items() if k != "rope_theta"})
        check_rotary_fits(self.rotary_dim, self.rope_theta, index_dim=self.index_dim)


def weight_shapes(config: DSAConfig) -> dict[str, tuple[int, ...]]:
    """Shapes [out, in] of the projections, and those of the norms."""
    heads, rotary = config.num_heads, config.rotary_dim
    return {
        "q_a_proj": (config.q_rank, config.d_model),
        "q_a_layernorm": (config.q_rank,),
        "q_b_proj": (heads * (config.plain_dim + rotary), config.q_rank),
        "kv_a_proj_with_mqa": (config.kv_rank + rotary, config.d_model),
        "kv_a_layernorm": (config.kv_rank,),
        "kv_b_proj": (heads * (config.plain_dim + config.v_dim), config.kv_rank),
        "indexer.wq_b": (config.index_heads * config.index_dim, config.q_rank),
        "indexer.wk": (config.index_dim, config.d_model),
        "indexer.k_norm.weight": (config.index_dim,),
        "indexer.k_norm.bias": (config.index_dim,),
        "indexer.weights_proj": (config.index_heads, config.d_model),
    }


def init_weights(config: DSAConfig, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Random weights by the names of `weight_shapes`."""
    return draw_latent_weights(weight_shapes(config), generator)


def new_cache(config: DSAConfig, batch: int) -> GrowingCache:
    """Empty cache of every token's latent (with its rotated key) and index key: no head has any."""
    latent = (1, config.kv_rank + config.rotary_dim)
    return GrowingCache(config, batch, latent=latent, index_k=(1, config.index_dim))


def index_vectors(
    hidden: Float[np.ndarray, "B T d_model"],
    q_latent: Float[np.ndarray, "B T q_rank"],
    weights: Mapping[str, np.ndarray],
    config: DSAConfig,
    tables: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Index queries [B,HI,T,di], the one index key [B,1,T,di], and votes [B,HI,T,1].

    Their first channels rotate, in split halves; MLA's last do, in interleaved pairs.
    """
    index_q = project(q_latent, weights["indexer.wq_b"], config.index_heads)
    index_k = layer_norm(
        project(hidden, weights["indexer.wk"], 1),
        weights["indexer.k_norm.weight"],
        weights["indexer.k_norm.bias"],
    )
    votes = project(hidden, weights["indexer.weights_proj"], config.index_heads)
    return layer.rotate(index_q, *tables), layer.rotate(index_k, *tables), votes


def run(
    hidden: Float[np.ndarray, "B T d_model"],
    weights: Mapping[str, np.ndarray],
    config: DSAConfig,
    cache: GrowingCache | None = None,
) -> FamilyOutput:
    """Output [B,H,T,v_dim] of T more tokens, stored in the cache after those it holds.

    MLA runs in its absorbed form, one shared key [latent; rotated key] and one shared value (the
    latent) for all heads: a head's key projection moves to its query, its value projection to its
    output. Raises ValueError or TypeError on what does not fit the config, and then stores nothing.
    """
    cache = new_cache(config, len(hidden)) if cache is None else cache
    check_run(hidden, weights, config, cache, weight_shapes(config))
    num_queries = hidden.shape[1]
    positions = cache.length + np.arange(num_queries)
    tables = layer.rotary_tables(positions, rotary_dim=config.rotary_dim, theta=config.rope_theta)

    q_latent = rms_norm(hidden @ weights["q_a_proj"].T, weights["q_a_layernorm"])
    q = rotate_pairs(project(q_latent, weights["q_b_proj"], config.num_heads), *tables)
    kv = rotate_pairs(project(hidden, weights["kv_a_proj_with_mqa"], 1), *tables)
    latent, rotated = np.split(kv, [config.kv_rank], axis=-1)
    latent = rms_norm(latent, weights["kv_a_layernorm"])
    index_q, index_k, votes = index_vectors(hidden, q_latent, weights, config, tables)
    kv, index_k = cache.extend(latent=np.concatenate([latent, rotated], axis=-1), index_k=index_k)
    cache.length += num_queries

    visible = causal_mask(num_queries, cache.length)
    chosen = top_k_mask(lightning_scores(index_q, index_k, votes, visible), config.top_k)
    allowed = chosen[:, None]

    per_head = weights["kv_b_proj"].reshape(config.num_heads, -1, config.kv_rank)
    up_k, up_v = np.split(per_head, [config.plain_dim], axis=1)
    plain, rotated = np.split(q, [config.plain_dim], axis=-1)
    absorbed = np.concatenate([plain @ up_k, rotated], axis=-1)
    scale = (config.plain_dim + config.rotary_dim) ** -0.5
    out, _ = attend(absorbed, kv, kv[..., : config.kv_rank], allowed, scale=scale)
    out = out @ up_v.swapaxes(-1, -2)
    return single_branch(out, token_entries(np.arange(cache.length)), allowed)
