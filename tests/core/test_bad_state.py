"""What a cache and a layer refuse, and that a refusal changes nothing."""

import copy
import dataclasses
import re

import numpy as np
import pytest
from cases import ODD, make_lanes, make_layer, refused

from msa_ref import cache as paged
from msa_ref import layer

pytestmark = pytest.mark.without_shapes

LANES = make_lanes(dtype=np.float32)
K, V, INDEX_K = LANES.k[:, :, :5], LANES.v[:, :, :5], LANES.index_k[:, :, :5]
HIDDEN = np.random.default_rng(0).standard_normal((3, 11, 9))


@pytest.mark.parametrize("dtype", [int, np.complex64, "text", object, bool])
def test_caches_of_another_dtype(dtype):
    with refused(TypeError, "dtype", "takes float16, float32 or float64"):
        paged.PagedCache(ODD, batch=1, capacity=4, dtype=dtype)


def with_bad_end(array, bad=np.nan):
    array = array.copy()
    array[-1, -1, -1, -1] = bad
    return array


BAD_APPENDS = {
    "beyond the capacity": (ValueError, LANES[1:3] + LANES[4:], "23 tokens more than the 8 stored"),
    "of one sequence": (ValueError, (K[:1], V[:1], INDEX_K[:1]), "takes (3, 2, 5, 8)"),
    "of one head": (ValueError, (K[:, :1], V[:, :1], INDEX_K), "takes (3, 2, 5, 8)"),
    "of fewer values": (ValueError, (K, V[:, :, :4], INDEX_K), "takes (3, 2, 5, 8)"),
    "of fewer index keys": (ValueError, (K, V, INDEX_K[:, :, :4]), "takes (3, 1, 5, 7)"),
    "of an index key a head": (ValueError, (K, V, INDEX_K.repeat(2, 1)), "takes (3, 1, 5, 7)"),
    "of nothing": (ValueError, (K[:, :, :0], V[:, :, :0], INDEX_K[:, :, :0]), "no empty dimension"),
    "of one wider lane": (
        TypeError,
        (K, V.astype(np.float64), INDEX_K),
        "float64, takes at most the cache's float32",
    ),
    "of integers": (TypeError, (K, V, INDEX_K.astype(int)), "int64, takes float16"),
    "of lists": (TypeError, (K, V.tolist(), INDEX_K), "list, takes a NumPy array"),
    "of NaN keys": (ValueError, (with_bad_end(K), V, INDEX_K), "nan at (2, 1, 4, 7), takes fin"),
    "of infinite values": (
        ValueError,
        (K, with_bad_end(V, -np.inf), INDEX_K),
        "-inf at (2, 1, 4, 7), takes finite numbers",
    ),
    "of NaN index keys": (
        ValueError,
        (K, V, with_bad_end(INDEX_K)),
        "nan at (2, 0, 4, 6), takes finite numbers",
    ),
}


def filled(tokens, *, capacity):
    cache = paged.PagedCache(ODD, batch=3, capacity=capacity, dtype=np.float32)
    cache.append(*(lane[:, :, :tokens] for lane in (LANES.k, LANES.v, LANES.index_k)))
    return cache


def assert_unchanged(cache, before):
    for name, value in vars(cache).items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("kind", BAD_APPENDS)
def test_a_refused_append_changes_nothing(kind):
    error, arrays, message = BAD_APPENDS[kind]
    cache = filled(8, capacity=20)
    before = copy.deepcopy(vars(cache))
    with pytest.raises(error, match=rf"^[\w, ]+: got .*{re.escape(message)}"):
        cache.append(*arrays)
    assert_unchanged(cache, before)


def test_a_cache_takes_its_capacity_and_not_a_token_more():
    cache = filled(11, capacity=12)
    one = K[:, :, :1], V[:, :, :1], INDEX_K[:, :, :1]
    cache.append(*one)
    with refused(ValueError, "k, v, index_k", "1 tokens more than the 12 stored, takes at most 0"):
        cache.append(*one)


BAD_HIDDEN = {
    "too many": (ValueError, np.ones((3, 9, 9)), "9 tokens more than the 4 stored"),
    "another batch": (ValueError, HIDDEN[:2, :5], "(2, 5, 9), takes (3, 5, 9)"),
    "another width": (ValueError, np.ones((3, 5, 8)), "(3, 5, 8), takes (3, 5, 9)"),
    "NaN": (ValueError, np.full((3, 5, 9), np.nan), "nan at (0, 0, 0), takes finite"),
    "infinite": (ValueError, np.full((3, 5, 9), np.inf), "inf at (0, 0, 0), takes fin"),
    "integers": (TypeError, np.ones((3, 5, 9), int), "int64, takes float16"),
    "flat": (ValueError, np.ones((15, 9)), "(15, 9), takes 3 dimensions"),
}


@pytest.mark.parametrize("kind", BAD_HIDDEN)
def test_hidden_states_a_layer_refuses_change_no_cache(kind):
    error, hidden, message = BAD_HIDDEN[kind]
    attend = make_layer()
    cache = attend.new_cache(3, 12)
    attend(HIDDEN[:, :4], cache)
    before = copy.deepcopy(vars(cache))
    with refused(error, "hidden", message):
        attend(hidden, cache)
    assert_unchanged(cache, before)


@pytest.mark.filterwarnings("ignore:(overflow|invalid value):RuntimeWarning")
@pytest.mark.parametrize("name", ["q", "indexer.q", "k", "indexer.k"])
def test_queries_and_keys_that_overflow_change_no_cache(name):
    attend = make_layer(dtype=np.float32)
    attend.weights[f"{name}_norm.weight"] = np.full(8 - name.startswith("i"), 3e38, np.float32)
    cache = attend.new_cache(3, 11)
    before = copy.deepcopy(vars(cache))
    argument = {"q": "q", "k": "k", "indexer.q": "index_q", "indexer.k": "index_k"}[name]
    with refused(ValueError, argument, "takes finite numbers"):
        attend(HIDDEN.astype(np.float32) * 10, cache)
    assert_unchanged(cache, before)


def test_a_cache_of_another_config_batch_or_dtype():
    attend = make_layer()
    other = make_layer(dataclasses.replace(ODD, top_k=3)).new_cache(3, 11)
    with refused(ValueError, "cache", "top_k=3", "takes one of", "top_k=2"):
        attend(HIDDEN, other)
    with refused(ValueError, "hidden", "(3, 11, 9), takes (4, 11, 9)"):
        attend(HIDDEN, attend.new_cache(4, 11))
    narrow = paged.PagedCache(ODD, batch=3, capacity=11, dtype=np.float32)
    with refused(TypeError, "hidden", "float64, takes at most the cache's float32"):
        attend(HIDDEN, narrow)
    with refused(TypeError, "cache", "list, takes a PagedCache"):
        attend(HIDDEN, [])
    with refused(TypeError, "cache", "NoneType, takes a PagedCache"):
        paged.attention(LANES.q, LANES.index_q, None)
    for cache in (other, narrow):
        assert cache.length == 0


@pytest.mark.parametrize("name", list(make_layer().weights))
def test_weights_that_are_missing_or_do_not_fit(name):
    weights = make_layer().weights
    missing = {key: array for key, array in weights.items() if key != name}
    with refused(ValueError, "weights", f"none named {name}, takes all ten"):
        layer.M3Attention(ODD, missing, rotary_dim=4)


BAD_WEIGHTS = {
    "one row less": (ValueError, lambda weight: weight[:-1], "takes ("),
    "one dimension more": (ValueError, lambda weight: weight[None], "dimension"),
    "zero-dimensional": (ValueError, lambda weight: np.array(1.0), "dimension"),
    "integers": (TypeError, lambda weight: weight.astype(int), "int64, takes float16"),
    "list": (TypeError, lambda weight: weight.tolist(), "list, takes a NumPy array"),
    "NaN": (ValueError, lambda weight: np.full_like(weight, np.nan), "nan at (0", "takes finite"),
}


@pytest.mark.parametrize("name", list(make_layer().weights))
@pytest.mark.parametrize("kind", BAD_WEIGHTS)
def test_weights_that_do_not_fit(name, kind):
    weights = make_layer().weights
    error, spoil, *parts = BAD_WEIGHTS[kind]
    with refused(error, name, *parts):
        layer.M3Attention(ODD, weights | {name: spoil(weights[name])}, rotary_dim=4)


@pytest.mark.parametrize("weights", [None, [], make_layer()], ids=type)
def test_weights_that_are_no_mapping(weights):
    with refused(TypeError, "weights", type(weights).__name__, "takes a mapping"):
        layer.M3Attention(ODD, weights, rotary_dim=4)


@pytest.mark.parametrize(
    ("rotary_dim", "error", "message"),
    [
        (3, ValueError, "3, takes an even number"),
        (8, ValueError, "8, takes at most head_dim 8 and index_dim 7"),
        (-2, ValueError, "-2, takes an integer of at least 0"),
        (4.0, TypeError, "4.0, takes an integer"),
        (None, TypeError, "None, takes an integer"),
    ],
)
def test_rotary_dims(rotary_dim, error, message):
    with refused(error, "rotary_dim", message):
        layer.M3Attention(ODD, make_layer().weights, rotary_dim=rotary_dim)


@pytest.mark.parametrize("theta", [0, -5e6, np.nan, np.inf])
def test_thetas(theta):
    with refused(ValueError, "rope_theta", f"{theta}, takes a finite number above 0"):
        layer.M3Attention(ODD, make_layer().weights, rotary_dim=4, rope_theta=theta)
    with refused(ValueError, "theta", f"{theta}, takes a finite number above 0"):
        layer.rotary_tables(np.arange(3), rotary_dim=4, theta=theta)


@pytest.mark.parametrize("theta", ["5e6", None, True])
def test_thetas_that_are_no_number(theta):
    with refused(TypeError, "rope_theta", f"{theta!r}, takes a number"):
        layer.M3Attention(ODD, make_layer().weights, rotary_dim=4, rope_theta=theta)
