"""Sliding window with attention sinks: a query sees the last `window` tokens and the first `sinks`.

StreamingLLM (2309.17453), section 3.2, whose default is 4 sinks; a window alone (sinks = 0) is the
"SWA" of hybrid models. What is chosen depends on positions alone, so it is the baseline for the
question whether content matters. The cache forgets: its size is constant. Left out: StreamingLLM
counts rotary positions inside its cache; here a token keeps the position it has in the text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from msa_ref import blocks, checks, contracts
from msa_ref.family import gqa
from msa_ref.family.inputs import GrowingCache
from msa_ref.family.masks import window_mask
from msa_ref.family.output import FamilyOutput, attend, single_branch, token_entries

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int


@dataclass(frozen=True, kw_only=True)
class WindowConfig(gqa.GQAConfig):
    """`window` tokens that end with the query's own, at least 1; `sinks` from 0 on."""

    window: int
    sinks: int = 4

    def __post_init__(self):
        super().__post_init__()
        checks.check_sizes(window=self.window)
        checks.check_int("sinks", self.sinks, 0)


init_weights, new_cache = gqa.init_weights, gqa.new_cache


def within_reach(
    positions: Int[np.ndarray, " T"], tokens: Int[np.ndarray, " E"], config: WindowConfig
) -> Bool[np.ndarray, "T E"]:
    """True where a query at one of the positions may attend to a token."""
    sinks = (tokens < config.sinks) & (tokens <= positions[:, None])
    return window_mask(positions, tokens, config.window) | sinks


def cached_tokens(length: int, config: WindowConfig) -> Int[np.ndarray, " E"]:
    """The tokens a cache holds after `length`: those in reach of the query that comes next."""
    tokens = np.arange(length)
    return tokens[within_reach(np.array([length]), tokens, config)[0]]


def attend_among(
    q: Float[np.ndarray, "B Hq T d"],
    k: Float[np.ndarray, "B Hkv E d"],
    v: Float[np.ndarray, "B Hkv E d"],
    tokens: Int[np.ndarray, " E"],
    positions: Int[np.ndarray, " T"],
    config: WindowConfig,
) -> FamilyOutput:
    """Queries at `positions` over the keys of `tokens`."""
    allowed = within_reach(positions, tokens, config)
    out, _ = attend(q, k, v, allowed)
    return single_branch(out, token_entries(tokens), allowed)


def attend_to(
    q: Float[np.ndarray, "B Hq T d"],
    k: Float[np.ndarray, "B Hkv S d"],
    v: Float[np.ndarray, "B Hkv S d"],
    config: WindowConfig,
) -> FamilyOutput:
    """Each query over its window and the sinks; query row t stands at S - T + t."""
    q, k, v = contracts.check_attention(q, k, v)
    positions = blocks.query_positions(q.shape[2], k.shape[2])
    return attend_among(q, k, v, np.arange(k.shape[2]), positions, config)


def run(
    hidden: Float[np.ndarray, "B T d_model"],
    weights: Mapping[str, np.ndarray],
    config: WindowConfig,
    cache: GrowingCache | None = None,
) -> FamilyOutput:
    """Output of T more tokens; the cache then forgets what no later query can reach.

    The entries are the tokens that the cache held and the new ones. Raises ValueError or TypeError
    on what does not fit the config, and then stores nothing.
    """
    cache = new_cache(config, len(hidden)) if cache is None else cache
    q, k, v = gqa.store_tokens(hidden, weights, config, cache, gqa.weight_shapes(config))
    first = cache.length - hidden.shape[1]
    positions = np.arange(first, cache.length)
    tokens = np.append(cached_tokens(first, config), positions)
    output = attend_among(q, k, v, tokens, positions, config)
    keep = np.isin(tokens, cached_tokens(cache.length, config))
    cache.lanes = {name: lane[:, :, keep] for name, lane in cache.lanes.items()}
    return output
