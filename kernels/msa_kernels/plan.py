"""Plan: query-to-block lists turned into work items of the block-major pass, without a sort.

Count how many queries selected each block, place each list behind the one before, fill the lists,
cut long ones (a block that every query selected) into items of equal size, so that no program has
more to do than the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

from msa_kernels.arguments import Plan

if TYPE_CHECKING:
    from jaxtyping import Int32
    from torch import Tensor

SLOTS_PER_PROGRAM = 1024


@triton.jit
def plan_count_kernel(
    selection, counts, rank_of_slot, num_slots, list_slots, NB, SLOTS: tl.constexpr
):
    """Count the slots that name each block; a slot's rank is the count that it found."""
    # selection, rank_of_slot int32 [B, Hkv, T, k], list_slots = T k of them for each KV head;
    # counts int32 [B, Hkv, NB]
    slot = tl.program_id(0) * SLOTS + tl.arange(0, SLOTS)
    block = tl.load(selection + slot, mask=slot < num_slots, other=-1)
    list_id = (slot // list_slots).to(tl.int64) * NB + block
    rank = tl.atomic_add(counts + list_id, 1, mask=block >= 0, sem="relaxed")
    tl.store(rank_of_slot + slot, rank, mask=slot < num_slots)


@triton.jit
def plan_place_kernel(
    counts, list_ends, item_ends, num_lists, ITEM_SIZE: tl.constexpr, LISTS: tl.constexpr
):
    """Running sums, in one program, of the entries and of the items of all lists."""
    # counts, list_ends, item_ends int32 [num_lists]
    entries = 0
    items = 0
    for start in range(0, num_lists, LISTS):
        list_id = start + tl.arange(0, LISTS)
        count = tl.load(counts + list_id, mask=list_id < num_lists, other=0)
        num_items = (count + ITEM_SIZE - 1) // ITEM_SIZE
        list_end = entries + tl.cumsum(count, 0)
        tl.store(list_ends + list_id, list_end, mask=list_id < num_lists)
        item_end = items + tl.cumsum(num_items, 0)
        tl.store(item_ends + list_id, item_end, mask=list_id < num_lists)
        entries += tl.sum(count, 0)
        items += tl.sum(num_items, 0)


@triton.jit
def plan_fill_kernel(selection, plan: Plan, num_slots, list_slots, NB, SLOTS: tl.constexpr):
    """Write each used slot's query and rank into its list; a slot's rank becomes its entry."""
    # selection, plan.entry_of_slot int32 [B, Hkv, T, k]; plan.entries int32 [num_slots]
    slot = tl.program_id(0) * SLOTS + tl.arange(0, SLOTS)
    block = tl.load(selection + slot, mask=slot < num_slots, other=-1)
    slot_ok = block >= 0
    list_id = (slot // list_slots).to(tl.int64) * NB + block
    list_end = tl.load(plan.list_ends + list_id, mask=slot_ok, other=0)
    first = list_end - tl.load(plan.counts + list_id, mask=slot_ok, other=0)
    entry = first + tl.load(plan.entry_of_slot + slot, mask=slot_ok, other=0)
    tl.store(plan.entries + entry, slot % list_slots, mask=slot_ok)
    tl.store(plan.entry_of_slot + slot, tl.where(slot_ok, entry, -1), mask=slot < num_slots)


@triton.jit
def plan_cut_kernel(counts, item_ends, item_lists, ITEM_SIZE: tl.constexpr, ITEMS: tl.constexpr):
    """Write the number of one list at each of its items."""
    # counts, item_ends int32 [lists], item_lists int32 [items]
    list_id = tl.program_id(0)
    num_items = (tl.load(counts + list_id) + ITEM_SIZE - 1) // ITEM_SIZE
    first = tl.load(item_ends + list_id) - num_items
    for start in range(0, num_items, ITEMS):
        item = start + tl.arange(0, ITEMS)
        tl.store(item_lists + first + item, list_id + 0 * item, mask=item < num_items)


def make_plan(selection: Int32[Tensor, "B Hkv T k"], *, num_blocks: int, item_size: int) -> Plan:
    """Plan of a contiguous selection, in lists by sequence, KV head and block.

    The order inside a list may differ from run to run; no result depends on it. A selection of
    nothing gives empty lists. Source: MSA paper, section 4.
    """
    batch, num_kv_heads, num_queries, top_k = selection.shape
    num_lists = batch * num_kv_heads * num_blocks
    num_slots, list_slots = selection.numel(), num_queries * top_k
    int32 = {"device": selection.device, "dtype": torch.int32}
    counts = torch.zeros(num_lists, **int32)
    plan = Plan(
        entries=torch.empty(num_slots, **int32),
        entry_of_slot=torch.empty_like(selection),
        counts=counts,
        list_ends=torch.empty_like(counts),
        item_lists=torch.empty(num_slots // item_size + min(num_lists, num_slots), **int32),
        item_ends=torch.empty_like(counts),
    )
    grid = (triton.cdiv(num_slots, SLOTS_PER_PROGRAM),)
    sizes = num_slots, list_slots, num_blocks
    plan_count_kernel[grid](
        selection, plan.counts, plan.entry_of_slot, *sizes, SLOTS=SLOTS_PER_PROGRAM
    )
    plan_place_kernel[(1,)](
        plan.counts, plan.list_ends, plan.item_ends, num_lists,
        ITEM_SIZE=item_size, LISTS=4096, num_warps=16,
    )  # fmt: skip
    plan_fill_kernel[grid](selection, plan, *sizes, SLOTS=SLOTS_PER_PROGRAM)
    plan_cut_kernel[(num_lists,)](
        plan.counts, plan.item_ends, plan.item_lists, ITEM_SIZE=item_size, ITEMS=64, num_warps=1
    )
    return plan
