"""MiniMax-M3's layer: norms, rotary positions, and one call for prefill, chunks and decode."""

import numpy as np
import pytest
from cases import ODD, assert_close, make_layer, run_in_steps

from msa_ref import cache as paged
from msa_ref import layer, msa_attention

HIDDEN = np.random.default_rng(5).standard_normal((3, 23, 9))


def test_rms_norm_of_small_numbers():
    got = layer.rms_norm(np.array([[3.0, 4.0], [-3.0, 4.0]]), np.array([0.0, 1.0]))
    root = np.sqrt(12.5 + 1e-6)
    assert_close(got, np.array([[3, 8], [-3, 8]]) / root, 1e-15)


def test_rms_norm_of_zeros_is_zero():
    assert (layer.rms_norm(np.zeros((2, 3)), np.ones(3)) == 0).all()


def test_rotary_tables_turn_the_first_pair_one_radian_a_token():
    cos, sin = layer.rotary_tables(np.array([0, 1, 7]), rotary_dim=6, theta=1000.0)
    assert cos.shape == sin.shape == (3, 3)
    assert (cos[0] == 1).all()
    assert (sin[0] == 0).all()
    for i, frequency in enumerate((1, 0.1, 0.01)):
        assert_close(cos[:, i], np.cos(np.array([0, 1, 7]) * frequency), 1e-15)
        assert_close(sin[:, i], np.sin(np.array([0, 1, 7]) * frequency), 1e-15)


def test_rotate_pairs_channel_i_with_i_plus_half():
    x = np.array([1.0, 2, 3, 4, 5]).reshape(1, 1, 1, 5)
    quarter_turn = np.array([[0.0, 1.0]]), np.array([[1.0, 0.0]])
    assert layer.rotate(x, *quarter_turn).ravel().tolist() == [-3, 2, 1, 4, 5]


def test_rotated_scores_depend_on_the_distance_alone():
    rng = np.random.default_rng(2)
    q, k = rng.standard_normal((2, 1, 1, 1, 8))

    def score(query_position, key_position):
        positions = np.array([query_position]), np.array([key_position])
        tables = [layer.rotary_tables(p, rotary_dim=6, theta=50.0) for p in positions]
        return float((layer.rotate(q, *tables[0]) * layer.rotate(k, *tables[1])).sum())

    assert score(9, 4) == pytest.approx(score(105, 100), abs=1e-12)
    assert abs(score(9, 4) - score(9, 5)) > 1e-3


def test_rotate_keeps_lengths_dtype_and_the_other_channels():
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 10)).astype(np.float32)
    rotated = layer.rotate(x, *layer.rotary_tables(np.arange(4), rotary_dim=6, theta=5e6))
    assert rotated.dtype == np.float32
    assert (rotated[..., 6:] == x[..., 6:]).all()
    assert (rotated[:, :, 0] == x[:, :, 0]).all()
    assert_close((rotated**2).sum(axis=-1), (x**2).sum(axis=-1), 1e-5)


def test_no_channel_turns_when_rotary_dim_is_zero():
    x = np.ones((1, 2, 3, 4))
    tables = layer.rotary_tables(np.arange(3), rotary_dim=0, theta=5e6)
    assert (layer.rotate(x, *tables) == x).all()


def test_project_splits_the_heads():
    attend = make_layer()
    heads = attend.project(HIDDEN, "q_proj", 6)
    weight = attend.weights["q_proj.weight"]
    assert heads.shape == (3, 6, 23, 8)
    for h in range(6):
        want = np.einsum("bti,ci->btc", HIDDEN, weight[8 * h : 8 * h + 8])
        assert_close(heads[:, h], want, 1e-14)


def test_the_layer_is_its_pieces():
    attend = make_layer()
    weights = attend.weights
    cos, sin = layer.rotary_tables(np.arange(23), rotary_dim=4, theta=5e6)

    def lane(name, heads, normed=True):
        x = (HIDDEN @ weights[f"{name}_proj.weight"].T).reshape(3, 23, heads, -1)
        x = x.transpose(0, 2, 1, 3)
        if normed:
            x = layer.rotate(layer.rms_norm(x, weights[f"{name}_norm.weight"]), cos, sin)
        return x

    lanes = (
        lane("q", 6),
        lane("k", 2),
        lane("v", 2, False),
        lane("indexer.q", 2),
        lane("indexer.k", 1),
    )
    want = msa_attention(*lanes, ODD)
    got = attend(HIDDEN)
    joined = np.concatenate([want.out[:, h] for h in range(6)], axis=-1)
    assert_close(got.out, joined @ weights["o_proj.weight"].T, 1e-13)
    np.testing.assert_array_equal(got.selection, want.selection)
    assert_close(got.block_scores, want.block_scores, 1e-13)


def test_new_cache_has_the_layers_config_and_dtype():
    cache = make_layer(dtype=np.float32).new_cache(2, 7)
    assert cache.config == ODD
    assert (cache.capacity, len(cache.block_table)) == (7, 2)
    assert cache.k_pages.dtype == np.float32


@pytest.mark.parametrize(
    "steps", [(23,), (1,) * 23, (22, 1), (1, 22), (10, 1, 1, 1, 10), (5, 5, 5, 5, 3)]
)
def test_prefill_chunks_and_decode_are_one_call(steps):
    attend = make_layer()
    want = attend(HIDDEN)
    cache = attend.new_cache(3, 30)
    got = run_in_steps(attend, HIDDEN, steps, cache)
    assert cache.length == 23
    assert_close(got.out, want.out, 1e-13)
    np.testing.assert_array_equal(got.selection, want.selection)
    assert_close(got.block_scores, want.block_scores, 1e-13)


def test_the_cache_given_is_the_one_used():
    attend = make_layer()
    cache = attend.new_cache(3, 23)
    assert (attend(HIDDEN, cache).out == attend(HIDDEN).out).all()
    assert cache.length == 23


@pytest.mark.parametrize("rope_theta", [5e6, 100.0])
def test_positions_turn_by_theta(rope_theta):
    weights = make_layer().weights
    rotating = layer.M3Attention(ODD, weights, rotary_dim=4, rope_theta=rope_theta)
    still = layer.M3Attention(ODD, weights, rotary_dim=0)
    default = layer.M3Attention(ODD, weights, rotary_dim=4)
    assert not np.allclose(rotating(HIDDEN).out, still(HIDDEN).out)
    assert (rotating(HIDDEN).out == default(HIDDEN).out).all() == (rope_theta == 5e6)


@pytest.mark.parametrize(
    ("weights", "hidden", "out"),
    [
        (np.float16, np.float16, np.float32),
        (np.float32, np.float32, np.float32),
        (np.float64, np.float32, np.float64),
        (np.float32, np.float64, np.float64),
        (np.float64, np.float64, np.float64),
    ],
)
def test_the_layer_computes_in_the_wider_dtype(weights, hidden, out):
    got = make_layer(dtype=weights)(HIDDEN.astype(hidden))
    assert got.out.dtype == got.block_scores.dtype == out
    assert_close(
        got.out, make_layer()(HIDDEN).out, 0.05 if np.float16 in (weights, hidden) else 1e-5
    )


def test_the_layers_lanes_have_the_caches_dtype():
    attend = make_layer(dtype=np.float32)
    cache = attend.new_cache(3, 23)
    assert isinstance(cache, paged.PagedCache)
    assert attend(HIDDEN.astype(np.float32), cache).out.dtype == np.float32
