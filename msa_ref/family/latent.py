"""What DeepSeek's layers do to their latent vectors: norms, and rotation in interleaved pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from msa_ref import checks
from msa_ref.family.inputs import draw_weights

if TYPE_CHECKING:
    from jaxtyping import Float

NORM_EPSILON = 1e-6


def check_rotary_fits(rotary_dim: int, rope_theta: float, **widths: int) -> None:
    """Raise unless rotary_dim channels pair up and each of the widths holds them."""
    checks.check_rotary(rotary_dim, rope_theta, "rope_theta")
    for name, width in widths.items():
        if rotary_dim > width:
            raise ValueError(f"rotary_dim: got {rotary_dim}, takes at most {name}, {width}")


def rms_norm(
    x: Float[np.ndarray, "*rows d"], weight: Float[np.ndarray, " d"] | float = 1.0
) -> Float[np.ndarray, "*rows d"]:
    """`x` divided by its root mean square over the last axis, times `weight`.

    The plain form, unlike Gemma's in `msa_ref.layer`. There may be no rows.
    """
    mean_square = (x * x).mean(axis=-1, keepdims=True)
    return x / np.sqrt(mean_square + NORM_EPSILON) * weight


def layer_norm(
    x: Float[np.ndarray, "*rows d"],
    weight: Float[np.ndarray, " d"],
    bias: Float[np.ndarray, " d"],
) -> Float[np.ndarray, "*rows d"]:
    """`x` with mean 0 and variance 1 over the last axis, times `weight`, plus `bias`."""
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred * centred).mean(axis=-1, keepdims=True)
    return centred / np.sqrt(variance + NORM_EPSILON) * weight + bias


def rotate_pairs(
    x: Float[np.ndarray, "B heads T d"],
    cos: Float[np.ndarray, "T half"],
    sin: Float[np.ndarray, "T half"],
) -> Float[np.ndarray, "B heads T d"]:
    """`x` with its LAST channels rotated in interleaved pairs; the first pass through.

    Of the 2 * half last channels, 2i rotates with 2i + 1. With -sin for sin the rotation is undone.
    `msa_ref.layer.rotate` pairs split halves of the first channels instead, from the same tables.
    There may be no rows.
    """
    start = x.shape[-1] - 2 * cos.shape[-1]
    even, odd = x[..., start::2], x[..., start + 1 :: 2]
    rotated = x.copy()
    rotated[..., start::2] = even * cos - odd * sin
    rotated[..., start + 1 :: 2] = odd * cos + even * sin
    return rotated


def draw_latent_weights(
    shapes: Mapping[str, tuple[int, ...]], generator: np.random.Generator
) -> dict[str, Float[np.ndarray, "..."]]:
    """Random weights of these shapes; norms start where training does, at weight 1 and bias 0."""
    weights = draw_weights(shapes, generator)
    for name, shape in shapes.items():
        if name.endswith("norm.bias"):
            weights[name] = np.zeros(shape)
        elif "norm" in name:
            weights[name] = np.ones(shape)
    return weights
