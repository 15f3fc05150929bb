"""Mistakes that implementations of MSA have made, or easily make, one test each."""

import tracemalloc

import numpy as np
import oracle
import pytest
from cases import ODD, Lanes, assert_close, make_lanes, make_layer

import msa_ref
from msa_ref import M3, MSAConfig, dense, scoring, selection, sparse
from msa_ref import cache as paged


def test_the_mask_comes_before_the_max():
    index_q = np.ones((1, 1, 6, 1))
    index_k = np.array([1.0, 2, 3, 50, 60, 70]).reshape(1, 1, 6, 1)
    scores = scoring.block_scores(index_q, index_k, block_size=3)[0, 0]
    assert scores.tolist() == [
        [1, -np.inf],
        [2, -np.inf],
        [3, -np.inf],
        [3, 50],
        [3, 60],
        [3, 70],
    ]


def test_the_own_block_does_not_win_by_its_future():
    index_q = np.ones((1, 1, 8, 1))
    index_k = np.array([5.0, 5, 4, 4, 1, 99, 1, 1]).reshape(1, 1, 8, 1)
    scores = scoring.block_scores(index_q, index_k, block_size=2)
    chosen = selection.select_blocks(scores, top_k=1, block_size=2, num_keys=8, local_blocks=0)
    assert chosen[0, 0, 4].tolist() == [0]
    assert chosen[0, 0, 5].tolist() == [2]


def test_the_own_block_takes_one_of_the_k_slots():
    scores = np.array([9.0, 8, 7, 6, -100]).reshape(1, 1, 1, 5)
    chosen = selection.select_blocks(scores, top_k=3, block_size=4, num_keys=18)
    assert chosen.ravel().tolist() == [0, 1, 4]


def test_groups_select_each_for_itself():
    config = MSAConfig(2, 2, 4, 2, 1, 2)
    lanes = make_lanes(config, batch=1, num_queries=1, num_keys=6)
    index_k = np.zeros((1, 1, 6, 2))
    index_k[0, 0, 1], index_k[0, 0, 3] = (1, 0), (0, 2)
    index_q = np.array([[[[1.0, 0]], [[0, 1.0]]]])
    chosen = msa_ref.msa_attention(lanes.q, lanes.k, lanes.v, index_q, index_k, config).selection
    assert chosen[0, :, 0].tolist() == [[1, 5], [3, 5]]


@pytest.mark.parametrize("num_queries", [1, 4, 7])
def test_layouts_hold_where_no_two_sizes_agree(num_queries):
    config = MSAConfig(6, 3, 8, 5, 4, 2)
    lanes = make_lanes(config, batch=2, num_queries=num_queries, num_keys=19)
    sizes = [2, 6, num_queries, 8, 5, 19]
    assert len(set(sizes)) == len(sizes) or num_queries == 1
    assert config.budget < 19
    assert 19 % config.block_size
    got = msa_ref.msa_attention(*lanes, config)
    chosen = oracle.select(oracle.score_blocks(lanes, config), 19, config)
    np.testing.assert_array_equal(got.selection, chosen)
    assert_close(got.out, oracle.attend(lanes, chosen, config)[0], 1e-13)
    assert not np.allclose(got.out, dense.attention(*lanes[:3])[0])


def test_index_keys_travel_with_keys_and_values():
    attend = make_layer()
    hidden = np.random.default_rng(3).standard_normal((1, 23, 9))
    want = attend(hidden)
    cache = attend.new_cache(1, 23)
    attend(hidden[:, :22], cache)
    assert (cache.index_pages[cache.block_table[0, :4]] != 0).all()
    step = attend(hidden[:, 22:], cache)
    assert_close(step.block_scores, want.block_scores[:, :, 22:], 1e-13)
    np.testing.assert_array_equal(step.selection, want.selection[:, :, 22:])


def filled_cache(lanes, capacity):
    cache = paged.PagedCache(ODD, batch=3, capacity=capacity)
    cache.append(lanes.k, lanes.v, lanes.index_k)
    return cache


def test_what_lies_beyond_the_length_is_not_read():
    lanes = make_lanes(num_queries=4)
    clean, poisoned = filled_cache(lanes, 40), filled_cache(lanes, 40)
    last = poisoned.block_table[:, 4]
    poisoned.k_pages[last, :, 3:] = poisoned.v_pages[last, :, 3:] = np.nan
    poisoned.index_pages[last, 3:] = np.nan
    for lane in (poisoned.k_pages, poisoned.v_pages, poisoned.index_pages):
        lane[15:] = np.nan
    want = paged.attention(lanes.q, lanes.index_q, clean)
    for array, same in zip(paged.attention(lanes.q, lanes.index_q, poisoned), want):
        np.testing.assert_array_equal(array, same)


def test_pages_no_query_selected_are_not_read():
    lanes = make_lanes(num_queries=1)
    cache = filled_cache(lanes, 23)
    want = paged.attention(lanes.q, lanes.index_q, cache)
    left_out = ~selection.selection_mask(want.selection, 5)[:, :, 0]
    assert left_out.sum() == 3 * 2 * 3
    for b, g, block in np.argwhere(left_out):
        page = cache.block_table[b, block]
        cache.k_pages[page, g] = cache.v_pages[page, g] = np.nan
    for array, same in zip(paged.attention(lanes.q, lanes.index_q, cache), want):
        np.testing.assert_array_equal(array, same)


@pytest.mark.parametrize("attend", [sparse.attention, sparse.attention_query_major])
def test_blocks_not_selected_are_not_read(attend):
    lanes = make_lanes()
    chosen = np.broadcast_to(np.array([1, 2], np.int32), (3, 2, 11, 2))
    want = attend(*lanes[:3], chosen, block_size=5)
    for lane in (lanes.k, lanes.v):
        lane[:, :, :5] = lane[:, :, 15:] = np.nan
    for array, same in zip(attend(*lanes[:3], chosen, block_size=5), want):
        np.testing.assert_array_equal(array, same)


def test_merging_empty_rows_is_not_minus_infinity_minus_itself():
    outs, lses = np.zeros((3, 2, 4)), np.full((3, 2), -np.inf)
    out, lse = dense.merge_partials(outs, lses)
    assert (out == 0).all()
    assert (lse == -np.inf).all()
    weights, lse = dense.softmax_lse(lses)
    assert (weights == 0).all()
    assert (lse == -np.inf).all()


def test_padding_on_the_left_moves_blocks_and_on_the_right_does_not():
    lanes = make_lanes(num_queries=23)
    longer = make_lanes(num_queries=26, num_keys=26, seed=1)
    want = msa_ref.msa_attention(*lanes, ODD)
    right = Lanes(*(np.concatenate([a, b[:, :, :3]], axis=2) for a, b in zip(lanes, longer)))
    got = msa_ref.msa_attention(*right, ODD)
    np.testing.assert_array_equal(got.selection[:, :, :23], want.selection)
    assert_close(got.out[:, :, :23], want.out, 1e-14)
    left = Lanes(*(np.concatenate([b[:, :, :3], a], axis=2) for a, b in zip(lanes, longer)))
    got = msa_ref.msa_attention(*left, ODD)
    assert not np.array_equal(got.selection[:, :, 3:], want.selection)


@pytest.mark.parametrize("block_size", [1, 5, 128])
def test_a_page_is_a_block(block_size):
    config = MSAConfig(2, 1, 3, 2, block_size, 2)
    cache = paged.PagedCache(config, batch=2, capacity=block_size + 1)
    assert cache.k_pages.shape[2] == cache.v_pages.shape[2] == block_size
    assert cache.index_pages.shape[1] == block_size
    assert cache.block_table.shape == (2, 2)


def test_selections_of_two_dtypes_differ_by_ties_at_most():
    config = MSAConfig(4, 2, 8, 8, 4, 5)
    lanes = make_lanes(config, num_queries=80, num_keys=80)
    wide = msa_ref.msa_attention(*lanes, config)
    narrow = msa_ref.msa_attention(*(lane.astype(np.float16) for lane in lanes), config)
    masks = [selection.selection_mask(run.selection, 20) for run in (wide, narrow)]
    assert (masks[0].sum(axis=-1) == masks[1].sum(axis=-1)).all()
    swapped = np.where(masks[0] ^ masks[1], wide.block_scores, np.nan)
    rows = ~np.isnan(swapped).all(axis=-1)
    spread = np.nanmax(swapped[rows], axis=-1) - np.nanmin(swapped[rows], axis=-1)
    assert (spread < 0.01).all()


@pytest.mark.parametrize("num_blocks", [4096, 4097, 8192, 9001])
def test_no_block_is_too_far_to_be_selected(num_blocks):
    scores = np.random.default_rng(0).permutation(num_blocks).astype(float)
    best = np.argsort(scores)[::-1]
    best = best[best != num_blocks - 1][:15]
    chosen = selection.select_blocks(
        scores.reshape(1, 1, 1, -1), top_k=16, block_size=128, num_keys=num_blocks * 128
    )
    assert chosen.ravel().tolist() == sorted([*best.tolist(), num_blocks - 1])


def test_a_million_tokens_of_blocks_through_the_cache():
    num_blocks = 8193
    config = MSAConfig(2, 1, 2, 1, 2, 3)
    lanes = make_lanes(config, batch=1, num_queries=1, num_keys=2 * num_blocks, dtype=np.float32)
    index_k = np.zeros_like(lanes.index_k)
    index_k[0, 0, [2 * 4100, 2 * 8190]] = 1
    cache = paged.PagedCache(config, batch=1, capacity=2 * num_blocks, dtype=np.float32)
    cache.append(lanes.k, lanes.v, index_k)
    got = paged.attention(lanes.q, np.ones((1, 1, 1, 1), np.float32), cache)
    assert got.selection.ravel().tolist() == [4100, 8190, 8192]


def peak_bytes(call):
    """Most memory that NumPy held at once for a call, its arguments not counted."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_neither_scoring_nor_attending_holds_all_pairs():
    config = MSAConfig(2, 1, 8, 8, 128, 4)
    num_queries, num_keys = 64, 2**16
    lanes = make_lanes(
        config, batch=1, num_queries=num_queries, num_keys=num_keys, dtype=np.float32
    )
    all_pairs = num_queries * num_keys * 4
    one_chunk = num_queries * scoring.CHUNK_TOKENS * 4
    cache = paged.PagedCache(config, batch=1, capacity=num_keys, dtype=np.float32)
    cache.append(lanes.k, lanes.v, lanes.index_k)
    scores = scoring.block_scores(lanes.index_q, lanes.index_k, block_size=128)
    chosen = selection.select_blocks(scores, top_k=4, block_size=128, num_keys=num_keys)
    for call in (
        lambda: scoring.block_scores(lanes.index_q, lanes.index_k, block_size=128),
        lambda: sparse.attention(*lanes[:3], chosen, block_size=128),
        lambda: msa_ref.msa_attention(*lanes, config),
        lambda: paged.attention(lanes.q, lanes.index_q, cache),
    ):
        assert peak_bytes(call) < 4 * one_chunk < all_pairs / 3
    assert peak_bytes(lambda: dense.attention(*lanes[:3])) > all_pairs


def test_online_attention_holds_one_chunk():
    config = MSAConfig(2, 1, 8, 8, 128, 4)
    lanes = make_lanes(config, batch=1, num_queries=64, num_keys=2**14, dtype=np.float32)
    all_pairs = 2 * 64 * 2**14 * 4
    assert peak_bytes(lambda: dense.online_attention(*lanes[:3], chunk=256)) < all_pairs / 8


def test_a_decode_step_reads_no_more_than_its_blocks_and_the_index_keys():
    config = MSAConfig(2, 1, 64, 8, 128, 4)
    num_keys = 2**15
    lanes = make_lanes(config, batch=1, num_queries=1, num_keys=num_keys, dtype=np.float32)
    cache = paged.PagedCache(config, batch=1, capacity=num_keys, dtype=np.float32)
    cache.append(lanes.k, lanes.v, lanes.index_k)
    one_lane = num_keys * 64 * 4
    assert peak_bytes(lambda: paged.attention(lanes.q, lanes.index_q, cache)) < one_lane / 8


def test_m3_budget_is_two_thousand_tokens_of_a_million():
    spec = M3.attention
    scores = np.zeros((1, 4, 1, 8192))
    chosen = selection.select_blocks(
        scores, top_k=spec.top_k, block_size=spec.block_size, num_keys=2**20
    )
    assert chosen.shape == (1, 4, 1, 16)
    assert (np.diff(chosen) > 0).all()
    assert (chosen[..., -1] == 8191).all()
