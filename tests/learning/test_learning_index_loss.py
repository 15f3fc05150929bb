"""The loss that trains the index: its value, its gradient, where no gradient goes, its memory."""

import numpy as np
import pytest
import torch
from cases import make_lanes, random_selection, refused
from torch.utils._python_dispatch import TorchDispatchMode

from msa_learning.attention import index_loss, selection, sparse

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
    got = index_loss.index_kl(index_q, index_k, q, k, selection, chunk=chunk, **SIZES)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12)
    got_grads = torch.autograd.grad(3 * got, (index_q, index_k))
    for ours, theirs in zip(got_grads, want_grads):
        torch.testing.assert_close(ours, 3 * theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("selection", [None, some_selection()], ids=["warm-up", "sparse"])
def test_gradient_is_that_of_finite_differences(selection):
    index_q, index_k, q, k = lanes()

    def of_the_index(index_q, index_k):
        return index_loss.index_kl(index_q, index_k, q, k, selection, chunk=4, **SIZES)

    assert torch.autograd.gradcheck(of_the_index, (index_q, index_k), fast_mode=True)


@pytest.mark.parametrize("selection", [None, some_selection()], ids=["warm-up", "sparse"])
def test_gradient_on_the_logits_is_the_difference_of_the_two_softmaxes(selection):
    """With the keys the unit vectors and scale 1, the index queries are the logits."""
    _, _, q, k = lanes()
    logits = torch.randn(3, 2, 11, 23, dtype=torch.float64, requires_grad=True)
    unit = torch.eye(23, dtype=torch.float64).expand(3, 1, 23, 23)
    index_loss.index_kl(logits, unit, q, k, selection, index_scale=1.0, **SIZES).backward()
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
    p = index_loss.attention_target(q, k, support, 1.0)
    torch.testing.assert_close(p.flatten(), torch.tensor([0.25, 0.75], dtype=torch.float64))


def test_the_target_is_not_dsas():
    """DSA sums the heads' dense weights and normalises after: on a support that is another p."""
    q = torch.tensor([[[[0.0]], [[40.0]]]], dtype=torch.float64)
    k = torch.tensor([[[[0.0], [1.0], [2.0]]]], dtype=torch.float64)
    support = torch.tensor([[True, True, False]])
    p = index_loss.attention_target(q, k, support, 1.0).flatten()
    dense = (q[0, :, 0] @ k[0, 0].T).softmax(-1).sum(0) * support[0]
    torch.testing.assert_close(p, torch.tensor([0.25, 0.75, 0], dtype=torch.float64))
    torch.testing.assert_close(
        dense / dense.sum(), torch.tensor([0.5, 0.5, 0], dtype=torch.float64)
    )


def test_it_is_zero_where_the_index_is_the_attention():
    """One head a group, and that head's queries and keys for the index's."""
    made = make_lanes()
    q, k = torch.from_numpy(made.q[:, :1]), torch.from_numpy(made.k[:, :1])
    assert abs(float(index_loss.index_kl(q, k, q, k, **SIZES))) < 1e-12
    assert float(index_loss.index_kl(2 * q, k, q, k, **SIZES)) > 0.01


def test_the_trunk_gets_no_gradient():
    index_q, index_k, q, k = lanes()
    q, k = q.requires_grad_(), k.requires_grad_()
    index_loss.index_kl(index_q, index_k, q, k, some_selection(), **SIZES).backward()
    assert q.grad is None
    assert k.grad is None
    assert index_q.grad.abs().max() > 0
    assert index_k.grad.abs().max() > 0


def test_a_row_without_support_is_refused():
    selection = some_selection()
    selection[1, 0, 7] = -1
    with refused(ValueError, "selection", "(1, 0, 7)", "empty support"):
        index_loss.index_kl(*lanes(), selection, **SIZES)


@pytest.mark.parametrize(
    ("changed", "error", "name", "part"),
    [
        ({"index_k": torch.zeros(3, 2, 23, 7)}, ValueError, "index_k", "(3, 1, 23, 7)"),
        ({"index_k": torch.zeros(3, 1, 24, 7)}, ValueError, "index_k", "24 keys, takes k's 23"),
        ({"index_q": torch.zeros(3, 3, 11, 7)}, ValueError, "index_q", "(3, 2, 11, 7)"),
        ({"index_q": torch.zeros(3, 2, 11, 7).int()}, TypeError, "index_q", "float tensor"),
        ({"block_size": 0}, ValueError, "block_size", "at least 1"),
        ({"chunk": 0}, ValueError, "chunk", "at least 1"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(changed, error, name, part):
    fitting = dict(zip(("index_q", "index_k", "q", "k"), lanes())) | SIZES
    with refused(error, name, part):
        index_loss.index_kl(**(fitting | changed))


class LargestTensor(TorchDispatchMode):
    """The most numbers that any one tensor made inside holds."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        made = result if isinstance(result, tuple | list) else [result]
        sizes = [part.numel() for part in made if isinstance(part, torch.Tensor)]
        self.numel = max(self.numel, *sizes, 0)
        return result


def training_memory(length, monkeypatch):
    """Numbers kept for the backward pass of a sparse layer and its loss, and the largest tensor."""
    monkeypatch.setattr(sparse, "CHUNK_QUERIES", 32)
    monkeypatch.setattr(selection, "CHUNK_QUERIES", 32)
    q, k, v, index_q, index_k = (
        torch.randn(1, heads, length, 8, requires_grad=True) for heads in (4, 2, 2, 2, 1)
    )
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = tensor, storage.nbytes()
        return tensor

    with LargestTensor() as seen:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            chosen = selection.select_blocks(index_q, index_k, block_size=16, top_k=4)
            out = sparse.attention(q, k, v, chosen, block_size=16)
            kl = index_loss.index_kl(index_q, index_k, q, k, chosen, block_size=16, chunk=32)
        (out.sum() + kl).backward()
    return sum(nbytes for _, nbytes in kept.values()), seen.numel


def test_memory_grows_with_the_length_and_not_with_its_square(monkeypatch):
    kept, largest = training_memory(1024, monkeypatch)
    kept_twice, largest_twice = training_memory(2048, monkeypatch)
    assert kept_twice <= 2.1 * kept
    # 32 queries of 4 heads by all keys: T x S would be 64 times that.
    assert (largest, largest_twice) == (4 * 32 * 1024, 4 * 32 * 2048)
