"""Dense attention and the pieces it is cut into."""

import math

import numpy as np
import pytest
from cases import ODD, assert_close, make_lanes

from msa_ref import dense

LANES = make_lanes()


def head_by_head(q, k, v, *, scale, causal=True):
    """Attention of each head alone, with an ordinary exponential."""
    group_size = q.shape[1] // k.shape[1]
    k, v = k.repeat(group_size, axis=1), v.repeat(group_size, axis=1)
    scores = np.einsum("bhtd,bhsd->bhts", q, k) * scale
    if causal:
        num_queries, num_keys = scores.shape[2:]
        hidden = np.triu(np.ones((num_queries, num_keys), bool), 1 + num_keys - num_queries)
        scores[:, :, hidden] = -np.inf
    exponentials = np.exp(scores)
    total = exponentials.sum(axis=-1)
    return np.einsum("bhts,bhsd->bhtd", exponentials / total[..., None], v), np.log(total)


def test_causal_mask_of_the_last_queries():
    assert dense.causal_mask(3, 5).astype(int).tolist() == [
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 1, 1, 1],
    ]
    assert dense.causal_mask(1, 4).all()


def test_softmax_lse_of_small_numbers():
    weights, lse = dense.softmax_lse(np.log([[1.0, 2.0, 5.0], [3.0, 3.0, 6.0]]))
    assert_close(weights, np.array([[1, 2, 5], [2, 2, 4]]) / 8, 1e-15)
    assert_close(lse, np.log([8.0, 12.0]), 1e-15)


def test_softmax_lse_does_not_overflow():
    weights, lse = dense.softmax_lse(np.array([1000.0, 1000.0]))
    assert weights.tolist() == [0.5, 0.5]
    assert lse == 1000 + math.log(2)
    weights, lse = dense.softmax_lse(np.array([-2000.0, -1000.0]))
    assert weights.tolist() == [0, 1]
    assert lse == -1000


def test_softmax_lse_of_a_row_that_sees_nothing():
    weights, lse = dense.softmax_lse(np.array([[-np.inf, -np.inf], [-np.inf, 3.0]]))
    assert weights.tolist() == [[0, 0], [0, 1]]
    assert lse.tolist() == [-np.inf, 3]


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_softmax_lse_of_a_row_with_nan_or_infinity_is_nan(bad):
    weights, lse = dense.softmax_lse(np.array([[1.0, bad, -np.inf], [0.0, 0.0, -np.inf]]))
    assert np.isnan(weights[0]).all()
    assert np.isnan(lse[0])
    assert weights[1].tolist() == [0.5, 0.5, 0]
    assert lse[1] == math.log(2)


def test_group_matmul_gives_each_head_its_groups_array():
    rng = np.random.default_rng(0)
    rows, shared = rng.standard_normal((2, 6, 3, 5)), rng.standard_normal((2, 3, 5, 4))
    product = dense.group_matmul(rows, shared)
    assert product.shape == (2, 6, 3, 4)
    for b, h in np.ndindex(2, 6):
        assert_close(product[b, h], rows[b, h] @ shared[b, h // 2], 1e-14)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("scale", [None, 0.3])
@pytest.mark.parametrize("num_queries", [1, 11, 23])
def test_attention_is_a_weighted_mean_head_by_head(causal, scale, num_queries):
    q, k, v, *_ = make_lanes(num_queries=num_queries)
    want = head_by_head(q, k, v, scale=scale or ODD.head_dim**-0.5, causal=causal)
    got = dense.attention(q, k, v, scale=scale, causal=causal)
    assert_close(got[0], want[0], 1e-13)
    assert_close(got[1], want[1], 1e-13)


def test_attention_weights_make_the_output():
    weights, lse = dense.attention_weights(LANES.q, LANES.k)
    out, same_lse = dense.attention(LANES.q, LANES.k, LANES.v)
    assert_close(weights.sum(axis=-1), np.ones(weights.shape[:3]), 1e-14)
    assert (weights[:, :, ~dense.causal_mask(11, 23)] == 0).all()
    assert_close(np.einsum("bhts,bhsd->bhtd", weights, LANES.v.repeat(3, axis=1)), out, 1e-14)
    assert (lse == same_lse).all()


def test_one_key_is_copied():
    q, k, v, *_ = make_lanes(num_queries=1, num_keys=1)
    out, lse = dense.attention(q, k, v)
    assert_close(out, v.repeat(3, axis=1), 0)
    assert_close(lse, (q * k.repeat(3, axis=1)).sum(axis=-1) * 8**-0.5, 1e-14)


def test_merge_partials_of_small_numbers():
    outs = np.array([[[2.0, 0.0]], [[6.0, 4.0]]])
    out, lse = dense.merge_partials(outs, np.log([[1.0], [3.0]]))
    assert_close(out, np.array([[5.0, 3.0]]), 1e-15)
    assert_close(lse, np.log([4.0]), 1e-15)


def test_merge_partials_of_empty_parts():
    outs = np.array([[[0.0]], [[7.0]], [[0.0]]])
    lses = np.array([[-np.inf], [2.5], [-np.inf]])
    out, lse = dense.merge_partials(outs, lses)
    assert out.tolist() == [[7]]
    assert lse.tolist() == [2.5]
    out, lse = dense.merge_partials(outs[::2], lses[::2])
    assert out.tolist() == [[0]]
    assert lse.tolist() == [-np.inf]


def test_merge_partials_of_far_apart_parts():
    outs = np.ones((2, 1, 3))
    out, lse = dense.merge_partials(outs, np.array([[-3000.0], [3000.0]]))
    assert out.tolist() == [[1, 1, 1]]
    assert lse.tolist() == [3000]


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("chunk", [*range(1, 9), 22, 23, 24, 100])
def test_online_attention_with_any_chunk(chunk, causal):
    q, k, v, *_ = LANES
    want = dense.attention(q, k, v, causal=causal)
    got = dense.online_attention(q, k, v, chunk=chunk, causal=causal)
    assert_close(got[0], want[0], 1e-14)
    assert_close(got[1], want[1], 1e-14)


def scored(*scores):
    """q, k, v whose scores are these, and whose values are 0, 1, 2, ..."""
    k = np.array(scores).reshape(1, 1, -1, 1)
    return np.ones((1, 1, 1, 1)), k, np.arange(k.size, dtype=float).reshape(k.shape)


@pytest.mark.parametrize("chunk", [1, 2, 3, 4])
@pytest.mark.parametrize("scores", [[-np.inf, -np.inf, 3, 4], [-np.inf] * 4, [0, -np.inf, 1, 1]])
def test_online_attention_of_chunks_that_score_minus_infinity(chunk, scores):
    q, k, v = scored(*scores)
    want = dense.attention(q, k, v)
    got = dense.online_attention(q, k, v, chunk=chunk)
    assert_close(got[0], want[0], 1e-15)
    assert_close(got[1], want[1], 1e-15)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("chunk", [1, 3, 4])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("place", range(4))
def test_a_score_of_nan_or_infinity_makes_its_row_nan(chunk, bad, place):
    scores = [0.0, 1.0, -np.inf, 2.0]
    scores[place] = bad
    q, k, v = scored(*scores)
    for out, lse in (dense.attention(q, k, v), dense.online_attention(q, k, v, chunk=chunk)):
        assert np.isnan(out).all()
        assert np.isnan(lse).all()


def test_online_attention_with_a_scale():
    q, k, v, *_ = LANES
    want = dense.attention(q, k, v, scale=0.7)
    got = dense.online_attention(q, k, v, chunk=4, scale=0.7)
    assert_close(got[0], want[0], 1e-14)
    assert_close(got[1], want[1], 1e-13)


def test_online_attention_does_not_overflow_when_the_peak_rises():
    q, k, v, *_ = make_lanes(num_queries=1)
    k = k * np.linspace(1, 1000, 23)[:, None]
    want = dense.attention(q, k, v)
    got = dense.online_attention(q, k, v, chunk=2)
    assert np.abs(want[1]).max() > 800
    assert_close(got[0], want[0], 1e-11)
    assert_close(got[1], want[1], 1e-10)
