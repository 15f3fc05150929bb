"""Selection and attention in PyTorch, against the NumPy reference."""

import numpy as np
import pytest
import torch
from cases import make_lanes, random_selection, refused

from msa_learning.attention import selection as torch_selection
from msa_learning.attention import sparse as torch_sparse
from msa_ref import scoring, selection, sparse

RULES = [
    {"top_k": 2},
    {"top_k": 3, "init_blocks": 1, "local_blocks": 2},
    {"top_k": 4, "local_blocks": 0},
    {"top_k": 7},  # more than the five blocks
]


def tensors(*arrays):
    return [torch.from_numpy(array) for array in arrays]


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch):
    """Chunks of 4 queries, so that 11 of them are three chunks, the last one shorter."""
    monkeypatch.setattr(torch_selection, "CHUNK_QUERIES", 4)
    monkeypatch.setattr(torch_sparse, "CHUNK_QUERIES", 4)


@pytest.mark.parametrize("whole", [False, True], ids=["random", "ties"])
@pytest.mark.parametrize("num_keys", [11, 20, 23])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_blocks_are_those_of_the_reference(rule, num_keys, whole):
    lanes = make_lanes(num_keys=num_keys, whole=whole)
    scores = scoring.block_scores(lanes.index_q, lanes.index_k, block_size=5)
    want = selection.select_blocks(scores, block_size=5, num_keys=num_keys, **rule)
    got_scores = torch_selection.block_scores(*tensors(lanes.index_q, lanes.index_k), block_size=5)
    np.testing.assert_allclose(got_scores, scores, rtol=0, atol=1e-12)
    got = torch_selection.select_blocks(
        *tensors(lanes.index_q, lanes.index_k), block_size=5, **rule
    )
    np.testing.assert_array_equal(got, want)
    assert got.dtype == torch.int32


def test_nan_scores_are_refused():
    lanes = make_lanes()
    lanes.index_q[1, 0, 3, 2] = np.nan
    with refused(ValueError, "block_scores", "NaN"):
        torch_selection.select_blocks(*tensors(lanes.index_q, lanes.index_k), block_size=5, top_k=2)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_the_best_blocks_of_any_scores_are_those_of_the_reference(rule):
    """Also of scores for more blocks than there are keys, as a padded score matrix has them."""
    for seed, num_blocks in enumerate((5, 6)):
        scores = np.random.default_rng(seed).integers(-2, 3, (3, 2, 11, num_blocks)).astype(float)
        sizes = {"block_size": 5, "num_keys": 23}
        want = selection.select_blocks(scores[..., :5], **sizes, **rule)
        got = torch_selection.best_blocks(torch.from_numpy(scores), **sizes, **rule)
        np.testing.assert_array_equal(got, want)


def test_ties_among_many_blocks_go_to_the_lower_id():
    """PyTorch's unstable sort keeps the order of ties in rows as short as those above."""
    scores = np.random.default_rng(0).integers(-2, 3, (1, 2, 9, 500)).astype(float)
    sizes = {"top_k": 120, "block_size": 5, "num_keys": 2500}
    want = selection.select_blocks(scores, **sizes)
    got = torch_selection.best_blocks(torch.from_numpy(scores), **sizes)
    np.testing.assert_array_equal(got, want)


def test_index_vectors_in_16_bits_are_scored_in_float32():
    """Also within autocast, which would take the products in 16 bits."""
    lanes = make_lanes()
    index_q, index_k = (t.bfloat16() for t in tensors(lanes.index_q, lanes.index_k))
    want = torch_selection.block_scores(index_q.float(), index_k.float(), block_size=5)
    with torch.autocast("cpu", torch.bfloat16):
        got = torch_selection.block_scores(index_q, index_k, block_size=5)
    assert got.dtype == torch.float32
    assert torch.equal(got, want)


def test_masks_and_ids_are_made_where_the_inputs_lie():
    """Here on the CPU, while the default device is another."""
    lanes = make_lanes()
    q, k, v, index_q, index_k = tensors(*lanes)
    with torch.device("meta"):
        chosen = torch_selection.select_blocks(index_q, index_k, block_size=5, top_k=2)
        out = torch_sparse.attention(q, k, v, chosen, block_size=5)
    assert chosen.device == out.device == q.device


def test_a_budget_counts_its_tokens():
    assert torch_selection.Budget(block_size=128, top_k=8).tokens == 1024


@pytest.mark.parametrize(
    ("changed", "name", "part"),
    [
        ({"index_q": torch.zeros(3, 2, 24, 7)}, "index_q", "at most the 23 keys"),
        ({"index_k": torch.zeros(3, 2, 23, 7)}, "index_k", "(3, 1, 23, 7)"),
        ({"block_size": 0}, "block_size", "at least 1"),
    ],
)
def test_index_vectors_that_do_not_fit_are_refused(changed, name, part):
    fitting = {"index_q": torch.zeros(3, 2, 11, 7), "index_k": torch.zeros(3, 1, 23, 7)}
    arguments = {"block_size": 5} | fitting | changed
    with refused(ValueError, name, part):
        torch_selection.block_scores(**arguments)
    with refused(ValueError, name, part):
        torch_selection.select_blocks(**arguments, top_k=2)


@pytest.mark.parametrize(
    ("rule", "name", "part"),
    [
        ({"top_k": 0}, "top_k", "at least 1"),
        ({"top_k": 2, "local_blocks": -1}, "local_blocks", "at least 0"),
        ({"top_k": 2, "init_blocks": 2}, "top_k", "init_blocks"),
    ],
)
def test_a_budget_below_its_forced_blocks_is_refused(rule, name, part):
    with refused(ValueError, name, part):
        torch_selection.select_blocks(
            torch.zeros(3, 2, 11, 7), torch.zeros(3, 1, 23, 7), block_size=5, **rule
        )


@pytest.mark.parametrize("num_keys", [11, 20, 23])
def test_attention_is_that_of_the_reference(num_keys):
    lanes = make_lanes(num_keys=num_keys)
    chosen = random_selection(11, num_keys, 5, 3, batch=3, groups=2)
    assert (chosen < 0).all(axis=-1).any(), "some rows select nothing"
    want, _ = sparse.attention(lanes.q, lanes.k, lanes.v, chosen, block_size=5)
    got = torch_sparse.attention(*tensors(lanes.q, lanes.k, lanes.v, chosen), block_size=5)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)


def test_gradients_of_attention_are_those_of_finite_differences():
    lanes = make_lanes(batch=1, num_queries=6, num_keys=13)
    chosen = torch.from_numpy(random_selection(6, 13, 5, 2, groups=2))
    assert (chosen < 0).all(dim=-1).any(), "some rows select nothing"
    lanes = [lane.requires_grad_() for lane in tensors(lanes.q, lanes.k, lanes.v)]

    def attend(q, k, v):
        return torch_sparse.attention(q, k, v, chosen, block_size=5)

    assert torch.autograd.gradcheck(attend, lanes, fast_mode=True)


def test_gradients_of_attention_in_bf16_are_near_those_in_float32():
    made = make_lanes(num_queries=11, num_keys=23)
    chosen = torch.from_numpy(random_selection(11, 23, 5, 3, batch=3, groups=2))
    halves = [lane.bfloat16().requires_grad_() for lane in tensors(made.q, made.k, made.v)]
    floats = [lane.detach().float().requires_grad_() for lane in halves]
    for lanes in (halves, floats):
        torch_sparse.attention(*lanes, chosen, block_size=5).square().sum().backward()
    for half, single in zip(halves, floats):
        assert half.grad.dtype == torch.bfloat16
        error = (half.grad.float() - single.grad).norm() / single.grad.norm()
        assert 0 < error < 0.02


def test_what_is_not_selected_is_not_read():
    """Poison in keys and values of blocks that no row of the group chose."""
    lanes = make_lanes(num_queries=8, num_keys=23)
    chosen = np.broadcast_to(np.int32([1, 4]), (3, 2, 8, 2)).copy()
    chosen[:, :, :5, 1] = -1
    q, k, v = tensors(lanes.q, lanes.k, lanes.v)
    want = torch_sparse.attention(q, k, v, torch.from_numpy(chosen), block_size=5)
    for lane in (k, v):
        lane[:, :, :5] = lane[:, :, 10:20] = 1e30
    got = torch_sparse.attention(q, k, v, torch.from_numpy(chosen), block_size=5)
    torch.testing.assert_close(got, want)


@pytest.mark.parametrize(
    ("changed", "error", "name", "part"),
    [
        ({"selection": torch.full((3, 2, 11, 2), 4)}, ValueError, "selection", "id 4"),
        ({"selection": torch.full((3, 2, 11, 2), -2)}, ValueError, "selection", "id -2"),
        ({"selection": torch.zeros(3, 3, 11, 2)}, TypeError, "selection", "integer tensor"),
        ({"selection": torch.zeros(3, 1, 11, 2).int()}, ValueError, "selection", "(3, 1, 11, 2)"),
        ({"k": torch.zeros(3, 4, 23, 8)}, ValueError, "k", "divisor of q's 6"),
        ({"k": torch.zeros(3, 2, 9, 8)}, ValueError, "q", "at most the 9 keys"),
        ({"v": torch.zeros(3, 2, 22, 8)}, ValueError, "v", "(3, 2, 23, 8)"),
        ({"q": np.zeros((3, 6, 11, 8))}, TypeError, "q", "float tensor"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(changed, error, name, part):
    lanes = make_lanes()
    q, k, v = tensors(lanes.q, lanes.k, lanes.v)
    fitting = {"q": q, "k": k, "v": v, "selection": torch.zeros(3, 2, 11, 2).int()}
    with refused(error, name, part):
        torch_sparse.attention(**(fitting | changed), block_size=5)
