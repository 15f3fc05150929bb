"""DeepSeek-V4's core: compressed entries and a window of raw ones, each its own key and value.

One vector is both key and value for all heads, so values are rotated with the keys; the output is
rotated back by the query's own position, which leaves the distance between the two. Window and
chosen entries join in one softmax, with a sink logit for each head in its denominator. Source:
DeepSeek-V4, Eq. 18-19, Eq. 27 and section 2.3.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from msa_ref import checks, layer
from msa_ref.family.compress import close_blocks, compressor_shapes, open_block
from msa_ref.family.inputs import GrowingCache, project
from msa_ref.family.latent import check_rotary_fits, rms_norm, rotate_pairs
from msa_ref.family.masks import newest, window_mask
from msa_ref.family.output import FamilyOutput, attend, single_branch, token_entries

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int


@dataclass(frozen=True, kw_only=True)
class SharedKVConfig:
    """Sizes that CSA and HCA share: a summary every `ratio` tokens, a window of raw tokens.

    The last `rotary_dim` of `head_dim` channels rotate. A size below 1, an odd rotary_dim or one
    above head_dim raise ValueError. `overlap` says whether an entry also summarises the block
    before its own.
    """

    overlap: ClassVar[bool]

    d_model: int
    num_heads: int
    head_dim: int
    rotary_dim: int
    q_rank: int
    ratio: int
    window: int = 128
    rope_theta: float = 1.6e5

    def __post_init__(self):
        checks.check_sizes(**{k: v for k, v in vars(self).items() if k != "rope_theta"})
        check_rotary_fits(self.rotary_dim, self.rope_theta, head_dim=self.head_dim)


def weight_shapes(config: SharedKVConfig) -> dict[str, tuple[int, ...]]:
    """Shapes of queries, window, sinks and the main compressor."""
    width, d_model = config.head_dim, config.d_model
    return {
        "q_a_proj": (config.q_rank, d_model),
        "q_a_norm": (config.q_rank,),
        "q_b_proj": (config.num_heads * width, config.q_rank),
        "kv_proj": (width, d_model),
        "kv_norm": (width,),
        "sinks": (config.num_heads,),
        **compressor_shapes("compressor", d_model, width, config.ratio, overlap=config.overlap),
    }


def new_cache(config: SharedKVConfig, batch: int) -> GrowingCache:
    """Empty cache of closed entries, of the window's raw ones, and of the block still open."""
    lane = (1, config.head_dim)
    cache = GrowingCache(config, batch, window=lane, compressor=lane)
    open_block(cache, "compressor", config.head_dim, config.ratio, overlap=config.overlap)
    return cache


def rope_tables(positions: Int[np.ndarray, " n"], config: SharedKVConfig) -> tuple[np.ndarray, ...]:
    """Cosines and sines of these positions."""
    return layer.rotary_tables(positions, rotary_dim=config.rotary_dim, theta=config.rope_theta)


def store_entries(
    hidden: Float[np.ndarray, "B T d_model"],
    weights: Mapping[str, np.ndarray],
    config: SharedKVConfig,
    cache: GrowingCache,
    name: str,
) -> None:
    """Store in lane `name` the entries that the new tokens close, rotated as their block begins."""
    entries = close_blocks(hidden, weights, cache, name, overlap=config.overlap)
    closed = (cache.length + hidden.shape[1]) // config.ratio
    starts = newest(entries.shape[2], closed) * config.ratio
    cache.extend(**{name: rotate_pairs(entries, *rope_tables(starts, config))})


def store_tokens(
    hidden: Float[np.ndarray, "B T d_model"],
    weights: Mapping[str, np.ndarray],
    config: SharedKVConfig,
    cache: GrowingCache,
) -> tuple[np.ndarray, np.ndarray]:
    """Query latents [B,T,q_rank] and queries [B,H,T,d] of new tokens, which are stored."""
    tables = rope_tables(cache.length + np.arange(hidden.shape[1]), config)
    q_latent = rms_norm(hidden @ weights["q_a_proj"].T, weights["q_a_norm"])
    q = rms_norm(project(q_latent, weights["q_b_proj"], config.num_heads))
    raw = rms_norm(project(hidden, weights["kv_proj"], 1), weights["kv_norm"])
    cache.extend(window=rotate_pairs(raw, *tables))
    store_entries(hidden, weights, config, cache, "compressor")
    cache.length += hidden.shape[1]
    return q_latent, rotate_pairs(q, *tables)


def visible_entries(
    config: SharedKVConfig, cache: GrowingCache, num_queries: int
) -> Bool[np.ndarray, "T E"]:
    """True where an entry has closed by the query's token, which may be the one that closed it."""
    positions = newest(num_queries, cache.length)
    entries = newest(cache.lanes["compressor"].shape[2], cache.length // config.ratio)
    return entries < (positions[:, None] + 1) // config.ratio


def attend_joined(
    q: Float[np.ndarray, "B H T d"],
    chosen: Bool[np.ndarray, "#B T E"],
    weights: Mapping[str, np.ndarray],
    config: SharedKVConfig,
    cache: GrowingCache,
) -> FamilyOutput:
    """Each query over its chosen entries and its window; the cache then forgets older tokens."""
    compressed, raw = cache.lanes["compressor"], cache.lanes["window"]
    positions = newest(q.shape[2], cache.length)
    tokens = newest(raw.shape[2], cache.length)
    near = window_mask(positions, tokens, config.window)
    near = np.broadcast_to(near, (len(chosen), *near.shape))
    allowed = np.concatenate([chosen, near], axis=-1)[:, None]
    kv = np.concatenate([compressed, raw], axis=2)
    out, _ = attend(q, kv, kv, allowed, sink=weights["sinks"])
    cos, sin = rope_tables(positions, config)
    cache.lanes["window"] = raw[:, :, -config.window :]

    starts = newest(compressed.shape[2], cache.length // config.ratio) * config.ratio
    first = np.maximum(starts - config.ratio, 0) if config.overlap else starts
    spans = np.stack([first, starts + config.ratio - 1], axis=1)
    entries = np.concatenate([spans, token_entries(tokens)])
    return single_branch(rotate_pairs(out, cos, -sin), entries, allowed)
