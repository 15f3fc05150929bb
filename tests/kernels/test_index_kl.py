"""The index's loss and its gradients against those in PyTorch, in float64."""

import pytest
import torch
from kernel_cases import pick

from msa_kernels import index_kl
from msa_learning.attention import index_loss
from msa_learning.attention.selection import Budget
from msa_learning.index.distill import distill_torch, distill_triton


def lanes(
    length, *, groups=2, per_group=3, dim=32, index_dim=64, dtype=torch.float32, device="cpu"
):
    """index_q and index_k in float32, q and k in `dtype`: two sequences."""
    generator = torch.Generator().manual_seed(length)
    shapes = (groups, index_dim), (1, index_dim), (groups * per_group, dim), (groups, dim)
    made = [torch.randn(2, h, length, d, generator=generator) for h, d in shapes]
    return [x.to(device, t) for x, t in zip(made, (torch.float32, torch.float32, dtype, dtype))]


def in_float64(index_q, index_k, q, k, selection=None, **sizes):
    """Loss and both gradients, of the same numbers."""
    index = [x.double().cpu().requires_grad_() for x in (index_q, index_k)]
    kl = index_loss.index_kl(*index, q.double().cpu(), k.double().cpu(), selection, **sizes)
    return kl.detach(), *torch.autograd.grad(kl, index)


def check(got, want, dtype):
    """Exact products in float32; with 16-bit lanes the index's are made as TF32 on a GPU."""
    tolerance = 1e-5 if dtype == torch.float32 else 5e-3
    for ours, theirs in zip(got, want):
        assert ours.dtype == torch.float32
        assert ours.shape == theirs.shape
        error = (ours.double().cpu() - theirs).norm() / theirs.norm()
        assert error < tolerance


# Below one tile; the last tile cut short; several tiles.
@pytest.mark.parametrize("length", [7, 64, 101])
def test_on_all_visible_tokens(dtype, device, poisoned, length):
    given = lanes(length, dtype=dtype, device=device)
    check(index_kl(*given), in_float64(*given, block_size=1), dtype)


@pytest.mark.parametrize(("block_size", "top_k"), [(16, 3), (32, 1)])
def test_on_selected_blocks(dtype, device, poisoned, block_size, top_k):
    given = lanes(69, dtype=dtype, device=device)
    sizes = {"groups": 2, "num_queries": 69, "num_keys": 69, "top_k": top_k}
    one = torch.from_numpy(pick("rand", batch=1, block_size=block_size, **sizes))
    other = torch.from_numpy(pick("rand", batch=1, block_size=block_size, seed=1, **sizes))
    selection = torch.cat([one, other])
    got = index_kl(*given, selection.to(device), block_size=block_size)
    check(got, in_float64(*given, selection, block_size=block_size), dtype)


def test_one_head_a_group_other_sizes_and_strides(device, poisoned):
    """Heads may lie between the tokens, as a projection leaves them."""
    given = lanes(50, groups=3, per_group=1, dim=16, index_dim=16, device=device)
    apart = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in given]
    assert not apart[0].is_contiguous()
    check(index_kl(*apart), in_float64(*given, block_size=1), torch.float32)


def test_scores_far_apart_stay_finite(device):
    index_q, index_k, q, k = lanes(40, device=device)
    for one in index_kl(100 * index_q, index_k, 30 * q, k):
        assert one.isfinite().all()


@pytest.mark.parametrize(("top_k", "with_values"), [(None, False), (2, False), (2, True)])
def test_distillation_by_kernels_is_that_in_pytorch(device, top_k, with_values):
    """What training calls on a GPU: loss, gradients, selection and attention's output."""
    index_q, index_k, q, k = lanes(70, device=device)
    v = torch.randn(k.shape, generator=torch.Generator().manual_seed(1)).to(device)
    given = index_q, index_k, q, k, v if with_values else None
    budget = Budget(16, top_k) if top_k else None
    got, want = distill_triton(*given, budget), distill_torch(*given, budget)
    check(got[:3], [x.double().cpu() for x in want[:3]], torch.float32)
    for ours, theirs in zip(got[3:], want[3:]):
        assert (ours is None) == (theirs is None)
    if top_k is not None:
        assert torch.equal(got[3].cpu(), want[3].cpu())
    if got[4] is not None:
        torch.testing.assert_close(got[4], want[4], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"index_k": torch.zeros(2, 1, 20, 64)}, r"index_k: got shape \(2, 1, 20, 64\)"),
        ({"q": torch.zeros(2, 5, 21, 32)}, "q: got 5 heads, takes a multiple of index_q's 2"),
        ({"q": torch.zeros(2, 6, 21, 24)}, "q: got 24 channels, takes 16, 32, 64 or 128"),
        ({"k": torch.zeros(2, 2, 21, 32).half()}, "k: got torch.float16"),
        ({"selection": torch.zeros(2, 2, 20, 3).int()}, "selection: got shape"),
        ({"selection": torch.zeros(2, 2, 21, 3)}, "selection: got torch.float32"),
    ],
)
def test_what_does_not_fit_is_refused(device, change, message):
    named = dict(zip(("index_q", "index_k", "q", "k"), lanes(21, device=device)))
    named |= {name: tensor.to(device) for name, tensor in change.items()}
    with pytest.raises(ValueError, match=message):
        index_kl(**named)


def test_nan_is_not_hidden(device):
    """A weight is clamped to 1 and never from NaN to a number."""
    for spoilt in range(4):
        given = lanes(20, device=device)
        given[spoilt][0, 0, 3, 0] = float("nan")
        assert index_kl(*given)[0].isnan()


def test_gradients_are_returned_and_no_graph_is_kept(device):
    given = [x.requires_grad_() for x in lanes(20, device=device)]
    for one in index_kl(*given):
        assert not one.requires_grad
