"""Attention over a selection, block by block and query by query; and MSA whole."""

import math

import numpy as np
import pytest
from cases import ODD, assert_close, make_lanes, random_selection

import msa_ref
from msa_ref import blocks, dense, scoring, selection, sparse

LANES = make_lanes()
SELECTION = random_selection(11, 23, 5, 3, batch=3, groups=2)


def softmax_over_the_chosen(lanes, chosen, block_size, scale):
    """Dense softmax whose mask is the chosen blocks' visible tokens."""
    num_queries, num_keys = lanes.q.shape[2], lanes.k.shape[2]
    group_size = lanes.q.shape[1] // lanes.k.shape[1]
    in_block = np.arange(num_keys) // block_size
    tokens = (chosen[..., None] == in_block).any(axis=-2)
    tokens &= dense.causal_mask(num_queries, num_keys)
    keys, values = (lane.repeat(group_size, axis=1) for lane in (lanes.k, lanes.v))
    scores = np.einsum("bhtd,bhsd->bhts", lanes.q, keys) * scale
    scores[~tokens.repeat(group_size, axis=1)] = -np.inf
    weights, lse = dense.softmax_lse(scores)
    return np.einsum("bhts,bhsd->bhtd", weights, values), lse


def test_attend_tile_of_small_numbers():
    q = np.array([[[1.0]], [[2.0]]])
    k_block, v_block = np.array([[0.0], [1.0]]), np.array([[10.0], [20.0]])
    out, lse = sparse.attend_tile(q, k_block, v_block, distance=np.array([1]), scale=0.5)
    heavy = [math.exp(0.5), math.exp(1.0)]
    assert_close(out[:, 0, 0], np.array([(10 + 20 * e) / (1 + e) for e in heavy]), 1e-14)
    assert_close(lse[:, 0], np.array([math.log(1 + e) for e in heavy]), 1e-15)


def test_attend_tile_hides_keys_beyond_the_distance():
    q, k_block, v_block = np.ones((3, 2)), np.ones((4, 2)), np.diag([1.0, 2, 3, 4])[:, :3]
    out, lse = sparse.attend_tile(q, k_block, v_block, distance=np.array([0, 2, 9]), scale=1.0)
    assert_close(out, np.array([[1, 0, 0], [1, 2, 3], [1, 2, 3]]) / [[1], [3], [4]], 1e-15)
    assert_close(lse, np.array([2, 2 + math.log(3), 2 + math.log(4)]), 1e-14)


@pytest.mark.parametrize("attend", [sparse.attention, sparse.attention_query_major])
@pytest.mark.parametrize("scale", [None, 0.6])
def test_attention_is_the_softmax_over_the_chosen_tokens(attend, scale):
    want = softmax_over_the_chosen(LANES, SELECTION, 5, scale or ODD.head_dim**-0.5)
    got = attend(*LANES[:3], SELECTION, block_size=5, scale=scale)
    assert_close(got[0], want[0], 1e-14)
    assert_close(got[1], want[1], 1e-14)
    assert np.isneginf(want[1]).any()


@pytest.mark.parametrize("attend", [sparse.attention, sparse.attention_query_major])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_that_choose_nothing_are_empty(attend, dtype):
    lanes = make_lanes(dtype=dtype)
    out, lse = attend(*lanes[:3], np.full((3, 2, 11, 4), -1), block_size=5)
    assert (out == 0).all()
    assert (lse == -np.inf).all()
    assert out.dtype == lse.dtype == dtype
    assert out.shape == lanes.q.shape


def test_heads_of_a_group_share_its_selection_and_no_other():
    chosen = np.full((3, 2, 11, 1), 0, dtype=np.int32)
    chosen[:, 1] = 1
    out, _ = sparse.attention(*LANES[:3], chosen, block_size=5)
    first, second = (np.full_like(chosen, block) for block in (0, 1))
    assert (out[:, :3] == sparse.attention(*LANES[:3], first, block_size=5)[0][:, :3]).all()
    assert (out[:, 3:] == sparse.attention(*LANES[:3], second, block_size=5)[0][:, 3:]).all()


def test_each_chosen_block_is_loaded_once_for_all_its_queries():
    loaded = []

    def load_block(batch, group, block):
        loaded.append((batch, group, block))
        span = slice(*blocks.block_span(block, 5, 23))
        return LANES.k[batch, group, span], LANES.v[batch, group, span]

    got = sparse.attend_blocks(LANES.q, SELECTION, load_block, num_keys=23, block_size=5)
    want = sparse.attention(*LANES[:3], SELECTION, block_size=5)
    assert all((a == b).all() for a, b in zip(got, want))
    chosen = [
        (b, g, block)
        for b, g in np.ndindex(3, 2)
        for block in np.unique(SELECTION[b, g])
        if block >= 0
    ]
    assert loaded == chosen


def test_attend_blocks_takes_a_scale():
    def load_block(batch, group, block):
        span = slice(*blocks.block_span(block, 5, 23))
        return LANES.k[batch, group, span], LANES.v[batch, group, span]

    sizes = {"block_size": 5, "scale": 0.9}
    got = sparse.attend_blocks(LANES.q, SELECTION, load_block, num_keys=23, **sizes)
    want = sparse.attention_query_major(*LANES[:3], SELECTION, **sizes)
    assert_close(got[0], want[0], 1e-14)
    assert_close(got[1], want[1], 1e-14)


def rows_that_see(token, chosen):
    """True for the queries [B, Hkv, T] that may read this token."""
    positions = np.arange(23 - chosen.shape[2], 23)
    return (chosen == token // 5).any(axis=-1) & (token <= positions)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("attend", [sparse.attention, sparse.attention_query_major])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("token", [0, 9, 13, 21, 22])
def test_a_value_that_is_not_finite_stays_in_the_rows_and_channel_that_see_it(attend, bad, token):
    v = LANES.v.copy()
    v[0, 1, token, 2] = bad
    got, lse = attend(LANES.q, LANES.k, v, SELECTION, block_size=5)
    want, same_lse = attend(*LANES[:3], SELECTION, block_size=5)
    reached = np.zeros(got.shape, bool)
    reached[0, 3:, :, 2] = rows_that_see(token, SELECTION)[0, 1]
    assert (np.isfinite(got) == ~reached).all()
    assert_close(got[~reached], want[~reached], 1e-14)
    assert_close(lse, same_lse, 1e-14)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("attend", [sparse.attention, sparse.attention_query_major])
@pytest.mark.parametrize("token", [0, 9, 13, 21, 22])
def test_a_nan_key_makes_nan_of_the_rows_that_see_it_and_of_no_other(attend, token):
    k = LANES.k.copy()
    k[0, 1, token, 2] = np.nan
    got, lse = attend(LANES.q, k, LANES.v, SELECTION, block_size=5)
    want, same_lse = attend(*LANES[:3], SELECTION, block_size=5)
    reached = np.zeros(lse.shape, bool)
    reached[0, 3:] = rows_that_see(token, SELECTION)[0, 1]
    assert np.isnan(got[reached]).all()
    assert np.isnan(lse[reached]).all()
    assert_close(got[~reached], want[~reached], 1e-14)
    assert_close(lse[~reached], same_lse[~reached], 1e-14)


@pytest.mark.filterwarnings("ignore:(invalid value|overflow):RuntimeWarning")
@pytest.mark.parametrize("attend", [sparse.attention, sparse.attention_query_major])
def test_scores_that_overflow_upwards_are_nan_and_downwards_hidden(attend):
    q, k = np.full((1, 1, 3, 1), 1e200), np.array([-1e200, 1.0, 1e200]).reshape(1, 1, 3, 1)
    v = np.array([5.0, 7.0, 9.0]).reshape(k.shape)
    out, lse = attend(q, k, v, np.zeros((1, 1, 3, 1), int), block_size=3)
    assert out.ravel()[:2].tolist() == [0, 7]
    assert lse.ravel()[:2].tolist() == [-np.inf, 1e200]
    assert np.isnan(out.ravel()[2])
    assert np.isnan(lse.ravel()[2])


def test_arguments_are_left_as_they_were():
    before = [lane.copy() for lane in LANES] + [SELECTION.copy()]
    sparse.attention(*LANES[:3], SELECTION, block_size=5)
    sparse.attention_query_major(*LANES[:3], SELECTION, block_size=5)
    msa_ref.msa_attention(*LANES, ODD)
    assert all((a == b).all() for a, b in zip(before, [*LANES, SELECTION]))


def test_msa_scores_selects_and_attends():
    config = msa_ref.MSAConfig(6, 2, 8, 7, 5, 4, init_blocks=1, local_blocks=2)
    got = msa_ref.msa_attention(*LANES, config)
    scores = scoring.block_scores(LANES.index_q, LANES.index_k, block_size=5)
    chosen = selection.select_blocks(
        scores, top_k=4, block_size=5, num_keys=23, init_blocks=1, local_blocks=2
    )
    out, lse = sparse.attention(*LANES[:3], chosen, block_size=5)
    for array, want in zip(got, (out, lse, chosen, scores)):
        np.testing.assert_array_equal(array, want)
    assert got._fields == ("out", "lse", "selection", "block_scores")
