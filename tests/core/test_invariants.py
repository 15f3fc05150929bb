"""What must hold whatever the numbers are."""

import dataclasses

import numpy as np
import pytest
from cases import ODD, Lanes, assert_close, make_lanes, make_layer, random_selection

import msa_ref
from msa_ref import MSAConfig, dense, layer, scoring, selection, sparse
from msa_ref import cache as paged

LANES = make_lanes(num_queries=23)
WHOLE = dataclasses.replace(ODD, top_k=5)


def hidden_states(batch=3, length=23):
    return np.random.default_rng(5).standard_normal((batch, length, 9))


@pytest.mark.parametrize("top_k", [5, 6, 40])
def test_full_budget_is_dense_attention(top_k):
    out, lse = dense.attention(*LANES[:3])
    got = msa_ref.msa_attention(*LANES, dataclasses.replace(ODD, top_k=top_k))
    assert_close(got.out, out, 1e-14)
    assert_close(got.lse, lse, 1e-13)


def test_small_budget_differs_from_dense_where_blocks_are_left_out_and_only_there():
    out, _ = dense.attention(*LANES[:3])
    got = msa_ref.msa_attention(*LANES, ODD)
    apart = np.abs(got.out - out).max(axis=-1)
    assert (apart[:, :, : ODD.budget] < 1e-14).all()
    assert (apart[:, :, ODD.budget :] > 1e-3).all()


def changed_after(lanes, tokens):
    """The lanes with every row from token `tokens` on replaced."""
    others = make_lanes(num_queries=lanes.q.shape[2], seed=99)
    kept = np.arange(lanes.k.shape[2])[:, None] < tokens
    return Lanes(*(np.where(kept, lane, other) for lane, other in zip(lanes, others)))


def assert_same_rows(got, want, tokens):
    """The first `tokens` rows of two MSA outputs agree: in selection and scores, to the bit.

    Outputs and LSEs agree to rounding: a tile holds the queries that chose its block, so what later
    queries choose changes the shape of a matrix product, and with it the order of its sums.
    """
    got, want = (type(part)(*(array[:, :, :tokens] for array in part)) for part in (got, want))
    np.testing.assert_array_equal(got.selection, want.selection)
    np.testing.assert_array_equal(got.block_scores, want.block_scores)
    assert_close(got.out, want.out, 1e-14)
    assert_close(got.lse, want.lse, 1e-14)


# Products of small whole numbers are exact, whatever order their sums are taken in.
EXACT = make_lanes(num_queries=23, whole=True)


@pytest.mark.parametrize("tokens", [1, 4, 5, 6, 12, 20, 22])
def test_changing_the_future_changes_nothing_before_it(tokens):
    got = msa_ref.msa_attention(*changed_after(EXACT, tokens), ODD)
    want = msa_ref.msa_attention(*EXACT, ODD)
    assert_same_rows(got, want, tokens)
    assert (np.abs(got.out - want.out)[:, :, tokens:].max(axis=(1, 3)) > 1e-6).all()


@pytest.mark.parametrize("tokens", [1, 5, 12])
@pytest.mark.parametrize(
    "attend", [dense.attention, lambda q, k, v: dense.online_attention(q, k, v, chunk=4)]
)
def test_changing_the_future_changes_no_dense_row_before_it(attend, tokens):
    got, want = attend(*changed_after(LANES, tokens)[:3]), attend(*LANES[:3])
    for array, same in zip(got, want):
        assert_close(array[:, :, :tokens], same[:, :, :tokens], 1e-14)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("tokens", [1, 4, 5, 10, 12, 20, 22])
def test_what_is_not_finite_in_the_future_reaches_no_row_before_it(tokens, bad):
    poisoned = Lanes(*(lane.copy() for lane in EXACT))
    for lane in (poisoned.q, poisoned.k, poisoned.v):
        lane[:, :, tokens:] = bad
    got = msa_ref.msa_attention(*poisoned, ODD)
    assert_same_rows(got, msa_ref.msa_attention(*EXACT, ODD), tokens)
    assert not np.isfinite(got.out[:, :, tokens:]).any()


def test_nan_in_a_future_index_key_reaches_no_score_before_it():
    index_k = LANES.index_k.copy()
    index_k[:, :, 12:] = np.nan
    for score, want in (
        (scoring.token_scores, scoring.token_scores(LANES.index_q, LANES.index_k)),
        (
            lambda q, k: scoring.block_scores(q, k, block_size=5),
            scoring.block_scores(LANES.index_q, LANES.index_k, block_size=5),
        ),
    ):
        got = score(LANES.index_q, index_k)
        np.testing.assert_array_equal(got[:, :, :12], want[:, :, :12])
        assert np.isnan(got[:, :, 12:]).any(axis=-1).all()


@pytest.mark.parametrize("length", [1, 5, 9, 16, 22])
def test_a_prefix_run_is_the_long_runs_prefix(length):
    short = msa_ref.msa_attention(*(lane[:, :, :length] for lane in LANES), ODD)
    long = msa_ref.msa_attention(*LANES, ODD)
    assert_close(short.out, long.out[:, :, :length], 1e-14)
    assert_close(short.lse, long.lse[:, :, :length], 1e-14)
    np.testing.assert_array_equal(short.selection, long.selection[:, :, :length])
    blocks = short.block_scores.shape[3]
    assert_close(short.block_scores, long.block_scores[:, :, :length, :blocks], 1e-14)


def test_the_last_queries_alone_give_the_last_rows():
    last = LANES._replace(q=LANES.q[:, :, -6:], index_q=LANES.index_q[:, :, -6:])
    got, want = msa_ref.msa_attention(*last, ODD), msa_ref.msa_attention(*LANES, ODD)
    for array, whole in zip(got, want):
        np.testing.assert_allclose(array, whole[:, :, -6:], rtol=0, atol=1e-14)


@pytest.mark.parametrize("config", [ODD, WHOLE, MSAConfig(6, 2, 8, 7, 5, 4, 1, 2)])
def test_a_prefill_is_as_many_decode_steps(config):
    attend = make_layer(config)
    hidden = hidden_states()
    cache = attend.new_cache(3, 23)
    prefill = attend(hidden, cache)
    stepped = attend.new_cache(3, 23)
    for t in range(23):
        step = attend(hidden[:, t : t + 1], stepped)
        assert_close(step.out, prefill.out[:, t : t + 1], 1e-13)
        np.testing.assert_array_equal(step.selection, prefill.selection[:, :, t : t + 1])
    for lane in ("k_pages", "v_pages", "index_pages"):
        assert_close(getattr(stepped, lane), getattr(cache, lane), 1e-13)
    np.testing.assert_array_equal(stepped.block_table, cache.block_table)


@pytest.mark.parametrize("tokens", [1, 7, 10, 20])
def test_future_hidden_states_change_no_earlier_output(tokens):
    attend, hidden = make_layer(), hidden_states()
    changed = hidden.copy()
    changed[:, tokens:] = 7 * hidden_states()[:, ::-1][:, tokens:]
    got, want = attend(changed), attend(hidden)
    assert_close(got.out[:, :tokens], want.out[:, :tokens], 1e-13)
    assert (got.selection[:, :, :tokens] == want.selection[:, :, :tokens]).all()


def parts_of(q, k, v, cuts):
    """Attention of the last query over each run of keys between the cuts; empty runs are empty."""
    outs, lses = [], []
    for start, stop in zip([0, *cuts], [*cuts, k.shape[2]]):
        part = np.zeros(q.shape), np.full(q.shape[:3], -np.inf)
        if start < stop:
            part = dense.attention(q, k[:, :, start:stop], v[:, :, start:stop], causal=False)
        outs.append(part[0])
        lses.append(part[1])
    return np.stack(outs), np.stack(lses)


@pytest.mark.parametrize(
    "cuts", [[], [5], [1, 2, 3], [5, 10, 15, 20], [0, 0, 7, 7, 23], list(range(1, 23))]
)
def test_any_split_of_the_keys_merges_to_the_whole(cuts):
    q, k, v, *_ = make_lanes(num_queries=1)
    out, lse = dense.attention(q, k, v)
    outs, lses = parts_of(q, k, v, cuts)
    for order in (slice(None), slice(None, None, -1)):
        got = dense.merge_partials(outs[order], lses[order])
        assert_close(got[0], out, 1e-14)
        assert_close(got[1], lse, 1e-14)


@pytest.mark.parametrize("seed", range(6))
def test_merging_is_associative_and_takes_any_order(seed):
    rng = np.random.default_rng(seed)
    outs, lses = rng.standard_normal((6, 2, 5, 3)), 5 * rng.standard_normal((6, 2, 5))
    empty = rng.random((6, 2, 5)) < 0.4
    outs[empty], lses[empty] = 0, -np.inf
    want = dense.merge_partials(outs, lses)
    order = rng.permutation(6)
    cut = rng.integers(1, 6)
    halves = [dense.merge_partials(outs[part], lses[part]) for part in (order[:cut], order[cut:])]
    got = dense.merge_partials(*(np.stack(pair) for pair in zip(*halves)))
    assert_close(got[0], want[0], 1e-14)
    assert_close(got[1], want[1], 1e-14)


@pytest.mark.parametrize("cut", [0, 1, 2, 3, 4])
def test_any_split_of_the_chosen_blocks_merges_to_the_whole(cut):
    chosen = random_selection(11, 23, 5, 4, batch=3, groups=2, seed=cut)
    lanes = make_lanes()
    want = sparse.attention(*lanes[:3], chosen, block_size=5)
    parts = []
    for keep in (chosen < cut, chosen >= cut):
        part = np.sort(np.where(keep & (chosen >= 0), chosen, 99))
        part = np.where(part == 99, -1, part)
        parts.append(sparse.attention(*lanes[:3], part, block_size=5))
    got = dense.merge_partials(*(np.stack(pair) for pair in zip(*parts)))
    assert_close(got[0], want[0], 1e-14)
    assert_close(got[1], want[1], 1e-14)


@pytest.mark.parametrize("seed", range(3))
def test_block_major_equals_query_major(seed):
    chosen = random_selection(11, 23, 5, 3, batch=3, groups=2, seed=seed)
    lanes = make_lanes(seed=seed)
    got = sparse.attention(*lanes[:3], chosen, block_size=5)
    want = sparse.attention_query_major(*lanes[:3], chosen, block_size=5)
    assert_close(got[0], want[0], 1e-14)
    assert_close(got[1], want[1], 1e-14)


def test_the_index_scale_changes_no_selection():
    sizes = {"top_k": 2, "block_size": 5, "num_keys": 23}
    chosen = [
        selection.select_blocks(
            scoring.block_scores(LANES.index_q, LANES.index_k, block_size=5, scale=scale), **sizes
        )
        for scale in (None, 1.0, 1e-3, 50.0)
    ]
    assert all((ids == chosen[0]).all() for ids in chosen)


def test_sequences_of_a_batch_do_not_touch():
    want = msa_ref.msa_attention(*LANES, ODD)
    for b in range(3):
        alone = msa_ref.msa_attention(*(lane[b : b + 1] for lane in LANES), ODD)
        for array, whole in zip(alone, want):
            np.testing.assert_allclose(array[0], whole[b], rtol=0, atol=1e-14)


def test_groups_do_not_touch():
    other = make_lanes(num_queries=23, seed=8)
    mixed = Lanes(*(lane.copy() for lane in LANES))
    for lane, new in ((mixed.q, other.q), (mixed.k, other.k), (mixed.v, other.v)):
        lane[:, lane.shape[1] // 2 :] = new[:, lane.shape[1] // 2 :]
    mixed.index_q[:, 1] = other.index_q[:, 1]
    got, want = msa_ref.msa_attention(*mixed, ODD), msa_ref.msa_attention(*LANES, ODD)
    assert_close(got.out[:, :3], want.out[:, :3], 1e-14)
    np.testing.assert_array_equal(got.selection[:, 0], want.selection[:, 0])
    assert not np.array_equal(got.selection[:, 1], want.selection[:, 1])


FLOATS = [np.float16, np.float32, np.float64]
TOLERANCE = {np.float16: 0.02, np.float32: 1e-5, np.float64: 1e-13}


@pytest.mark.parametrize("dtype", FLOATS)
def test_half_is_computed_in_single_and_the_others_in_their_own(dtype):
    lanes = Lanes(*(lane.astype(dtype) for lane in LANES))
    wide = Lanes(*(lane.astype(np.float64) for lane in lanes))
    computed = np.float64 if dtype == np.float64 else np.float32
    got, want = msa_ref.msa_attention(*lanes, WHOLE), msa_ref.msa_attention(*wide, WHOLE)
    assert got.out.dtype == got.lse.dtype == got.block_scores.dtype == computed
    assert_close(got.out, want.out, TOLERANCE[computed])
    for attend in (
        dense.attention,
        lambda *qkv: dense.online_attention(*qkv, chunk=3),
        lambda *qkv: sparse.attention(*qkv, got.selection, block_size=5),
        lambda *qkv: sparse.attention_query_major(*qkv, got.selection, block_size=5),
    ):
        out, lse = attend(*lanes[:3])
        assert out.dtype == lse.dtype == computed
        assert_close(out, want.out, TOLERANCE[computed])
    assert scoring.token_scores(lanes.index_q, lanes.index_k).dtype == computed
    assert dense.attention_weights(lanes.q, lanes.k)[0].dtype == computed
    merged = dense.merge_partials(np.ones((2, 3, 4), dtype), np.zeros((2, 3), dtype))
    assert merged[0].dtype == merged[1].dtype == computed
    mass = selection.block_mass(np.ones((1, 2, 3, 4), dtype), num_kv_heads=1, block_size=2)
    assert mass.dtype == computed
    assert layer.rms_norm(np.ones((2, 3), dtype), np.ones(3, dtype)).dtype == computed


@pytest.mark.parametrize("wide", range(5))
def test_one_wide_array_makes_the_result_wide(wide):
    lanes = [lane.astype(np.float32) for lane in LANES]
    lanes[wide] = LANES[wide]
    got = msa_ref.msa_attention(*lanes, ODD)
    assert got.out.dtype == got.lse.dtype == got.block_scores.dtype == np.float64


@pytest.mark.parametrize("scale", [np.float64(0.25), np.float16(0.25), 1])
def test_a_scale_does_not_widen_the_result(scale):
    lanes = Lanes(*(lane.astype(np.float32) for lane in LANES))
    chosen = np.zeros((3, 2, 23, 1), np.int32)
    for out in (
        dense.attention(*lanes[:3], scale=scale)[0],
        dense.attention_weights(*lanes[:2], scale=scale)[0],
        dense.online_attention(*lanes[:3], chunk=4, scale=scale)[0],
        scoring.token_scores(*lanes[3:], scale=scale),
        scoring.block_scores(*lanes[3:], block_size=5, scale=scale),
        sparse.attention(*lanes[:3], chosen, block_size=5, scale=scale)[0],
        sparse.attention_query_major(*lanes[:3], chosen, block_size=5, scale=scale)[0],
    ):
        assert out.dtype == np.float32


@pytest.mark.parametrize("dtype", FLOATS)
def test_cached_attention_in_every_dtype(dtype):
    cache = paged.PagedCache(ODD, batch=3, capacity=23, dtype=dtype)
    lanes = Lanes(*(lane.astype(dtype) for lane in LANES))
    cache.append(lanes.k, lanes.v, lanes.index_k)
    got = paged.attention(lanes.q, lanes.index_q, cache)
    want = msa_ref.msa_attention(*lanes, ODD)
    assert got.out.dtype == want.out.dtype
    np.testing.assert_array_equal(got.selection, want.selection)
    assert_close(got.out, want.out, TOLERANCE[got.out.dtype.type])


def test_arrays_need_not_be_contiguous():
    stretched = Lanes(*(np.repeat(lane, 2, axis=2)[:, :, ::2] for lane in LANES))
    transposed = Lanes(*(lane.swapaxes(1, 2).copy().swapaxes(1, 2) for lane in LANES))
    want = msa_ref.msa_attention(*LANES, ODD)
    for lanes in (stretched, transposed):
        for array, same in zip(msa_ref.msa_attention(*lanes, ODD), want):
            np.testing.assert_allclose(array, same, rtol=0, atol=1e-14)


def test_results_repeat_exactly():
    first, second = (msa_ref.msa_attention(*LANES, ODD) for _ in range(2))
    for array, same in zip(first, second):
        np.testing.assert_array_equal(array, same)
