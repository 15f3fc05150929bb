"""Quest: every query head reads the pages whose keys could score highest, by a bound per channel.

Quest (2406.10774), section 3.2 and algorithm 1. A page keeps, channel by channel, the smallest and
the largest key it holds; sum_c max(q_c min_c, q_c max_c) is then at least q . k of any of its keys.
The top-k pages by that bound are read, ties to the lower page. Training-free, made for decoding: a
query meets its local page as it is at that moment, partly filled, and no page is forced. Default
there: pages of 16 tokens.

Left out: Quest's first two layers are dense, and its prefill is; its kernels always read the page
being filled, inside the budget.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from msa_ref import blocks, checks, contracts, dense
from msa_ref.family import gqa
from msa_ref.family.inputs import GrowingCache
from msa_ref.family.masks import tokens_of_best_blocks
from msa_ref.family.output import FamilyOutput, attend_tokens

if TYPE_CHECKING:
    from jaxtyping import Float

    Bounds = tuple[Float[np.ndarray, "B Hkv P d"], Float[np.ndarray, "B Hkv P d"]]
    NewBounds = tuple[Float[np.ndarray, "B Hkv P_new d"], Float[np.ndarray, "B Hkv P_new d"]]


@dataclass(frozen=True, kw_only=True)
class QuestConfig(gqa.GQAConfig):
    """Each head reads `top_k` pages of `page_size` tokens."""

    top_k: int
    page_size: int = 16

    def __post_init__(self):
        super().__post_init__()
        checks.check_sizes(top_k=self.top_k, page_size=self.page_size)


init_weights = gqa.init_weights


def new_cache(config: QuestConfig, batch: int) -> GrowingCache:
    """Empty cache of keys and values, and of two vectors a page: `low` and `high`."""
    lane = (config.num_kv_heads, config.head_dim)
    return gqa.new_cache(config, batch, low=lane, high=lane)


def add_key(bounds: Bounds, key: Float[np.ndarray, "B Hkv 1 d"], opens_page: bool) -> NewBounds:
    """The pages' bounds with one more key, in the last page or in a new one."""
    low, high = bounds
    if opens_page:
        return np.concatenate([low, key], axis=2), np.concatenate([high, key], axis=2)
    low, high = low.copy(), high.copy()
    low[:, :, -1:] = np.minimum(low[:, :, -1:], key)
    high[:, :, -1:] = np.maximum(high[:, :, -1:], key)
    return low, high


def page_scores(q: Float[np.ndarray, "B Hq 1 d"], bounds: Bounds) -> Float[np.ndarray, "B Hq 1 P"]:
    """The most that q . k can be for a key of each page: each channel takes its better end."""
    low, high = (bound.swapaxes(-1, -2) for bound in bounds)
    return dense.group_matmul(np.maximum(q, 0), high) + dense.group_matmul(np.minimum(q, 0), low)


def attend_with(
    q: Float[np.ndarray, "B Hq T d"],
    k: Float[np.ndarray, "B Hkv S d"],
    v: Float[np.ndarray, "B Hkv S d"],
    bounds: Bounds,
    config: QuestConfig,
) -> tuple[FamilyOutput, NewBounds]:
    """Output of the last T tokens, and the bounds after them; `bounds` are those before them."""
    num_keys = k.shape[2]
    positions = blocks.query_positions(q.shape[2], num_keys)
    scores = np.full((*q.shape[:3], blocks.num_blocks(num_keys, config.page_size)), -np.inf)
    for row, t in enumerate(positions):
        bounds = add_key(bounds, k[:, :, t : t + 1], opens_page=t % config.page_size == 0)
        scores[:, :, [row], : bounds[0].shape[2]] = page_scores(q[:, :, [row]], bounds)
    allowed = tokens_of_best_blocks(
        scores,
        top_k=config.top_k,
        block_size=config.page_size,
        num_keys=num_keys,
        num_heads=q.shape[1],
    )
    return attend_tokens(q, k, v, allowed), bounds


def attend_to(
    q: Float[np.ndarray, "B Hq T d"],
    k: Float[np.ndarray, "B Hkv S d"],
    v: Float[np.ndarray, "B Hkv S d"],
    config: QuestConfig,
) -> FamilyOutput:
    """Each query over the pages its head picks; query row t stands at S - T + t."""
    q, k, v = contracts.check_attention(q, k, v)
    bounds = k[:, :, :0], k[:, :, :0]
    for t in range(k.shape[2] - q.shape[2]):
        bounds = add_key(bounds, k[:, :, t : t + 1], opens_page=t % config.page_size == 0)
    return attend_with(q, k, v, bounds, config)[0]


def run(
    hidden: Float[np.ndarray, "B T d_model"],
    weights: Mapping[str, np.ndarray],
    config: QuestConfig,
    cache: GrowingCache | None = None,
) -> FamilyOutput:
    """Output of T more tokens, which stand after those the cache holds and are stored in it.

    Raises ValueError or TypeError on what does not fit the config, and then stores nothing.
    """
    cache = new_cache(config, len(hidden)) if cache is None else cache
    q, k, v = gqa.store_tokens(hidden, weights, config, cache, gqa.weight_shapes(config))
    bounds = cache.lanes["low"], cache.lanes["high"]
    output, (low, high) = attend_with(q, k, v, bounds, config)
    cache.lanes.update(low=low, high=high)
    return output
