"""CSA of DeepSeek-V4: summaries of 8 tokens every 4, a lightning indexer picks among them.

Paper: DeepSeek-V4 (2606.19348), section 2.3: overlapping compression (Eq. 9-12), the indexer in the
compressed space with a compressor of its own (Eq. 13-17), and the core it shares with HCA (Eq.
18-19, 27). As released: ratio 4, top_k 512 entries (Flash) or 1024 (Pro), window 128, 64 index
heads of 128 channels; entries of 512 channels of which 64 rotate. Left out: the grouped output
projection, the indexer's Hadamard rotation, YaRN, FP8 and FP4. Weights go by transformers' names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from msa_ref.family import shared_kv
from msa_ref.family.compress import compressor_shapes, open_block
from msa_ref.family.inputs import GrowingCache, check_run, project
from msa_ref.family.latent import check_rotary_fits, draw_latent_weights, rotate_pairs
from msa_ref.family.lightning import lightning_scores
from msa_ref.family.masks import newest, top_k_mask
from msa_ref.family.output import FamilyOutput

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True, kw_only=True)
class CSAConfig(shared_kv.SharedKVConfig):
    """Sizes of one layer: an entry every `ratio` tokens stands for 2 * ratio, `top_k` are read.

    The window comes on top of `top_k`. A rotary_dim above index_dim raises ValueError too.
    """

    overlap: ClassVar[bool] = True
    ratio: int = 4
    index_heads: int
    index_dim: int
    top_k: int

    def __post_init__(self):
        super().__post_init__()
        check_rotary_fits(self.rotary_dim, self.rope_theta, index_dim=self.index_dim)


def weight_shapes(config: CSAConfig) -> dict[str, tuple[int, ...]]:
    """Shapes [out, in] of the projections, those of the norms, the sinks and position biases."""
    heads, width, d_model = config.index_heads, config.index_dim, config.d_model
    return {
        **shared_kv.weight_shapes(config),
        **compressor_shapes("indexer", d_model, width, config.ratio, overlap=config.overlap),
        "indexer.q_b_proj": (heads * width, config.q_rank),
        "indexer.weights_proj": (heads, d_model),
    }


def init_weights(config: CSAConfig, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Random weights by the names of `weight_shapes`."""
    return draw_latent_weights(weight_shapes(config), generator)


def new_cache(config: CSAConfig, batch: int) -> GrowingCache:
    """Empty cache of entries, index entries, the window, and both compressors' two slots."""
    cache = shared_kv.new_cache(config, batch)
    cache.lanes["indexer"] = np.zeros((batch, 1, 0, config.index_dim))
    open_block(cache, "indexer", config.index_dim, config.ratio, overlap=config.overlap)
    return cache


def run(
    hidden: Float[np.ndarray, "B T d_model"],
    weights: Mapping[str, np.ndarray],
    config: CSAConfig,
    cache: GrowingCache | None = None,
) -> FamilyOutput:
    """Output [B,H,T,head_dim] of T more tokens, stored in the cache after those it holds.

    Entries of the one branch are the closed summaries, then the raw tokens. Raises ValueError or
    TypeError on what does not fit the config, and then stores nothing.
    """
    cache = new_cache(config, len(hidden)) if cache is None else cache
    check_run(hidden, weights, config, cache, weight_shapes(config))
    shared_kv.store_entries(hidden, weights, config, cache, "indexer")
    q_latent, q = shared_kv.store_tokens(hidden, weights, config, cache)

    num_queries = hidden.shape[1]
    index_q = project(q_latent, weights["indexer.q_b_proj"], config.index_heads)
    tables = shared_kv.rope_tables(newest(num_queries, cache.length), config)
    index_q = rotate_pairs(index_q, *tables)
    votes = project(hidden, weights["indexer.weights_proj"], config.index_heads)
    visible = shared_kv.visible_entries(config, cache, num_queries)
    scores = lightning_scores(index_q, cache.lanes["indexer"], votes, visible)
    chosen = top_k_mask(scores, config.top_k)
    return shared_kv.attend_joined(q, chosen, weights, config, cache)
