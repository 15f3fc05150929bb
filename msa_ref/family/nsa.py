"""NSA, native sparse attention: summaries, selected blocks and a window, each weighed by a gate.

Yuan et al. 2025 (arXiv 2502.11089), Eq. 5-12. Its defaults: compress_length 32, compress_stride
16, block_size 64, top_k 16 with three blocks forced, window 512, 64 query and 4 KV heads, head_dim
192, value_dim 128. Every complete slice counts, one more than Eq. 7's floor((t - l) / d). What the
paper leaves open is settled so: the MLPs have one hidden layer with ReLU, one MLP serves all heads,
gates are per head, and a summary is rotated as its slice's first token. Left out: the kernels and
the output projection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from msa_ref import checks
from msa_ref.family.gqa import GQAConfig, rope
from msa_ref.family.inputs import (
    GrowingCache,
    check_multiple,
    check_run,
    draw_weights,
    project,
)
from msa_ref.family.masks import newest, tokens_of_best_blocks, window_mask
from msa_ref.family.output import FamilyOutput, attend, make_branch, sum_over_groups, token_entries
from msa_ref.family.slices import cut_slices, overlap_weights, slice_bounds

if TYPE_CHECKING:
    from jaxtyping import Bool, Float


# Forced: the first block, the local block and the one before it.
INIT_BLOCKS = 1
LOCAL_BLOCKS = 2


@dataclass(frozen=True, kw_only=True)
class NSAConfig(GQAConfig):
    """Grouped-query attention with values of their own width, and the three branches' sizes.

    Slices of `compress_length` tokens begin every `compress_stride`; each query group selects
    `top_k` blocks of `block_size`, the forced ones included. All are tokens but top_k. A stride
    that does not divide both lengths raises ValueError.
    """

    value_dim: int
    compress_length: int
    compress_stride: int
    block_size: int
    top_k: int
    window: int

    def __post_init__(self):
        super().__post_init__()
        checks.check_sizes(
            value_dim=self.value_dim,
            compress_length=self.compress_length,
            compress_stride=self.compress_stride,
            block_size=self.block_size,
            window=self.window,
        )
        check_multiple(self, "compress_length", "compress_stride")
        check_multiple(self, "block_size", "compress_stride")
        checks.check_budget(self.top_k, INIT_BLOCKS, LOCAL_BLOCKS)

    @property
    def slices(self) -> dict[str, int]:
        """Length and stride of the slices."""
        return {"length": self.compress_length, "stride": self.compress_stride}


def weight_shapes(config: NSAConfig) -> dict[str, tuple[int, int]]:
    """Shapes of all weights: k_proj and v_proj are the selected branch's."""
    shapes = {"q_proj": (config.num_heads * config.head_dim, config.d_model)}
    widths = {"k": config.head_dim, "v": config.value_dim}
    for kind, width in widths.items():
        for branch in ("", "compress_", "window_"):
            shapes[f"{branch}{kind}_proj"] = (config.num_kv_heads * width, config.d_model)
        shapes[f"compress_{kind}_position"] = (config.compress_length, width)
        shapes[f"compress_{kind}_up"] = (width, config.compress_length * width)
        shapes[f"compress_{kind}_down"] = (width, width)
    shapes["gate_up"] = (config.d_model, config.d_model)
    shapes["gate_down"] = (3 * config.num_heads, config.d_model)
    return shapes


def init_weights(config: NSAConfig, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Random projections [out, in] of the three branches, their MLPs and the gates' MLP."""
    return draw_weights(weight_shapes(config), generator)


def new_cache(config: NSAConfig, batch: int) -> GrowingCache:
    """Empty cache: all tokens, the window's own, the summaries, and tokens not yet summarised."""
    key, value = (config.num_kv_heads, config.head_dim), (config.num_kv_heads, config.value_dim)
    lanes = {"k": key, "v": value, "window_k": key, "window_v": value}
    lanes |= {"summary_k": key, "summary_v": value, "pending_k": key, "pending_v": value}
    return GrowingCache(config, batch, **lanes)


def block_importance(
    slice_weights: Float[np.ndarray, "B Hq T n"], num_keys: int, config: NSAConfig
) -> Float[np.ndarray, "B Hkv T nb"]:
    """Every block's importance to each group: its slices' softmax weights, summed over the heads.

    Source: Eq. 9 and 10.
    """
    overlaps = overlap_weights(
        slice_weights.shape[-1], num_keys, block_size=config.block_size, **config.slices
    )
    return sum_over_groups(slice_weights, config.num_kv_heads) @ overlaps


def select_tokens(
    slice_weights: Float[np.ndarray, "B Hq T n"], num_keys: int, config: NSAConfig
) -> Bool[np.ndarray, "B Hq T S"]:
    """The visible tokens of the blocks that matter most to each group, ties to the lower block.

    The first block, the local block and the one before it are forced and count inside top_k.
    Source: Eq. 11 and 12.
    """
    return tokens_of_best_blocks(
        block_importance(slice_weights, num_keys, config),
        top_k=config.top_k,
        block_size=config.block_size,
        num_keys=num_keys,
        num_heads=config.num_heads,
        init_blocks=INIT_BLOCKS,
        local_blocks=LOCAL_BLOCKS,
    )


def summarise(
    slices: Float[np.ndarray, "B Hkv n length d"], kind: str, weights: Mapping[str, np.ndarray]
) -> Float[np.ndarray, "B Hkv n d"]:
    """One key or value for each slice: an MLP of its rows, each with its place in the slice added.

    Source: Eq. 7.
    """
    placed = slices + weights[f"compress_{kind}_position"]
    flat = placed.reshape(*slices.shape[:3], slices.shape[3] * slices.shape[4])
    inner = np.maximum(flat @ weights[f"compress_{kind}_up"].T, 0)
    return inner @ weights[f"compress_{kind}_down"].T


def store_tokens(
    hidden: Float[np.ndarray, "B T d_model"],
    weights: Mapping[str, np.ndarray],
    config: NSAConfig,
    cache: GrowingCache,
) -> None:
    """Append the new tokens to each branch's lanes, and the summaries they complete."""

    def heads(name):
        return project(hidden, weights[name], config.num_kv_heads)

    for branch in ("", "window_"):
        rotated = rope(heads(f"{branch}k_proj"), cache.length, config.rope_theta)
        cache.extend(**{f"{branch}k": rotated, f"{branch}v": heads(f"{branch}v_proj")})
    summaries = {}
    for kind in ("k", "v"):
        (pending,) = cache.extend(**{f"pending_{kind}": heads(f"compress_{kind}_proj")})
        slices, cache.lanes[f"pending_{kind}"] = cut_slices(pending, **config.slices)
        summaries[kind] = summarise(slices, kind, weights)
    first = cache.lanes["summary_k"].shape[2] * config.compress_stride
    rotated = rope(summaries["k"], first, config.rope_theta, step=config.compress_stride)
    cache.extend(summary_k=rotated, summary_v=summaries["v"])
    cache.length += hidden.shape[1]


def gates(
    hidden: Float[np.ndarray, "B T d_model"], weights: Mapping[str, np.ndarray]
) -> Float[np.ndarray, "3 B Hq T"]:
    """Weight of each branch in each head's output, from 0 to 1: sigmoid of an MLP of the token."""
    logits = np.maximum(hidden @ weights["gate_up"].T, 0) @ weights["gate_down"].T
    batch, num_queries, width = logits.shape
    per_branch = logits.reshape(batch, num_queries, 3, width // 3).transpose(2, 0, 3, 1)
    return 0.5 * (1 + np.tanh(per_branch / 2))


def run(
    hidden: Float[np.ndarray, "B T d_model"],
    weights: Mapping[str, np.ndarray],
    config: NSAConfig,
    cache: GrowingCache | None = None,
) -> FamilyOutput:
    """Output of T more tokens, which stand after those the cache holds and are stored in it.

    Branches: compressed, selected, window. A query sees a slice once its last token is in the
    past or its own. Raises ValueError or TypeError on what does not fit, and then stores nothing.
    """
    cache = new_cache(config, len(hidden)) if cache is None else cache
    check_run(hidden, weights, config, cache, weight_shapes(config))
    positions = cache.length + np.arange(hidden.shape[1])
    q = rope(project(hidden, weights["q_proj"], config.num_heads), cache.length, config.rope_theta)
    store_tokens(hidden, weights, config, cache)
    lanes, num_keys = cache.lanes, cache.length

    slices = slice_bounds(lanes["summary_k"].shape[2], **config.slices)
    closed = slices[:, 1] <= positions[:, None]
    compressed, slice_weights = attend(q, lanes["summary_k"], lanes["summary_v"], closed)

    chosen = select_tokens(slice_weights, num_keys, config)
    selected, _ = attend(q, lanes["k"], lanes["v"], chosen)

    tokens = newest(lanes["window_k"].shape[2], num_keys)
    recent = window_mask(positions, tokens, config.window)
    local, _ = attend(q, lanes["window_k"], lanes["window_v"], recent)
    for name in ("window_k", "window_v"):
        lanes[name] = lanes[name][:, :, tokens > num_keys - config.window]

    gate = gates(hidden, weights)
    out = (gate[..., None] * np.stack([compressed, selected, local])).sum(axis=0)
    entries = (slices, token_entries(np.arange(num_keys)), token_entries(tokens))
    return FamilyOutput(out, tuple(map(make_branch, entries, (closed, chosen, recent), gate)))
