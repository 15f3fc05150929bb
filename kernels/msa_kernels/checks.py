"""Checks of single tensors, dtypes, devices and values: ValueError by the argument's name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from msa_kernels import geometry, launch
from msa_ref.config import MSAConfig

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor

    from msa_kernels.arguments import Lengths

FLOATS = (torch.bfloat16, torch.float16, torch.float32)
TILED_DIMS = (16, 32, 64, 128)  # channels and tokens that a tile may have
MAX_TOP_K = 64


def check_device(**tensors: Tensor) -> None:
    """Raise unless all tensors lie on one CUDA device, or on the CPU under Triton's interpreter."""
    (first_name, first), *others = tensors.items()
    for name, tensor in others:
        if tensor.device != first.device:
            raise ValueError(
                f"{name}: got device {tensor.device}, takes {first_name}'s, {first.device}"
            )
    if not launch.INTERPRETED and first.device.type != "cuda":
        raise ValueError(
            f"{first_name}: got device {first.device}, takes a CUDA tensor; without a GPU set "
            "TRITON_INTERPRET=1 before the first import to run the kernels on the CPU"
        )
    for name, tensor in tensors.items():
        if launch.INTERPRETED and tensor.dtype not in (torch.float32, torch.float16, torch.int32):
            raise ValueError(
                f"{name}: got {tensor.dtype} under Triton's interpreter, which computes it "
                "wrongly; takes float32 or float16"
            )


def check_page_dtype(name: str, dtype: torch.dtype, allowed: tuple[torch.dtype, ...]) -> None:
    """Raise unless pages may have this dtype, here and now."""
    if launch.INTERPRETED:
        allowed = (torch.float32, torch.float16)
    if dtype not in allowed:
        under = " under Triton's interpreter" if launch.INTERPRETED else ""
        raise ValueError(
            f"{name}: got {dtype}{under}, takes {' or '.join(str(one) for one in allowed)}"
        )


def check_tensor(
    name: str,
    tensor: Tensor,
    shape: tuple[int, ...],
    layout: str,
    dtype: torch.dtype | None = None,
) -> None:
    """Raise unless a tensor of just this shape, with contiguous channels, and this dtype.

    `layout` names the dimensions; any of FLOATS will do without a dtype.
    """
    if not isinstance(tensor, torch.Tensor):
        raise ValueError(f"{name}: got {type(tensor).__name__}, takes a torch tensor [{layout}]")
    if tuple(tensor.shape) != tuple(shape):
        raise ValueError(
            f"{name}: got shape {tuple(tensor.shape)}, takes {tuple(shape)} [{layout}]"
        )
    if 0 in tensor.shape:
        raise ValueError(
            f"{name}: got shape {tuple(tensor.shape)}, takes no empty dimension [{layout}]"
        )
    allowed = FLOATS if dtype is None else (dtype,)
    if tensor.dtype not in allowed:
        raise ValueError(
            f"{name}: got {tensor.dtype}, takes {' or '.join(str(d) for d in allowed)}"
        )
    if tensor.stride(-1) != 1:
        raise ValueError(f"{name}: got stride {tensor.stride(-1)} in the last dimension, takes 1")


def sizes(name: str, tensor: Tensor, layout: str) -> tuple[int, ...]:
    """The shape of a tensor that has as many dimensions as the layout names."""
    if not isinstance(tensor, torch.Tensor):
        raise ValueError(f"{name}: got {type(tensor).__name__}, takes a torch tensor [{layout}]")
    if tensor.ndim != len(layout.split()):
        raise ValueError(f"{name}: got shape {tuple(tensor.shape)}, takes dimensions [{layout}]")
    return tuple(tensor.shape)


def check_config(config: MSAConfig) -> None:
    """Raise unless an MSAConfig whose sizes the kernels can tile."""
    if not isinstance(config, MSAConfig):
        raise ValueError(f"config: got {type(config).__name__}, takes an MSAConfig")
    for name in ("head_dim", "index_dim", "block_size"):
        if getattr(config, name) not in TILED_DIMS:
            raise ValueError(
                f"config.{name}: got {getattr(config, name)}, takes one of {TILED_DIMS}"
            )
    if config.top_k > MAX_TOP_K:
        raise ValueError(f"config.top_k: got {config.top_k}, takes at most {MAX_TOP_K}")


def check_no_grad(**tensors: Tensor) -> None:
    """Raise if a gradient is wanted, which no kernel gives: a silent one would be None."""
    for name, tensor in tensors.items():
        if torch.is_grad_enabled() and tensor.requires_grad:
            raise ValueError(
                f"{name}: got a tensor that requires grad, takes none: the kernels have no "
                "backward; call them under torch.no_grad() or pass detached tensors"
            )


def check_grid(name: str, programs: int, what: str) -> None:
    """Raise if a launch has more programs on its second or third axis than CUDA allows."""
    if programs > geometry.MAX_GRID:
        raise ValueError(
            f"{name}: got {what} = {programs}, takes at most {geometry.MAX_GRID}; "
            "pass parts of the batch"
        )


def check_lengths(name: str, lengths: Tensor, batch: int, device: torch.device) -> None:
    """Raise unless int32 [B] on this device."""
    check_tensor(name, lengths, (batch,), "B", torch.int32)
    if lengths.device != device:
        raise ValueError(f"{name}: got device {lengths.device}, takes {device}")


def check_values(
    lengths: Lengths, num_queries: int, num_keys: int, tensors: dict[str, Tensor]
) -> None:
    """Raise on lengths out of range and NaN; reads the device, so only where it is asked for."""
    query_lengths, key_lengths, _ = lengths
    low, high = int(query_lengths.min()), int(query_lengths.max())
    if low < 0 or high > num_queries:
        raise ValueError(f"query_lengths: got {low} to {high}, takes 0 to {num_queries}")
    low, high = int(key_lengths.min()), int(key_lengths.max())
    if low < 1 or high > num_keys:
        raise ValueError(f"key_lengths: got {low} to {high}, takes 1 to {num_keys}")
    if bool((query_lengths > key_lengths).any()):
        raise ValueError(
            "query_lengths: got more queries than keys in a sequence, takes at most its keys"
        )
    for name, tensor in tensors.items():
        stops = key_lengths if name in ("k", "v", "index_k") else query_lengths
        inside = torch.arange(tensor.shape[2], device=tensor.device) < stops[:, None]
        check_nan(inside, **{name: tensor})


def check_nan(
    inside: Bool[Tensor, "B T"] | None = None, **tensors: Float[Tensor, "B H T d"]
) -> None:
    """Raise on NaN in tensors [B, H, T, d], at the tokens `inside [B, T]` alone if given."""
    for name, tensor in tensors.items():
        bad = tensor.isnan().any(-1)
        if bool((bad if inside is None else bad & inside[:, None, :]).any()):
            raise ValueError(f"{name}: got NaN, takes numbers")
