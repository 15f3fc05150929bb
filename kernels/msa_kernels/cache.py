"""A paged cache with three lanes (keys, values, index keys) under one block table, on the GPU."""

import torch

from msa_kernels import checks


class PagedCache:
    """Keys, values and index keys of `batch` sequences of their own lengths; a page is a block.

    `k_pages, v_pages [P, Hkv, bs, d]`, `index_pages [P, bs, di]`, `block_table int32 [B,
    max_pages]` (-1 where no page is taken), `lengths int32 [B]`. `index_dtype` may be
    torch.float8_e4m3fn, which halves what a decode step reads. `append` works on the host and stays
    outside captured graphs; `decode` reads the cache and never waits for the host.
    """

    def __init__(self, config, *, num_pages, batch, max_pages, dtype, index_dtype, device):
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

    def append(self, k, v, index_k, *, new_lengths=None):
        """Store each sequence's first `new_lengths[b]` of the T new tokens (all, if not given).

        `k, v [B, Hkv, T, d]`, `index_k [B, 1, T, di]`. Free pages are taken lowest id first. What
        does not fit raises ValueError, and nothing is changed.
        """
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
        inside = torch.arange(count, device=k.device) < new.to(k.device)[:, None]
        checks.check_nan(inside, k=k, v=v, index_k=index_k)
        table = self._with_pages(table, lengths)
        sequence, token = (torch.arange(count) < new[:, None]).nonzero(as_tuple=True)
        position = old[sequence] + token
        page = table[sequence, position // self.block_size].long()
        page, slot, b, t = (
            x.to(k.device) for x in (page, position % self.block_size, sequence, token)
        )
        new_index = index_k[b, 0, t]
        if self.index_pages.dtype == torch.float8_e4m3fn:  # beyond its range lies NaN
            new_index = new_index.clamp(-448, 448)
        self.k_pages[page, :, slot] = k[b, :, t]
        self.v_pages[page, :, slot] = v[b, :, t]
        self.index_pages[page, slot] = new_index.to(self.index_pages.dtype)
        self.block_table.copy_(table)
        self.lengths.copy_(lengths)

    def _with_pages(self, table, lengths):
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

    def check(self):
        """Raise ValueError unless lengths and table fit the pages; reads the device."""
        num_pages, max_pages = len(self.k_pages), self.block_table.shape[1]
        table, lengths = self.block_table.cpu(), self.lengths.cpu()
        low, high = int(lengths.min()), int(lengths.max())
        if low < 1 or high > max_pages * self.block_size:
            raise ValueError(
                f"cache.lengths: got {low} to {high}, takes 1 to {max_pages * self.block_size}"
            )
        for b, length in enumerate(lengths.tolist()):
            pages = table[b, : -(-length // self.block_size)]
            if int(pages.min()) < 0 or int(pages.max()) >= num_pages:
                raise ValueError(
                    f"cache.block_table: got pages {int(pages.min())} to {int(pages.max())} for "
                    f"sequence {b}, takes 0 to {num_pages - 1}"
                )
