"""The benchmark's checks of what it times: right rows pass, wrong ones and poison do not."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

# The harness is no part of the package.
sys.path.insert(0, str(Path(__file__).parents[2] / "kernels"))

from bench import dense, sampled
from msa_kernels import PagedCache
from msa_ref import TOY, scoring, selection, sparse


def one_query(wrong=None):
    """A query's MSA at TOY's sizes, checked as the benchmark does; `wrong` changes the result."""
    rng = np.random.default_rng(0)
    shapes = [(1, 8, 1, 16), (1, 2, 150, 16), (1, 2, 150, 16), (1, 2, 1, 16), (1, 1, 150, 16)]
    q, k, v, index_q, index_k = (rng.standard_normal(shape) for shape in shapes)
    truth = sparse.msa_attention(q, k, v, index_q, index_k, TOY)
    result = {"out": truth.out[0, :, 0].copy(), "selection": truth.selection[0, :, 0].copy()}
    if wrong:
        wrong(result)
    sampled.check_row(
        lambda group, first, stop: (torch.tensor(k[0, group, first:stop]),
                                    torch.tensor(v[0, group, first:stop])),
        lambda first, stop: torch.tensor(index_k[0, 0, first:stop]),
        torch.tensor(q[0, :, 0]), torch.tensor(index_q[0, :, 0]),
        torch.tensor(result["out"]), torch.tensor(result["selection"]),
        length=150, config=TOY, where="here",
    )  # fmt: skip


def test_sampled_row_passes_when_right():
    one_query()


def test_sampled_row_fails_when_the_output_is_wrong():
    with pytest.raises(AssertionError, match="here: error"):
        one_query(lambda result: result["out"].__setitem__((3, 5), 1.0))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_poison_fails(bad):
    with pytest.raises(AssertionError, match="error"):
        dense.check_close("x", torch.full((2, 4), bad), torch.ones(2, 4, dtype=torch.float64))


def test_sampled_selection_fails_when_a_better_block_is_left_out():
    rng = np.random.default_rng(1)
    index_q, index_k = rng.standard_normal((1, 2, 1, 16)), rng.standard_normal((1, 1, 150, 16))
    scores = scoring.block_scores(index_q, index_k, block_size=16)
    ids = selection.select_blocks(scores, top_k=4, block_size=16, num_keys=150)[0, :, 0]
    judge = {"own": 9, "top_k": 4, "where": "here"}
    sampled.check_ids(ids, scores[0, :, 0], **judge)
    worst = np.argsort(scores[0, 0, 0, :9])[:3]
    ids[0] = [*sorted(worst), 9]
    with pytest.raises(AssertionError, match="left out"):
        sampled.check_ids(ids, scores[0, :, 0], **judge)
    ids[0] = [0, 1, 2, 3]
    with pytest.raises(AssertionError, match="local block"):
        sampled.check_ids(ids, scores[0, :, 0], **judge)
    ids[0] = [0, 0, 2, 9]
    with pytest.raises(AssertionError, match="ascending"):
        sampled.check_ids(ids, scores[0, :, 0], **judge)


def test_exact_row_is_softmax_attention():
    k, v = torch.eye(4)[None], torch.arange(16.0).view(1, 4, 4)
    even = dense.exact_row(torch.zeros(1, 2, 4), k, v)
    torch.testing.assert_close(even, v.double().mean(1, keepdim=True).expand(1, 2, 4))


def lanes(num_queries, num_keys):
    """q, k, v, index_q and index_k of one sequence at TOY's sizes, and what the reference makes."""
    rng = np.random.default_rng(2)
    heads, groups, d, di = TOY.num_heads, TOY.num_kv_heads, TOY.head_dim, TOY.index_dim
    shapes = (heads, num_queries, d), (groups, num_keys, d), (groups, num_keys, d)
    shapes += (groups, num_queries, di), (1, num_keys, di)
    arrays = [rng.standard_normal((1, *shape)).astype(np.float32) for shape in shapes]
    truth = sparse.msa_attention(*(array.astype(np.float64) for array in arrays), TOY)
    tensors = [torch.from_numpy(array) for array in arrays]
    return tensors, torch.from_numpy(truth.out), torch.from_numpy(truth.selection)


@pytest.mark.parametrize("row", [7, 8])
def test_a_wrong_row_of_a_sparse_prefill_fails(row):
    """Of 9 queries the sampled are 7, past the middle, and the last."""
    tensors, out, ids = lanes(9, 150)
    sampled.check_prefill(tensors, out, ids, TOY)
    spoilt = out.clone()
    spoilt[0, 3, row, 5] += 1
    with pytest.raises(AssertionError, match=f"row {row}: error"):
        sampled.check_prefill(tensors, spoilt, ids, TOY)
    wrong = ids.clone()
    wrong[0, 1, row] = torch.tensor([0, 1, 2, 3])
    with pytest.raises(AssertionError, match=f"row {row}"):
        sampled.check_prefill(tensors, out, wrong, TOY)


def test_an_injected_selection_is_not_judged():
    tensors, _, ids = lanes(7, 151)
    ids[:] = torch.tensor([0, 1, 2, 9])
    q, k, v = (x.double().numpy() for x in tensors[:3])
    out, _ = sparse.attention(q, k, v, ids.numpy(), block_size=TOY.block_size)
    sampled.check_prefill(tensors, torch.from_numpy(out), ids, TOY, injected=True)
    with pytest.raises(AssertionError, match="left out"):
        sampled.check_prefill(tensors, torch.from_numpy(out), ids, TOY)


def test_a_wrong_sequence_of_a_sparse_decode_step_fails(device):
    """The last sequence is looked at: its pages lie behind the first one's, in reverse."""
    (q, k, v, index_q, index_k), out, ids = lanes(1, 150)
    cache = PagedCache(
        TOY, num_pages=20, batch=2, max_pages=10, dtype=torch.float32, index_dtype=torch.float32,
        device=device,
    )  # fmt: skip
    cache.block_table[:] = torch.arange(19, -1, -1, dtype=torch.int32).view(2, 10)
    cache.append(*(x.to(device).expand(2, -1, -1, -1) for x in (k, v, index_k)))
    q, index_q, out, ids = (x.to(device).repeat(2, 1, 1, 1) for x in (q, index_q, out, ids))
    sampled.check_decode(cache, q, index_q, out, ids)
    for spoilt, message in ((out, "error"), (ids, "takes")):
        kept = spoilt[-1].clone()
        spoilt[-1] = spoilt[-1].flip(-1)
        with pytest.raises(AssertionError, match=f"sequence 1.*{message}"):
            sampled.check_decode(cache, q, index_q, out, ids)
        spoilt[-1] = kept


@pytest.mark.parametrize("row", [7, 8])
def test_a_wrong_row_of_a_dense_prefill_fails(row):
    (q, k, v, *_), _, _ = lanes(9, 40)
    right = torch.nn.functional.scaled_dot_product_attention(
        q, k, v, torch.ones(9, 40, dtype=torch.bool).tril(31), enable_gqa=True
    )
    dense.check_prefill(right, q, k, v)
    right[0, 3, row, 5] += 1
    with pytest.raises(AssertionError, match=f"row {row}: error"):
        dense.check_prefill(right, q, k, v)


def test_a_wrong_sequence_of_a_dense_decode_step_fails():
    (q, k, v, *_), _, _ = lanes(1, 40)
    q = q.view(1, TOY.num_kv_heads, -1, TOY.head_dim)
    right = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    dense.check_decode(right, q, k, v)
    right[0, 1, 2, 3] += 1
    with pytest.raises(AssertionError, match="sequence 0: error"):
        dense.check_decode(right, q, k, v)
