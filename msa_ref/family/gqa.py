"""What systems on grouped-query attention share: projections, RoPE, a cache of every token."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from msa_ref import checks, layer
from msa_ref.family.inputs import GrowingCache, check_run, draw_weights, project
from msa_ref.family.output import FamilyOutput

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True, kw_only=True)
class GQAConfig:
    """Sizes of grouped-query attention: `num_heads` query heads share `num_kv_heads` KV heads.

    RoPE rotates all of head_dim, with base `rope_theta`. A size below 1, an odd head_dim or KV
    heads that do not divide the query heads raise ValueError.
    """

    d_model: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    rope_theta: float = 1e4

    def __post_init__(self):
        checks.check_sizes(
            d_model=self.d_model,
            num_heads=self.num_heads,
            num_kv_heads=self.num_kv_heads,
            head_dim=self.head_dim,
        )
        checks.check_heads(self.num_heads, self.num_kv_heads)
        if self.head_dim % 2:
            raise ValueError(f"head_dim: got {self.head_dim}, takes an even number")
        checks.check_positive("rope_theta", self.rope_theta)


def weight_shapes(config: GQAConfig) -> dict[str, tuple[int, int]]:
    """Shapes [out, d_model] of the three projections every such system has."""
    inside = config.num_kv_heads * config.head_dim
    return {
        "q_proj": (config.num_heads * config.head_dim, config.d_model),
        "k_proj": (inside, config.d_model),
        "v_proj": (inside, config.d_model),
    }


def init_weights(config: GQAConfig, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Random q_proj, k_proj and v_proj, each [out, d_model]."""
    return draw_weights(weight_shapes(config), generator)


def new_cache(config: GQAConfig, batch: int, **more: tuple[int, int]) -> GrowingCache:
    """Empty cache of rotated keys and of values, and of the arrays named in `more`."""
    lane = (config.num_kv_heads, config.head_dim)
    return GrowingCache(config, batch, k=lane, v=lane, **more)


def rope(
    x: Float[np.ndarray, "B heads T d"], first_position: int, theta: float, *, step: int = 1
) -> Float[np.ndarray, "B heads T d"]:
    """`x` with all its channels rotated, in split halves; there may be no rows.

    Row t stands at first_position + t * step.
    """
    if x.shape[2] == 0:
        return x
    positions = first_position + np.arange(x.shape[2]) * step
    return layer.rotate(x, *layer.rotary_tables(positions, rotary_dim=x.shape[3], theta=theta))


def project_qkv(
    hidden: Float[np.ndarray, "B T d_model"],
    weights: Mapping[str, np.ndarray],
    config: GQAConfig,
    first_position: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rotated q [B,Hq,T,d] and k [B,Hkv,T,d], and v [B,Hkv,T,d], of the hidden states."""
    q = project(hidden, weights["q_proj"], config.num_heads)
    k = project(hidden, weights["k_proj"], config.num_kv_heads)
    v = project(hidden, weights["v_proj"], config.num_kv_heads)
    theta = config.rope_theta
    return rope(q, first_position, theta), rope(k, first_position, theta), v


def store_tokens(
    hidden: Float[np.ndarray, "B T d_model"],
    weights: Mapping[str, np.ndarray],
    config: GQAConfig,
    cache: GrowingCache,
    shapes: Mapping[str, tuple[int, ...]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """q [B,Hq,T,d] of the new tokens, and k, v [B,Hkv,S,d] of all that the cache then holds.

    Raises before anything is stored.
    """
    check_run(hidden, weights, config, cache, shapes)
    q, k, v = project_qkv(hidden, weights, config, cache.length)
    k, v = cache.extend(k=k, v=v)
    cache.length += hidden.shape[1]
    return q, k, v


def run_with(attend_to: Callable[..., FamilyOutput]) -> Callable[..., FamilyOutput]:
    """The `run` of a system that adds no weights and attends to all stored keys by `attend_to`."""

    def run(
        hidden: Float[np.ndarray, "B T d_model"],
        weights: Mapping[str, np.ndarray],
        config: GQAConfig,
        cache: GrowingCache | None = None,
    ) -> FamilyOutput:
        """Output of T more tokens, which stand after those the cache holds and are stored in it.

        Raises ValueError or TypeError on what does not fit the config, and then stores nothing.
        """
        cache = new_cache(config, len(hidden)) if cache is None else cache
        q, k, v = store_tokens(hidden, weights, config, cache, weight_shapes(config))
        return attend_to(q, k, v, config)

    return run
