"""What each entry point refuses, before any launch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from msa_kernels import checks

if TYPE_CHECKING:
    from torch import Tensor

    from msa_kernels.cache import PagedCache
    from msa_ref.config import MSAConfig


def check_select(index_q: Tensor, index_k: Tensor, config: MSAConfig) -> None:
    """Raise unless index queries and keys fit the config and each other."""
    checks.check_config(config)
    batch, _, num_queries, _ = checks.sizes("index_q", index_q, "B Hkv T di")
    num_keys = checks.sizes("index_k", index_k, "B 1 S di")[2]
    check_index_branch(index_q, index_k, config, (batch, num_queries, num_keys))


def check_index_branch(
    index_q: Tensor, index_k: Tensor, config: MSAConfig, shape: tuple[int, int, int]
) -> None:
    """Raise unless index queries and keys fit the config and this (B, T, S)."""
    batch, num_queries, num_keys = shape
    groups, di = config.num_kv_heads, config.index_dim
    checks.check_tensor("index_q", index_q, (batch, groups, num_queries, di), "B Hkv T di")
    checks.check_tensor("index_k", index_k, (batch, 1, num_keys, di), "B 1 S di", index_q.dtype)
    checks.check_device(index_q=index_q, index_k=index_k)
    checks.check_no_grad(index_q=index_q, index_k=index_k)
    checks.check_grid("index_q", batch, "B")
    if num_queries > num_keys:
        raise ValueError(f"index_q: got {num_queries} queries, takes at most the {num_keys} keys")


def check_main_branch(q: Tensor, k: Tensor, v: Tensor, config: MSAConfig) -> None:
    """Raise unless queries, keys and values fit the config and each other."""
    checks.check_config(config)
    batch, _, num_queries, _ = checks.sizes("q", q, "B Hq T d")
    num_keys = checks.sizes("k", k, "B Hkv S d")[2]
    groups, d = config.num_kv_heads, config.head_dim
    checks.check_tensor("q", q, (batch, config.num_heads, num_queries, d), "B Hq T d")
    checks.check_tensor("k", k, (batch, groups, num_keys, d), "B Hkv S d", q.dtype)
    checks.check_tensor("v", v, (batch, groups, num_keys, d), "B Hkv S d", q.dtype)
    checks.check_device(q=q, k=k, v=v)
    checks.check_no_grad(q=q, k=k, v=v)
    checks.check_grid("q", batch * groups, "B x Hkv")
    if num_queries > num_keys:
        raise ValueError(f"q: got {num_queries} queries, takes at most the {num_keys} keys")


def check_attend(q: Tensor, k: Tensor, v: Tensor, selection: Tensor, config: MSAConfig) -> None:
    """Raise unless the main branch's tensors and the selection fit the config and each other."""
    check_main_branch(q, k, v, config)
    shape = (q.shape[0], config.num_kv_heads, q.shape[2], config.top_k)
    checks.sizes("selection", selection, "B Hkv T k")
    checks.check_tensor("selection", selection, shape, "B Hkv T k", torch.int32)
    checks.check_device(q=q, selection=selection)


def check_prefill(
    q: Tensor, k: Tensor, v: Tensor, index_q: Tensor, index_k: Tensor, config: MSAConfig
) -> None:
    """Raise unless the five tensors fit the config and each other."""
    check_main_branch(q, k, v, config)
    check_index_branch(index_q, index_k, config, (q.shape[0], q.shape[2], k.shape[2]))
    checks.check_device(q=q, index_q=index_q)


def check_decode(q: Tensor, index_q: Tensor, cache: PagedCache) -> None:
    """Raise unless the queries of a decode step fit the cache, and the cache its config."""
    config = cache.config
    cache.check_tensors()
    batch, stored = len(cache.lengths), cache.index_pages.dtype
    shape = batch, config.num_heads, 1, config.head_dim
    checks.check_tensor("q", q, shape, "B Hq 1 d", cache.k_pages.dtype)
    shape = batch, config.num_kv_heads, 1, config.index_dim
    any_float = stored == torch.float8_e4m3fn
    checks.check_tensor("index_q", index_q, shape, "B Hkv 1 di", None if any_float else stored)
    checks.check_device(q=q, index_q=index_q, lengths=cache.lengths)
    checks.check_no_grad(q=q, index_q=index_q)
    checks.check_grid("q", batch, "B")


def check_index_kl(
    index_q: Tensor, index_k: Tensor, q: Tensor, k: Tensor, selection: Tensor | None
) -> None:
    """Raise unless the tensors of `index_kl` fit each other and the kernels' tiles."""
    batch, groups, length, index_dim = checks.sizes("index_q", index_q, "B Hkv T di")
    _, num_heads, _, head_dim = checks.sizes("q", q, "B Hq T d")
    for name, dim in (("index_q", index_dim), ("q", head_dim)):
        if dim not in checks.TILED_DIMS:
            raise ValueError(f"{name}: got {dim} channels, takes 16, 32, 64 or 128")
    checks.check_tensor("index_q", index_q, (batch, groups, length, index_dim), "B Hkv T di")
    checks.check_tensor(
        "index_k", index_k, (batch, 1, length, index_dim), "B 1 T di", index_q.dtype
    )
    checks.check_tensor("q", q, (batch, num_heads, length, head_dim), "B Hq T d")
    checks.check_tensor("k", k, (batch, groups, length, head_dim), "B Hkv T d", q.dtype)
    if num_heads % groups:
        raise ValueError(f"q: got {num_heads} heads, takes a multiple of index_q's {groups}")
    checks.check_device(index_q=index_q, index_k=index_k, q=q, k=k)
    checks.check_grid("q", batch * num_heads, "B x Hq")
    if selection is not None:
        top_k = checks.sizes("selection", selection, "B Hkv T k")[3]
        checks.check_tensor(
            "selection", selection, (batch, groups, length, top_k), "B Hkv T k", torch.int32
        )
        checks.check_device(q=q, selection=selection)
