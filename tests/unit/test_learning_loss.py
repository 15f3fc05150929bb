"""The loss that teaches the index: its value, its gradient, where no gradient goes, its memory."""

import numpy as np
import pytest
import torch
from cases import make_lanes, random_selection, refused

from msa_ref.learning import loss

SIZES = {"block_size": 5}


def lanes(*, num_queries=11, num_keys=23, seed=0):
    """index_q, index_k, q, k as float64 tensors, the index ones with gradients."""
    made = make_lanes(num_queries=num_queries, num_keys=num_keys, seed=seed)
    q, k, index_q, index_k = (
        torch.from_numpy(lane) for lane in (made.q, made.k, made.index_q, made.index_k)
    )
    return index_q.requires_grad_(), index_k.requires_grad_(), q, k


def some_selection(num_queries=11, num_keys=23):
    """A valid selection with a block in every row, the partial last one among them."""
    chosen = random_selection(num_queries, num_keys, 5, 3, batch=3, groups=2)
    own = np.arange(num_keys - num_queries, num_keys) // 5
    return torch.from_numpy(np.where((chosen < 0).all(-1, keepdims=True), own[:, None], chosen))


def supports(selection, num_queries, num_keys):
    """Tokens of every row's support as a list, from the definition."""
    for b, g, t in np.ndindex(3, 2, num_queries):
        position = num_keys - num_queries + t
        tokens = np.arange(position + 1)
        if selection is not None:
            tokens = tokens[np.isin(tokens // 5, selection[b, g, t])]
        yield (b, g, t), tokens


def plain_kl(index_q, index_k, q, k, selection=None):
    """The mean KL, row by row, with nothing but torch's softmax: slow and plain."""
    group_size, rows = q.shape[1] // k.shape[1], []
    for (b, g, t), tokens in supports(selection, q.shape[2], k.shape[2]):
        heads = q[b, g * group_size : (g + 1) * group_size, t] @ k[b, g, tokens].T
        p = (heads * q.shape[3] ** -0.5).softmax(-1).mean(0).detach()
        index = (index_k[b, 0, tokens] @ index_q[b, g, t] * index_q.shape[3] ** -0.5).softmax(-1)
        rows.append((p * (p.log() - index.log())).sum())
    return torch.stack(rows).mean()


@pytest.mark.parametrize("chunk", [1, 4, 256])
@pytest.mark.parametrize("selection", [None, some_selection()], ids=["warm-up", "sparse"])
def test_value_and_gradient_are_those_of_autograd_on_the_plain_form(selection, chunk):
    index_q, index_k, q, k = lanes()
    want = plain_kl(index_q, index_k, q, k, selection)
    want_grads = torch.autograd.grad(want, (index_q, index_k))
    got = loss.index_kl(index_q, index_k, q, k, selection, chunk=chunk, **SIZES)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12)
    got_grads = torch.autograd.grad(3 * got, (index_q, index_k))
    for ours, theirs in zip(got_grads, want_grads):
        torch.testing.assert_close(ours, 3 * theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("selection", [None, some_selection()], ids=["warm-up", "sparse"])
def test_gradient_is_that_of_finite_differences(selection):
    index_q, index_k, q, k = lanes()

    def of_the_index(index_q, index_k):
        return loss.index_kl(index_q, index_k, q, k, selection, chunk=4, **SIZES)

    assert torch.autograd.gradcheck(of_the_index, (index_q, index_k), fast_mode=True)


@pytest.mark.parametrize("selection", [None, some_selection()], ids=["warm-up", "sparse"])
def test_gradient_on_the_logits_is_the_difference_of_the_two_softmaxes(selection):
    """With the keys the unit vectors and scale 1, the index queries are the logits."""
    _, _, q, k = lanes()
    logits = torch.randn(3, 2, 11, 23, dtype=torch.float64, requires_grad=True)
    unit = torch.eye(23, dtype=torch.float64).expand(3, 1, 23, 23)
    loss.index_kl(logits, unit, q, k, selection, index_scale=1.0, **SIZES).backward()
    want = torch.zeros_like(logits)
    for row, tokens in supports(selection, 11, 23):
        b, g, t = row
        heads = (q[b, 3 * g : 3 * g + 3, t] @ k[b, g, tokens].T * 8**-0.5).softmax(-1)
        want[row][tokens] = logits.detach()[row][tokens].softmax(-1) - heads.mean(0)
    torch.testing.assert_close(logits.grad, want / (3 * 11 * 2), rtol=0, atol=1e-12)


def test_each_head_is_normalised_before_the_average():
    """A head whose scores are large is one voice of G; the average of scores would follow it."""
    q = torch.tensor([[[[0.0]], [[40.0]]]], dtype=torch.float64)
    k = torch.tensor([[[[0.0], [1.0]]]], dtype=torch.float64)
    support = torch.ones(1, 2, dtype=torch.bool)
    p = loss.teacher(q, k, support, 1.0)
    torch.testing.assert_close(p.flatten(), torch.tensor([0.25, 0.75], dtype=torch.float64))


def test_it_is_zero_where_the_index_is_the_attention():
    """One head a group, and that head's queries and keys for the index's."""
    made = make_lanes()
    q, k = torch.from_numpy(made.q[:, :1]), torch.from_numpy(made.k[:, :1])
    assert abs(float(loss.index_kl(q, k, q, k, **SIZES))) < 1e-12
    assert float(loss.index_kl(2 * q, k, q, k, **SIZES)) > 0.01


def test_the_trunk_gets_no_gradient():
    index_q, index_k, q, k = lanes()
    q, k = q.requires_grad_(), k.requires_grad_()
    loss.index_kl(index_q, index_k, q, k, some_selection(), **SIZES).backward()
    assert q.grad is None
    assert k.grad is None
    assert index_q.grad.abs().max() > 0
    assert index_k.grad.abs().max() > 0


def test_a_row_without_support_is_refused():
    selection = some_selection()
    selection[1, 0, 7] = -1
    with refused(ValueError, "selection", "(1, 0, 7)", "empty support"):
        loss.index_kl(*lanes(), selection, **SIZES)
