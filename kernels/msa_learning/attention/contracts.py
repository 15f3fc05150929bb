"""What the attention modules raise for tensors that do not fit each other."""

from __future__ import annotations

import torch

from msa_ref.checks import check_queries, check_sizes


def check_tensors(layout: str, **tensors: torch.Tensor) -> None:
    """Raise unless all are float tensors on one device with the dimensions `layout` names."""
    device = None
    for name, tensor in tensors.items():
        if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
            got = getattr(tensor, "dtype", type(tensor).__name__)
            raise TypeError(f"{name}: got {got}, takes a float tensor [{layout}]")
        if tensor.ndim != len(layout.split()) or 0 in tensor.shape:
            raise ValueError(f"{name}: got shape {tuple(tensor.shape)}, takes [{layout}]")
        device = device or tensor.device
        if tensor.device != device:
            raise ValueError(f"{name}: got it on {tensor.device}, takes it on {device}")


def check_shape(name: str, tensor: torch.Tensor, shape: tuple[int, ...], layout: str) -> None:
    """Raise unless the tensor has just this shape."""
    if tuple(tensor.shape) != tuple(shape):
        raise ValueError(
            f"{name}: got shape {tuple(tensor.shape)}, takes {tuple(shape)} [{layout}]"
        )


def check_query_key(q: torch.Tensor, k: torch.Tensor) -> None:
    """Raise unless q [B,Hq,T,d] and k [B,Hkv,S,d] fit: Hkv divides Hq, T at most S."""
    check_tensors("B H T d", q=q, k=k)
    check_shape("k", k, (q.shape[0], k.shape[1], k.shape[2], q.shape[3]), "B Hkv S d")
    if q.shape[1] % k.shape[1]:
        raise ValueError(f"k: got {k.shape[1]} heads, takes a divisor of q's {q.shape[1]}")
    check_queries(q.shape[2], k.shape[2], "q")


def check_index(index_q: torch.Tensor, index_k: torch.Tensor) -> None:
    """Raise unless index_q [B,Hkv,T,di] and index_k [B,1,S,di] fit: one shared key head."""
    check_tensors("B H T di", index_q=index_q, index_k=index_k)
    batch, _, num_queries, index_dim = index_q.shape
    check_shape("index_k", index_k, (batch, 1, index_k.shape[2], index_dim), "B 1 S di")
    check_queries(num_queries, index_k.shape[2], "index_q")


def check_selection(
    selection: torch.Tensor, q: torch.Tensor, k: torch.Tensor, block_size: int
) -> None:
    """Raise unless each row of selection [B,Hkv,T,k] holds ids up to its local block, or -1."""
    check_sizes(block_size=block_size)
    if not isinstance(selection, torch.Tensor) or selection.is_floating_point():
        got = getattr(selection, "dtype", type(selection).__name__)
        raise TypeError(f"selection: got {got}, takes an integer tensor [B Hkv T k]")
    rows = (q.shape[0], k.shape[1], q.shape[2])
    check_shape("selection", selection, (*rows, *selection.shape[3:4]), "B Hkv T k")
    positions = torch.arange(k.shape[2] - q.shape[2], k.shape[2], device=selection.device)
    bad = (selection < -1) | (selection > positions[:, None] // block_size)
    if bad.any():
        got = selection[bad][0].item()
        raise ValueError(f"selection: got id {got}, takes -1 to the id of its query's local block")


def check_support(selection: torch.Tensor) -> None:
    """Raise unless every row of the selection holds a block."""
    empty = (selection < 0).all(dim=-1)
    if empty.any():
        where = tuple(empty.nonzero()[0].tolist())
        raise ValueError(
            f"selection: got no block at (batch, group, query) {where}, takes one at least in "
            "every row: there is no distribution over an empty support"
        )
