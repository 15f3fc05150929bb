"""What every system of the family takes, and its checks: weights, hidden states, a cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from msa_ref import checks

if TYPE_CHECKING:
    from jaxtyping import Float


def draw_weights(
    shapes: Mapping[str, tuple[int, ...]], generator: np.random.Generator
) -> dict[str, Float[np.ndarray, "..."]]:
    """Random weights [..., in] of these shapes, scaled by 1/sqrt(in)."""
    return {
        name: generator.standard_normal(shape) / np.sqrt(shape[-1])
        for name, shape in shapes.items()
    }


def project(
    hidden: Float[np.ndarray, "B T d_model"],
    weight: Float[np.ndarray, "out d_model"],
    num_heads: int,
) -> Float[np.ndarray, "B heads T d"]:
    """Heads of one projection of the hidden states."""
    batch, num_tokens, _ = hidden.shape
    rows = hidden @ weight.T
    return rows.reshape(batch, num_tokens, num_heads, -1).swapaxes(1, 2)


def check_multiple(config: object, whole: str, part: str) -> None:
    """Raise unless one size of the config is a multiple of another."""
    size, step = getattr(config, whole), getattr(config, part)
    if size % step:
        raise ValueError(f"{whole}: got {size}, takes a multiple of {part} {step}")


class GrowingCache:
    """Arrays by name, `[batch, heads, n, channels]`, that grow along n; and how far they reach.

    Made for one config: `GrowingCache(config, batch, k=(heads, channels), ...)` starts with n = 0.
    `length` counts the tokens seen, those that no array holds any more included: the next token's
    position. A system may replace what is in `lanes`, to forget or to keep a running state.
    """

    def __init__(self, config: object, batch: int, **lanes: tuple[int, int]):
        checks.check_sizes(batch=batch)
        self.config = config
        self.batch = batch
        self.length = 0
        self.lanes = {
            name: np.zeros((batch, heads, 0, channels)) for name, (heads, channels) in lanes.items()
        }

    def extend(self, **rows: Float[np.ndarray, "B _ _ _"]) -> tuple[np.ndarray, ...]:
        """The named arrays, each with these rows added at its end. The caller moves `length`.

        Not thread-safe.
        """
        for name, more in rows.items():
            self.lanes[name] = np.concatenate([self.lanes[name], more], axis=2)
        return tuple(self.lanes[name] for name in rows)


def check_run(
    hidden: np.ndarray,
    weights: Mapping[str, np.ndarray],
    config: object,
    cache: GrowingCache,
    shapes: Mapping[str, tuple[int, ...]],
) -> None:
    """Raise unless hidden [B,T,d_model], weights and cache fit the config: before any change."""
    checks.check_floats("B T d_model", hidden=hidden)
    if not isinstance(cache, GrowingCache) or cache.config != config:
        got = getattr(cache, "config", type(cache).__name__)
        raise ValueError(f"cache: got one of {got}, takes one of {config}")
    layout = "batch T d_model"
    checks.check_shape("hidden", hidden, (cache.batch, hidden.shape[1], config.d_model), layout)
    checks.check_finite(hidden=hidden)
    for name, shape in shapes.items():
        if name not in weights:
            raise ValueError(f"weights: got none named {name}, takes {', '.join(shapes)}")
        checks.check_array(name, weights[name], "...")
        checks.check_shape(name, weights[name], shape, "as the config says")
