"""The paged cache with three lanes, and attention that reads it."""

import copy

import numpy as np
import pytest
from cases import ODD, assert_close, make_lanes

import msa_ref
from msa_ref import cache as paged

LANES = make_lanes(num_queries=23)


def filled(*, capacity=23, dtype=np.float64, steps=(23,)):
    """A cache that took LANES in these steps."""
    cache = paged.PagedCache(ODD, batch=3, capacity=capacity, dtype=dtype)
    start = 0
    for count in steps:
        tokens = slice(start, start + count)
        cache.append(*(lane[:, :, tokens] for lane in (LANES.k, LANES.v, LANES.index_k)))
        start += count
    return cache


def token_of(lane, cache, batch, token):
    """What a lane of pages holds for one token, looked up through the block table."""
    page = cache.block_table[batch, token // 5]
    return lane[page, ..., token % 5, :]


def test_a_new_cache_is_empty():
    cache = paged.PagedCache(ODD, batch=3, capacity=23)
    assert (cache.length, cache.capacity) == (0, 23)
    assert cache.k_pages.shape == cache.v_pages.shape == (15, 2, 5, 8)
    assert cache.index_pages.shape == (15, 5, 7)
    assert cache.block_table.tolist() == [[-1] * 5] * 3
    assert cache.block_table.dtype == np.int32
    assert cache.k_pages.dtype == cache.v_pages.dtype == cache.index_pages.dtype == np.float64


@pytest.mark.parametrize(
    ("asked", "kept"),
    [(np.float16, np.float32), ("float32", np.float32), (np.dtype("float64"), np.float64)],
)
def test_the_caches_dtype_is_one_that_is_computed_in(asked, kept):
    cache = paged.PagedCache(ODD, batch=1, capacity=1, dtype=asked)
    assert {cache.k_pages.dtype, cache.v_pages.dtype, cache.index_pages.dtype} == {np.dtype(kept)}


@pytest.mark.parametrize("steps", [(23,), (1,) * 23, (5, 5, 5, 5, 3), (4, 7, 12), (6, 4, 13)])
def test_all_three_lanes_hold_every_token(steps):
    cache = filled(steps=steps)
    assert cache.length == 23
    for b, j in np.ndindex(3, 23):
        assert (token_of(cache.k_pages, cache, b, j) == LANES.k[b, :, j]).all()
        assert (token_of(cache.v_pages, cache, b, j) == LANES.v[b, :, j]).all()
        assert (token_of(cache.index_pages, cache, b, j) == LANES.index_k[b, 0, j]).all()


def test_pages_are_taken_when_needed_lowest_id_first():
    cache = filled(steps=(5,), capacity=30)
    assert cache.block_table.tolist() == [[0, *[-1] * 5], [1, *[-1] * 5], [2, *[-1] * 5]]
    cache.append(*(lane[:, :, 5:6] for lane in (LANES.k, LANES.v, LANES.index_k)))
    assert cache.block_table[:, :3].tolist() == [[0, 3, -1], [1, 4, -1], [2, 5, -1]]
    cache.append(*(lane[:, :, 6:23] for lane in (LANES.k, LANES.v, LANES.index_k)))
    assert cache.block_table[1].tolist() == [1, 4, 7, 10, 13, -1]


def test_pages_not_taken_stay_zero():
    cache = filled(steps=(7,))
    assert (cache.k_pages[6:] == 0).all()
    assert (cache.k_pages[3:6, :, 2:] == 0).all()
    assert (cache.index_pages[3:6, 2:] == 0).all()


def test_load_block_shows_the_stored_tokens_without_copying():
    cache = filled()
    keys, values = cache.load_block(2, 1, 4)
    assert (keys == LANES.k[2, 1, 20:]).all()
    assert (values == LANES.v[2, 1, 20:]).all()
    assert np.shares_memory(keys, cache.k_pages)
    assert np.shares_memory(values, cache.v_pages)


@pytest.mark.parametrize(("start", "stop"), [(0, 23), (0, 1), (5, 10), (10, 23), (20, 22)])
def test_load_index_keys(start, stop):
    keys = filled().load_index_keys(start, stop)
    np.testing.assert_array_equal(keys, LANES.index_k[:, :, start:stop])


@pytest.mark.parametrize(("start", "stop"), [(1, 5), (5, 5), (10, 5), (0, 24), (20, 26)])
def test_load_index_keys_within_what_is_stored(start, stop):
    with pytest.raises(ValueError, match=f"^start, stop: got {start}, {stop}, takes a span within"):
        filled(capacity=100).load_index_keys(start, stop)


@pytest.mark.without_shapes
@pytest.mark.parametrize(
    ("start", "stop", "error", "message"),
    [
        (-5, 5, ValueError, "start: got -5, takes an integer of at least 0"),
        (0, 0, ValueError, "stop: got 0, takes an integer of at least 1"),
        (None, 5, TypeError, "start: got None, takes an integer"),
        (0, 5.0, TypeError, "stop: got 5.0, takes an integer"),
    ],
)
def test_load_index_keys_takes_token_numbers(start, stop, error, message):
    with pytest.raises(error, match=f"^{message}"):
        filled().load_index_keys(start, stop)


@pytest.mark.parametrize("num_queries", [1, 4, 23])
def test_cached_attention_equals_msa_of_the_plain_arrays(num_queries):
    lanes = LANES._replace(
        q=LANES.q[:, :, -num_queries:], index_q=LANES.index_q[:, :, -num_queries:]
    )
    config = msa_ref.MSAConfig(6, 2, 8, 7, 5, 3, init_blocks=1, local_blocks=2)
    cache = paged.PagedCache(config, batch=3, capacity=40)
    cache.append(lanes.k, lanes.v, lanes.index_k)
    got = paged.attention(lanes.q, lanes.index_q, cache)
    want = msa_ref.msa_attention(*lanes, config)
    for name in want._fields:
        np.testing.assert_array_equal(getattr(got, name), getattr(want, name))


def test_where_pages_lie_makes_no_difference():
    cache, shuffled = filled(steps=(9, 14)), filled(steps=(9, 14))
    order = np.random.default_rng(1).permutation(len(cache.k_pages))
    for lane in ("k_pages", "v_pages", "index_pages"):
        getattr(shuffled, lane)[order] = getattr(cache, lane)
    shuffled.block_table[:] = order[cache.block_table]
    got = paged.attention(LANES.q[:, :, -4:], LANES.index_q[:, :, -4:], shuffled)
    want = paged.attention(LANES.q[:, :, -4:], LANES.index_q[:, :, -4:], cache)
    for array, same in zip(got, want):
        np.testing.assert_array_equal(array, same)


def test_reading_changes_nothing():
    cache = filled()
    before = copy.deepcopy(vars(cache))
    paged.attention(LANES.q, LANES.index_q, cache)
    for name, value in vars(cache).items():
        np.testing.assert_array_equal(value, before[name])


def test_a_copy_keeps_a_state_to_return_to():
    cache = filled(steps=(9,))
    earlier = copy.deepcopy(cache)
    cache.append(*(lane[:, :, 9:] for lane in (LANES.k, LANES.v, LANES.index_k)))
    assert (earlier.length, cache.length) == (9, 23)
    got = paged.attention(LANES.q[:, :, :9], LANES.index_q[:, :, :9], earlier)
    want = paged.attention(LANES.q[:, :, :9], LANES.index_q[:, :, :9], filled(steps=(9,)))
    assert_close(got.out, want.out, 0)


def test_narrow_floats_go_into_a_wide_cache():
    cache = paged.PagedCache(ODD, batch=3, capacity=23, dtype=np.float64)
    narrow = [lane.astype(np.float16) for lane in (LANES.k, LANES.v, LANES.index_k)]
    cache.append(*narrow)
    assert (cache.load_block(0, 0, 0)[0] == narrow[0][0, 0, :5]).all()
    got = paged.attention(*(lane.astype(np.float32) for lane in (LANES.q, LANES.index_q)), cache)
    assert got.out.shape == LANES.q.shape
