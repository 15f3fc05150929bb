"""A paged cache with three lanes (keys, values, index keys) under one block table, on the GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from msa_kernels import checks
from msa_kernels.arguments import PageTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int32
    from torch import Tensor

    from msa_ref.config import MSAConfig


def as_stored(tensor: Float[Tensor, "..."], dtype: torch.dtype) -> Float[Tensor, "..."]:
    """The nearest numbers of a dtype, clamped to its range: float8_e4m3fn has NaN beyond 448."""
    if dtype == torch.float8_e4m3fn:
        end = torch.finfo(dtype).max
        tensor = tensor.clamp(-end, end)
    return tensor.to(dtype)


class PagedCache:
    """Keys, values and index keys of `batch` sequences of their own lengths; a page is a block.

    `k_pages, v_pages [P, Hkv, bs, d]`, `index_pages [P, bs, di]`, `block_table int32 [B,
    max_pages]` (-1 where no page is taken), `lengths int32 [B]`. `index_dtype` may be
    torch.float8_e4m3fn, which halves what a decode step reads. `append` works on the host and stays
    outside captured graphs; `decode` reads the cache and never waits for the host. The tensors may
    be replaced by others of their shape and dtype: of any strides but in the last dimension, and
    with the tokens of an index page side by side.
    """

    def __init__(
        self,
        config: MSAConfig,
        *,
        num_pages: int,
        batch: int,
        max_pages: int,
        dtype: torch.dtype,
        index_dtype: torch.dtype,
        device: torch.device | str,
    ):
        checks.check_config(config)
        for name, size in (("num_pages", num_pages), ("batch", batch), ("max_pages", max_pages)):
            if not isinstance(size, int) or size < 1:
                raise ValueError(f"{name}: got {size!r}, takes an integer of at least 1")
        checks.check_page_dtype("dtype", dtype, checks.FLOATS)
        checks.check_page_dtype("index_dtype", index_dtype, (*checks.FLOATS, torch.float8_e4m3fn))
        self.config = config
        self.block_size = config.block_size
        lane = (num_pages, config.num_kv_heads, config.block_size, config.head_dim)
        self.k_pages = torch.zeros(lane, dtype=dtype, device=device)
        self.v_pages = torch.zeros(lane, dtype=dtype, device=device)
        index_lane = (num_pages, config.block_size, config.index_dim)
        self.index_pages = torch.zeros(index_lane, dtype=index_dtype, device=device)
        self.block_table = torch.full((batch, max_pages), -1, dtype=torch.int32, device=device)
        self.lengths = torch.zeros(batch, dtype=torch.int32, device=device)

    def append(
        self,
        k: Float[Tensor, "B Hkv T d"],
        v: Float[Tensor, "B Hkv T d"],
        index_k: Float[Tensor, "B 1 T di"],
        *,
        new_lengths: Sequence[int] | Tensor | None = None,
    ) -> None:
        """Store each sequence's first `new_lengths[b]` of the T new tokens (all, if not given).

        Free pages are taken lowest id first. The tokens are detached: pages join no autograd graph.
        What does not fit raises ValueError, and nothing is changed. Not thread-safe: two threads
        that append to one cache need a lock of their own.
        """
        self.check_tensors()
        batch, max_pages = self.block_table.shape
        groups, d, di = self.config.num_kv_heads, self.config.head_dim, self.config.index_dim
        count = checks.sizes("k", k, "B Hkv T d")[2]
        checks.check_tensor("k", k, (batch, groups, count, d), "B Hkv T d", self.k_pages.dtype)
        checks.check_tensor("v", v, (batch, groups, count, d), "B Hkv T d", self.k_pages.dtype)
        checks.check_tensor("index_k", index_k, (batch, 1, count, di), "B 1 T di")
        checks.check_device(k=k, v=v, index_k=index_k, lengths=self.lengths)
        table, old = self.block_table.cpu(), self.lengths.cpu().long()
        new = torch.full((batch,), count)
        if new_lengths is not None:
            new = torch.as_tensor(new_lengths).cpu()
        fits = new.shape == (batch,) and not new.is_floating_point()
        if not fits or bool((new < 0).any()) or bool((new > count).any()):
            raise ValueError(
                f"new_lengths: got {new.tolist()}, takes {batch} integers from 0 to {count}"
            )
        lengths = old + new
        if bool((lengths > max_pages * self.block_size).any()):
            raise ValueError(
                f"cache: got lengths up to {int(lengths.max())}, takes at most "
                f"{max_pages * self.block_size} tokens a sequence"
            )
        k, v, index_k = k.detach(), v.detach(), index_k.detach()
        inside = torch.arange(count, device=k.device) < new.to(k.device)[:, None]
        checks.check_nan(inside, k=k, v=v, index_k=index_k)
        table = self._with_pages(table, lengths)
        sequence, token = (torch.arange(count) < new[:, None]).nonzero(as_tuple=True)
        position = old[sequence] + token
        page = table[sequence, position // self.block_size].long()
        page, slot, b, t = (
            x.to(k.device) for x in (page, position % self.block_size, sequence, token)
        )
        self.k_pages[page, :, slot] = k[b, :, t]
        self.v_pages[page, :, slot] = v[b, :, t]
        self.index_pages[page, slot] = as_stored(index_k[b, 0, t], self.index_pages.dtype)
        self.block_table.copy_(table)
        self.lengths.copy_(lengths)

    def page_table(self) -> PageTable:
        """Block table and lengths as kernels take them."""
        return PageTable(self.block_table, self.block_table.stride(0), self.lengths)

    def check_tensors(self) -> None:
        """Raise ValueError unless the cache's tensors have the shapes and dtypes they need."""
        config, size = self.config, self.block_size
        num_pages, (batch, max_pages) = len(self.k_pages), self.block_table.shape
        lane = (num_pages, config.num_kv_heads, size, config.head_dim)
        dtype, index_dtype = self.k_pages.dtype, self.index_pages.dtype
        check = checks.check_tensor
        check("cache.k_pages", self.k_pages, lane, "P Hkv bs d", dtype)
        check("cache.v_pages", self.v_pages, lane, "P Hkv bs d", dtype)
        lane = (num_pages, size, config.index_dim)
        check("cache.index_pages", self.index_pages, lane, "P bs di", index_dtype)
        if self.index_pages.stride(1) != config.index_dim:
            raise ValueError(
                f"cache.index_pages: got stride {self.index_pages.stride(1)} between tokens, takes "
                f"the tokens of a page side by side, {config.index_dim}"
            )
        check("cache.block_table", self.block_table, (batch, max_pages), "B max_pages", torch.int32)
        check("cache.lengths", self.lengths, (batch,), "B", torch.int32)
        checks.check_device(
            k_pages=self.k_pages, v_pages=self.v_pages, index_pages=self.index_pages,
            block_table=self.block_table, lengths=self.lengths,
        )  # fmt: skip

    def _with_pages(
        self, table: Int32[Tensor, "B max_pages"], lengths: Int32[Tensor, " B"]
    ) -> Int32[Tensor, "B max_pages"]:
        """The table with free pages, lowest id first, for as many tokens as `lengths` says."""
        taken = torch.zeros(len(self.k_pages), dtype=torch.bool)
        taken[table[table >= 0].long()] = True
        free = (~taken).nonzero()[:, 0].tolist()
        wanted = []
        for b, length in enumerate(lengths.tolist()):
            held = int((table[b] >= 0).sum())
            wanted += [(b, i) for i in range(held, -(-length // self.block_size))]
        if len(wanted) > len(free):
            raise ValueError(
                f"cache: got {len(wanted)} pages to take, takes at most the {len(free)} free"
            )
        for (b, i), page in zip(wanted, free):
            table[b, i] = page
        return table

    def check(self) -> None:
        """Raise ValueError unless lengths, 0 allowed, and table fit the pages; reads the device."""
        num_pages, max_pages = len(self.k_pages), self.block_table.shape[1]
        table, lengths = self.block_table.cpu(), self.lengths.cpu()
        low, high = int(lengths.min()), int(lengths.max())
        if low < 0 or high > max_pages * self.block_size:
            raise ValueError(
                f"cache.lengths: got {low} to {high}, takes 0 to {max_pages * self.block_size}"
            )
        for b, length in enumerate(lengths.tolist()):
            pages = table[b, : -(-length // self.block_size)]
            if length and not 0 <= int(pages.min()) <= int(pages.max()) < num_pages:
                raise ValueError(
                    f"cache.block_table: got pages {int(pages.min())} to {int(pages.max())} for "
                    f"sequence {b}, takes 0 to {num_pages - 1}"
                )
