"""Dense causal attention with grouped heads: what every other system is measured against.

MSA paper, section 2; MiniMax-M2 (2605.26494) in all of its 62 layers, with 48 query heads, 8 KV
heads and head_dim 128. Left out: M2's partial rotation and its norms of q and k.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from msa_ref import contracts
from msa_ref import dense as reference
from msa_ref.family.gqa import GQAConfig, gqa_cache, gqa_shapes, store_tokens
from msa_ref.family.inputs import Cache, draw_weights
from msa_ref.family.output import FamilyOutput, attend_tokens

if TYPE_CHECKING:
    from jaxtyping import Float


class DenseConfig(GQAConfig):
    """Grouped-query attention and nothing else."""


def init_weights(config: DenseConfig, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Random q_proj, k_proj and v_proj, each [out, d_model]."""
    return draw_weights(gqa_shapes(config), generator)


def new_cache(config: DenseConfig, batch: int) -> Cache:
    """Empty cache of every token's key and value."""
    return gqa_cache(config, batch)


def attend_to(
    q: Float[np.ndarray, "B Hq T d"],
    k: Float[np.ndarray, "B Hkv S d"],
    v: Float[np.ndarray, "B Hkv S d"],
    config: DenseConfig,
) -> FamilyOutput:
    """Each query over all tokens up to its own; query row t stands at S - T + t."""
    q, k, v = contracts.check_attention(q, k, v)
    return attend_tokens(q, k, v, reference.causal_mask(q.shape[2], k.shape[2]))


def run(
    hidden: Float[np.ndarray, "B T d_model"],
    weights: Mapping[str, np.ndarray],
    config: DenseConfig,
    cache: Cache | None = None,
) -> FamilyOutput:
    """Output of T more tokens, which stand after those the cache holds and are stored in it.

    Raises ValueError or TypeError on what does not fit the config, and then stores nothing.
    """
    cache = new_cache(config, len(hidden)) if cache is None else cache
    q, k, v = store_tokens(hidden, weights, config, cache, gqa_shapes(config))
    return attend_to(q, k, v, config)
