"""Plan: block-to-query lists, and the items that cut them."""

import numpy as np
import pytest
import torch
from kernel_cases import pick

from msa_kernels.plan import make_plan
from msa_ref import blocks


def check(ids, num_blocks, item_size, device):
    """The lists are the reference's as sets, slots know their entry, items cut lists whole."""
    batch, groups, num_queries, top_k = ids.shape
    plan = make_plan(torch.from_numpy(ids).to(device), num_blocks=num_blocks, item_size=item_size)
    plan = type(plan)(*(tensor.cpu().numpy() for tensor in plan))
    firsts = plan.list_ends - plan.counts
    assert plan.list_ends[-1] == (ids >= 0).sum()
    for pair in range(batch * groups):
        chosen = ids.reshape(-1, num_queries, top_k)[pair]
        offsets, queries = blocks.invert_selection(chosen, num_blocks)
        for block in range(num_blocks):
            list_id = pair * num_blocks + block
            entries = plan.entries[firsts[list_id] : plan.list_ends[list_id]]
            wanted = queries[offsets[block] : offsets[block + 1]]
            assert sorted(entries // top_k) == wanted.tolist()
            assert (chosen.reshape(-1)[entries] == block).all()
    flat, entry = ids.reshape(batch * groups, -1), plan.entry_of_slot.reshape(batch * groups, -1)
    assert ((entry >= 0) == (flat >= 0)).all()
    for pair, slot in np.argwhere(flat >= 0):
        assert plan.entries[entry[pair, slot]] == slot
    cut = -(-plan.counts // item_size)
    assert (plan.item_ends == np.cumsum(cut)).all()
    assert plan.item_lists[: cut.sum()].tolist() == np.repeat(np.arange(len(cut)), cut).tolist()
    assert len(plan.item_lists) >= cut.sum()
    return plan


@pytest.mark.parametrize("kind", ["rand", "corr", "sink"])
def test_lists_are_the_reference_s(device, poisoned, kind):
    ids = pick(kind, batch=2, groups=2, num_queries=45, num_keys=197, block_size=16, top_k=4)
    check(ids, 13, 128, device)


def test_long_lists_are_cut(device, poisoned):
    ids = pick("sink", batch=1, groups=2, num_queries=150, num_keys=400, block_size=16, top_k=3)
    plan = check(ids, 25, 32, device)
    assert plan.counts[0] > 4 * 32


def test_empty_lists(device, poisoned):
    ids = np.full((1, 1, 5, 3), -1, dtype=np.int32)
    check(ids, 9, 16, device)
    ids[0, 0, 2, 0] = 8
    check(ids, 9, 16, device)


def test_more_slots_than_one_program_counts(device, poisoned):
    ids = pick("rand", batch=1, groups=1, num_queries=400, num_keys=500, block_size=16, top_k=3)
    check(ids, 32, 128, device)
