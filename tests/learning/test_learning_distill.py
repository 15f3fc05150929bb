"""Distillation in one pass: the same as loss, selection and attention one after the other."""

import pytest
import torch

from msa_learning.attention.index_loss import index_kl
from msa_learning.attention.selection import Budget, select_blocks
from msa_learning.attention.sparse import attention
from msa_learning.index import distill as module
from msa_learning.index.distill import distill


def lanes(length=43, dtype=torch.float64, seed=0):
    """index_q, index_k with gradients; q, k, v of 2 sequences, 6 query and 2 KV heads."""
    generator = torch.Generator().manual_seed(seed)
    made = [
        torch.randn(2, heads, length, dim, generator=generator, dtype=dtype)
        for heads, dim in ((2, 5), (1, 5), (6, 8), (2, 8), (2, 8))
    ]
    return [made[0].requires_grad_(), made[1].requires_grad_(), *made[2:]]


@pytest.fixture(autouse=True, params=[16, 512])
def chunk(request, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", request.param)


def check_equal(distilled, want, index_q, index_k):
    torch.testing.assert_close(distilled.kl, want, rtol=0, atol=1e-12)
    got = torch.autograd.grad(3 * distilled.kl, (index_q, index_k))
    for ours, theirs in zip(got, torch.autograd.grad(3 * want, (index_q, index_k))):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
        assert ours.abs().max() > 1e-4


def test_the_warm_up_is_index_kl_on_all_visible_tokens():
    index_q, index_k, q, k, _ = lanes()
    distilled = distill(index_q, index_k, q, k)
    assert distilled.selection is distilled.out is None
    check_equal(distilled, index_kl(index_q, index_k, q, k, block_size=1), index_q, index_k)


@pytest.mark.parametrize(("block_size", "top_k"), [(4, 3), (8, 2), (8, 9), (5, 1)])
def test_on_selected_blocks_it_is_selection_loss_and_attention(block_size, top_k):
    index_q, index_k, q, k, v = lanes()
    budget = Budget(block_size, top_k)
    distilled = distill(index_q, index_k, q, k, v, budget=budget)
    chosen = select_blocks(index_q, index_k, block_size=block_size, top_k=top_k)
    assert torch.equal(distilled.selection, chosen)
    out = attention(q, k, v, chosen, block_size=block_size)
    torch.testing.assert_close(distilled.out, out, rtol=0, atol=1e-12)
    want = index_kl(index_q, index_k, q, k, chosen, block_size=block_size)
    check_equal(distilled, want, index_q, index_k)
    assert distill(index_q, index_k, q, k, budget=budget).out is None


def test_in_bf16_the_loss_is_made_in_float32():
    given = lanes(dtype=torch.float32)
    halves = [lane.detach().bfloat16() for lane in given]
    distilled = distill(*halves, budget=Budget(8, 2))
    assert distilled.kl.dtype == torch.float32
    assert distilled.out.dtype == torch.bfloat16
    again = distill(*(lane.float() for lane in halves), budget=Budget(8, 2))
    torch.testing.assert_close(distilled.kl, again.kl, rtol=1e-6, atol=0)
    torch.testing.assert_close(distilled.out.float(), again.out, rtol=0, atol=0.03)


def test_scores_far_apart_stay_finite():
    """An index sure of itself: where its weight is nothing, so is the product with its log."""
    index_q, index_k, q, k, v = lanes(dtype=torch.float32)
    distilled = distill(300 * index_q, index_k, 30 * q, k, v, budget=Budget(8, 2))
    assert distilled.kl.isfinite()
    assert distilled.out.isfinite().all()
    assert all(g.isfinite().all() for g in torch.autograd.grad(distilled.kl, (index_q, index_k)))


def test_nothing_but_the_index_learns():
    index_q, index_k, *trunk = lanes()
    trunk = [lane.requires_grad_() for lane in trunk]
    distilled = distill(index_q, index_k, *trunk, budget=Budget(8, 2))
    distilled.kl.backward()
    assert not distilled.out.requires_grad
    assert all(lane.grad is None for lane in trunk)
    assert index_q.grad is not None
