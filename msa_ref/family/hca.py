"""HCA of DeepSeek-V4: all of the past in summaries of 128 tokens, and a window of raw tokens.

Paper: DeepSeek-V4 (2606.19348), section 2.3: CSA's compressor without overlap, no indexer: every
closed entry is attended. As released: ratio 128, window 128, entries of 512 channels of which 64
rotate, 64 heads (Flash) or 128 (Pro), base 1.6e5. Left out: the grouped output projection, YaRN,
FP8 and FP4. Weights go by transformers' names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from msa_ref.family import shared_kv
from msa_ref.family.inputs import GrowingCache, check_run
from msa_ref.family.latent import draw_latent_weights
from msa_ref.family.output import FamilyOutput

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True, kw_only=True)
class HCAConfig(shared_kv.SharedKVConfig):
    """Sizes of one layer: an entry stands for `ratio` tokens and no other."""

    overlap: ClassVar[bool] = False
    ratio: int = 128


def weight_shapes(config: HCAConfig) -> dict[str, tuple[int, ...]]:
    """Shapes [out, in] of the projections, those of the norms, the sinks and the position bias."""
    return shared_kv.weight_shapes(config)


def init_weights(config: HCAConfig, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Random weights by the names of `weight_shapes`."""
    return draw_latent_weights(weight_shapes(config), generator)


def new_cache(config: HCAConfig, batch: int) -> GrowingCache:
    """Empty cache of closed entries, the window's raw ones, and the block still open."""
    return shared_kv.new_cache(config, batch)


def run(
    hidden: Float[np.ndarray, "B T d_model"],
    weights: Mapping[str, np.ndarray],
    config: HCAConfig,
    cache: GrowingCache | None = None,
) -> FamilyOutput:
    """Output [B,H,T,head_dim] of T more tokens, stored in the cache after those it holds.

    Entries of the one branch are the closed summaries, then the raw tokens. Raises ValueError or
    TypeError on what does not fit the config, and then stores nothing.
    """
    cache = new_cache(config, len(hidden)) if cache is None else cache
    check_run(hidden, weights, config, cache, weight_shapes(config))
    _, q = shared_kv.store_tokens(hidden, weights, config, cache)
    chosen = shared_kv.visible_entries(config, cache, hidden.shape[1])[None]
    return shared_kv.attend_joined(q, chosen, weights, config, cache)
