"""Rotary position embeddings in PyTorch, in the two layouts of channels that models store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


def rope_angles(
    start: int, count: int, *, rotary_dim: int, theta: float, device: torch.device
) -> Float[Tensor, "T half"]:
    """Angles at `count` positions from `start`, one a pair of channels, in float64.

    In float32 they are off by 1e-4 at token 2,600.
    """
    channels = torch.arange(0, rotary_dim, 2, device=device, dtype=torch.float64)
    positions = torch.arange(start, start + count, device=device, dtype=torch.float64)
    return positions[:, None] * theta ** (-channels / rotary_dim)


def rotate_halves(
    x: Float[Tensor, "B heads T d"], angles: Float[Tensor, "T half"]
) -> Float[Tensor, "B heads T d"]:
    """`x` with channel i rotated together with channel i + half; the others pass through.

    The layout of Hugging Face's models. Cosine and sine are rounded to x's dtype.
    """
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    half = angles.shape[-1]
    first, second, rest = x.split([half, half, x.shape[-1] - 2 * half], dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin, rest], dim=-1)


def rotate_neighbours(
    x: Float[Tensor, "B heads T d"], angles: Float[Tensor, "T d/2"]
) -> Float[Tensor, "B heads T d"]:
    """`x` with neighbouring channels (0 and 1, 2 and 3, ...) rotated together, in float32.

    The layout in which GGUF files store q and k.
    """
    cos, sin = angles.cos(), angles.sin()
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    rotated = torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1)
    return rotated.flatten(-2).to(x.dtype)
