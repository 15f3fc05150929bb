"""Plan: query-to-block lists turned into work items of the block-major pass, without a sort.

Count how many queries chose each block, place each list behind the one before, fill the lists, cut
long ones (a block that every query chose) into items of at most CHUNK entries: no straggler.
"""

from typing import NamedTuple

import torch
import triton
import triton.language as tl


class Plan(NamedTuple):
    """Block-to-query lists and the items that cut them."""

    entries: torch.Tensor  # [E] query * k + rank, list by list
    where: torch.Tensor  # [B, Hkv, T, k] the entry of each slot of the selection, -1 if unused
    counts: torch.Tensor  # [B * Hkv * nb] entries of a list
    ends: torch.Tensor  # [B * Hkv * nb] one past a list's last entry
    items: torch.Tensor  # [I] list of an item, up to the last of item_ends
    item_ends: torch.Tensor  # [B * Hkv * nb] one past a list's last item


@triton.jit
def _count(selection_ptr, count_ptr, where_ptr, slots, list_slots, NB, BLOCK: tl.constexpr):
    slot = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    block = tl.load(selection_ptr + slot, mask=slot < slots, other=-1)
    at = slot // list_slots * NB + block
    place = tl.atomic_add(count_ptr + at, 1, mask=block >= 0, sem="relaxed")
    tl.store(where_ptr + slot, place, mask=slot < slots)


@triton.jit
def _place(
    count_ptr, end_ptr, item_end_ptr, lists, CHUNK: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    entries = 0
    items = 0
    for start in range(0, lists, BLOCK):
        which = start + tl.arange(0, BLOCK)
        count = tl.load(count_ptr + which, mask=which < lists, other=0)
        num_items = (count + CHUNK - 1) // CHUNK
        tl.store(end_ptr + which, entries + tl.cumsum(count, 0), mask=which < lists)
        tl.store(item_end_ptr + which, items + tl.cumsum(num_items, 0), mask=which < lists)
        entries += tl.sum(count, 0)
        items += tl.sum(num_items, 0)


@triton.jit
def _fill(
    selection_ptr, count_ptr, end_ptr, entry_ptr, where_ptr, slots, list_slots, NB,
    BLOCK: tl.constexpr,
):  # fmt: skip
    slot = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    block = tl.load(selection_ptr + slot, mask=slot < slots, other=-1)
    used = block >= 0
    at = slot // list_slots * NB + block
    first = tl.load(end_ptr + at, mask=used, other=0) - tl.load(count_ptr + at, mask=used, other=0)
    entry = first + tl.load(where_ptr + slot, mask=used, other=0)
    tl.store(entry_ptr + entry, slot % list_slots, mask=used)
    tl.store(where_ptr + slot, tl.where(used, entry, -1), mask=slot < slots)


@triton.jit
def _cut(count_ptr, item_end_ptr, item_ptr, CHUNK: tl.constexpr, BLOCK: tl.constexpr):
    which = tl.program_id(0)
    num_items = (tl.load(count_ptr + which) + CHUNK - 1) // CHUNK
    first = tl.load(item_end_ptr + which) - num_items
    for start in range(0, num_items, BLOCK):
        item = start + tl.arange(0, BLOCK)
        tl.store(item_ptr + first + item, which + 0 * item, mask=item < num_items)


def make_plan(selection, *, num_blocks, chunk):
    """Plan of a selection int32 [B, Hkv, T, k], in lists by sequence, KV head and block.

    The order inside a list may differ from run to run; no result depends on it. A selection of
    nothing gives empty lists. Source: MSA paper, section 4.
    """
    batch, num_groups, num_queries, top_k = selection.shape
    lists = batch * num_groups * num_blocks
    slots = selection.numel()
    int32 = {"device": selection.device, "dtype": torch.int32}
    counts = torch.zeros(lists, **int32)
    where = torch.empty_like(selection)
    entries = torch.empty(slots, **int32)
    grid = (triton.cdiv(slots, 1024),)
    _count[grid](selection, counts, where, slots, num_queries * top_k, num_blocks, BLOCK=1024)
    ends = torch.empty_like(counts)
    item_ends = torch.empty_like(counts)
    _place[(1,)](counts, ends, item_ends, lists, CHUNK=chunk, BLOCK=4096, num_warps=16)
    _fill[grid](
        selection, counts, ends, entries, where, slots, num_queries * top_k, num_blocks, BLOCK=1024
    )
    items = torch.empty(slots // chunk + min(lists, slots), **int32)
    _cut[(lists,)](counts, item_ends, items, CHUNK=chunk, BLOCK=64, num_warps=1)
    return Plan(entries, where, counts, ends, items, item_ends)
