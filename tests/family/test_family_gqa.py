"""The systems on grouped-query attention one by one: their caches, their traps, their sizes."""

import dataclasses

import numpy as np
import pytest
from cases import assert_close, refused
from family_cases import CASES, D_MODEL, GQA, LENGTH, make_inputs, run_in_steps
from gqa_cases import GQA_SYSTEMS, LANES, config_for, extra

import msa_ref
from msa_ref.family import SYSTEMS, dense, infllm, moba, msa, quest, window
from msa_ref.family.masks import tokens_of_blocks

# MoBA


def test_moba_with_one_block_reads_its_own_block_and_not_everything():
    config = config_for("moba", top_k=1)
    allowed = moba.attend_to(*LANES[:3], config).branches[0].allowed
    token = np.arange(LENGTH)
    own = (token // 5 == token[:, None] // 5) & (token <= token[:, None])
    assert (allowed == own).all()


def test_block_means_of_a_partial_last_block():
    k = np.arange(14.0).reshape(1, 1, 7, 2)
    assert moba.block_means(k, 3).tolist() == [[[[2, 3], [8, 9], [12, 13]]]]


def test_moba_heads_of_a_group_choose_apart_and_infllm_heads_together():
    for system, config, together in (
        (moba, config_for("moba"), False),
        (quest, config_for("quest"), False),
        (infllm, config_for("infllm"), True),
    ):
        allowed = system.attend_to(*LANES[:3], config).branches[0].allowed
        by_group = allowed.reshape(3, 2, 3, LENGTH, LENGTH)
        assert (by_group == by_group[:, :, :1]).all() == together


# Quest


def test_a_page_bound_is_at_least_every_score_in_the_page_and_is_met_by_one_channel():
    q, k = LANES.q[:, :, -1:], LANES.k
    bounds = k[:, :, :0], k[:, :, :0]
    for t in range(LENGTH):
        bounds = quest.add_key(bounds, k[:, :, t : t + 1], opens_page=t % 4 == 0)
    scores = quest.page_scores(q, bounds)
    products = np.repeat(k, 3, axis=1) @ q.swapaxes(-1, -2)
    highest = np.maximum.reduceat(products[..., 0], np.arange(0, LENGTH, 4), axis=-1)
    assert scores.shape == (3, 6, 1, 6)
    assert (scores[:, :, 0] >= highest - 1e-12).all()
    single = quest.page_scores(q[..., :1], tuple(bound[..., :1] for bound in bounds))
    products = np.repeat(k[..., :1], 3, axis=1) * q[..., :1]
    highest = np.maximum.reduceat(products[..., 0], np.arange(0, LENGTH, 4), axis=-1)
    assert_close(single[:, :, 0], highest, 1e-14)


def test_quests_cache_keeps_the_bounds_of_every_page_the_partial_one_too():
    system, config, weights, hidden = make_inputs("quest")
    cache = system.new_cache(config, 3)
    for stop, count in zip(np.cumsum([1, 1, 1, 1, 1, 5, 9, 4]), [1, 1, 1, 1, 1, 5, 9, 4]):
        before = cache.lanes["low"]
        kept = before.copy()
        system.run(hidden[:, stop - count : stop], weights, config, cache)
        first = np.arange(0, stop, 4)
        k = cache.lanes["k"]
        np.testing.assert_array_equal(cache.lanes["low"], np.minimum.reduceat(k, first, axis=2))
        np.testing.assert_array_equal(cache.lanes["high"], np.maximum.reduceat(k, first, axis=2))
        np.testing.assert_array_equal(before, kept)


def test_quest_need_not_read_its_own_page():
    allowed = quest.attend_to(*LANES[:3], config_for("quest", top_k=1)).branches[0].allowed
    own = np.arange(LENGTH)
    assert not allowed[:, :, own, own].all()
    assert allowed.any(axis=-1).all()


# InfLLM-v2


def test_infllm_reads_96_blocks_by_default():
    config = infllm.InfLLMConfig(**GQA)
    assert config.local_blocks + config.top_k == 96
    assert (config.local_blocks + config.top_k) * config.block_size == 6144


@pytest.mark.parametrize("dense_len", [0, 1, 14, 22])
def test_infllm_is_dense_up_to_dense_len_and_not_beyond(dense_len):
    config = config_for("infllm", top_k=1, dense_len=dense_len)
    counts = infllm.attend_to(*LANES[:3], config).branches[0].allowed.sum(axis=-1)
    assert (counts[:, :, :dense_len] == np.arange(1, dense_len + 1)).all()
    assert (counts[:, :, max(dense_len, 8) :] <= 8).all()


def test_infllms_cache_keeps_every_closed_kernel_once():
    system, config, weights, hidden = make_inputs("infllm")
    cache = system.new_cache(config, 3)
    for stop, count in ((2, 2), (3, 1), (4, 1), (5, 1), (12, 7), (23, 11)):
        system.run(hidden[:, stop - count : stop], weights, config, cache)
        k, pooled = cache.lanes["k"], cache.lanes["pooled_k"]
        want = [k[:, :, s : s + 4].mean(axis=2) for s in range(0, stop - 3, 2)]
        assert pooled.shape[2] == len(want)
        for i, mean in enumerate(want):
            assert_close(pooled[:, :, i], mean, 1e-15)


def test_blocks_no_kernel_touches_have_no_score():
    config = config_for("infllm")
    scores = infllm.score_blocks(LANES.q, infllm.pool_keys(LANES.k, config), config, LENGTH)
    for t in range(LENGTH):
        # Kernels start at even tokens and span four, so the last closed one ends at an odd token.
        last_closed = t if t % 2 else t - 1
        touched = last_closed // 4 + 1 if last_closed >= 3 else 0
        assert np.isfinite(scores[:, :, t, :touched]).all()
        assert (scores[:, :, t, touched:] == -np.inf).all()


# The window


def test_the_windows_cache_forgets_what_no_query_reaches_again():
    system, config, weights, hidden = make_inputs("window")
    whole = dense.new_cache(dense.DenseConfig(**GQA), 3)
    cache = system.new_cache(config, 3)
    for t in range(LENGTH):
        step = system.run(hidden[:, t : t + 1], weights, config, cache)
        dense.run(hidden[:, t : t + 1], weights, dense.DenseConfig(**GQA), whole)
        entries, allowed, _ = step.branches[0]
        near = [j for j in range(t + 1) if j < 2 or j > t - 5]
        assert entries[:, 0].tolist() == near
        assert allowed.all()
        held = [j for j in range(t + 1) if j < 2 or j > t - 4]
        for name in ("k", "v"):
            np.testing.assert_array_equal(cache.lanes[name], whole.lanes[name][:, :, held])
    assert cache.length == LENGTH


def test_a_prefill_leaves_the_window_a_small_cache_too():
    system, config, weights, hidden = make_inputs("window")
    cache = system.new_cache(config, 3)
    system.run(hidden, weights, config, cache)
    assert cache.lanes["k"].shape == cache.lanes["v"].shape == (3, 2, 2 + 4, 8)


@pytest.mark.parametrize(("window_tokens", "sinks"), [(1, 0), (1, 3), (40, 0), (3, 40)])
def test_windows_at_their_limits_stream(window_tokens, sinks):
    config = config_for("window", window=window_tokens, sinks=sinks)
    system, config, weights, hidden = make_inputs("window", config)
    steps = run_in_steps(system, hidden, weights, config, [1] * 5 + [9] + [1] * 9)
    want = system.run(hidden, weights, config).out
    assert_close(np.concatenate([step.out for step in steps], axis=2), want, 1e-13)


# MSA


def test_msa_is_the_reference():
    system, config, lanes = msa, config_for("msa"), LANES
    got = system.attend_to(*lanes[:3], config, **extra("msa", lanes))
    want = msa_ref.msa_attention(*lanes, msa_ref.MSAConfig(6, 2, 8, 6, 5, 2))
    assert_close(got.out, want.out, 1e-13)
    chosen = tokens_of_blocks(want.selection, block_size=5, num_keys=LENGTH, num_heads=6)
    np.testing.assert_array_equal(got.branches[0].allowed, chosen)
    moved = dataclasses.replace(config, init_blocks=1, local_blocks=2, top_k=4)
    assert moved.attention == msa_ref.MSAConfig(6, 2, 8, 6, 5, 4, 1, 2)


# Bad configurations

BAD = [
    *[("dense", name, 0) for name in ("d_model", "num_heads", "num_kv_heads", "head_dim")],
    ("dense", "num_kv_heads", 4),
    ("dense", "head_dim", 7),
    ("dense", "rope_theta", 0.0),
    ("window", "window", 0),
    ("window", "sinks", -1),
    ("window", "num_kv_heads", 5),
    ("moba", "block_size", 0),
    ("moba", "top_k", 0),
    ("moba", "head_dim", 0),
    ("quest", "page_size", 0),
    ("quest", "top_k", -3),
    ("quest", "num_heads", 7),
    *[("infllm", name, 0) for name in ("block_size", "kernel_size", "kernel_stride", "window")],
    ("infllm", "kernel_size", 5),
    ("infllm", "kernel_size", 6),
    ("infllm", "block_size", 3),
    ("infllm", "window", 6),
    ("infllm", "dense_len", -1),
    ("infllm", "init_blocks", -1),
    ("infllm", "top_k", 0),
    ("infllm", "num_kv_heads", 4),
    ("msa", "index_dim", 0),
    ("msa", "index_dim", 5),
    ("msa", "block_size", 0),
    ("msa", "top_k", 0),
    ("msa", "local_blocks", -1),
    ("msa", "num_kv_heads", 4),
]


@pytest.mark.parametrize(("name", "field", "value"), BAD)
def test_bad_sizes_are_refused_by_name(name, field, value):
    argument = "num_kv_heads" if field == "num_heads" and value else field
    with refused(ValueError, argument, "takes"):
        config_for(name, **{field: value})


@pytest.mark.without_shapes
@pytest.mark.parametrize("value", [2.0, True, "2", None])
@pytest.mark.parametrize(
    ("name", "field"),
    [("window", "window"), ("moba", "top_k"), ("quest", "page_size"), ("infllm", "dense_len")],
)
def test_sizes_are_integers(name, field, value):
    with refused(TypeError, field, repr(value), "takes an integer"):
        config_for(name, **{field: value})


def test_init_blocks_count_inside_infllms_top_k():
    with refused(ValueError, "top_k", "2", "init_blocks 3"):
        config_for("infllm", init_blocks=3)


def test_configs_do_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        CASES["moba"].config.top_k = 3


@pytest.mark.without_shapes
@pytest.mark.parametrize("name", GQA_SYSTEMS)
def test_attend_to_refuses_arrays_that_do_not_fit(name):
    system, config, lanes = SYSTEMS[name], config_for(name), LANES
    more = extra(name, lanes)
    with refused(ValueError, "v", "takes"):
        system.attend_to(lanes.q, lanes.k, lanes.v[..., :-1], config, **more)
    with pytest.raises(ValueError, match=r"^(q|k|index_k): got .*takes"):
        system.attend_to(lanes.q, lanes.k[:, :, :9], lanes.v[:, :, :9], config, **more)


def test_the_shared_projections_have_the_same_names_and_shapes():
    for name in GQA_SYSTEMS:
        weights = make_inputs(name)[2]
        shapes = {key: weights[key].shape for key in ("q_proj", "k_proj", "v_proj")}
        assert shapes == {
            "q_proj": (48, D_MODEL),
            "k_proj": (16, D_MODEL),
            "v_proj": (16, D_MODEL),
        }
        assert set(weights) - set(shapes) == (
            {"idx_q_proj", "idx_k_proj"} if name == "msa" else set()
        )
    assert window.WindowConfig(**GQA, window=3).sinks == 4
