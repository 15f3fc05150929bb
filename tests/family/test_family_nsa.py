"""NSA: three branches, a selection made by the summaries' softmax, and Eq. 9's numbering."""

import re
from dataclasses import replace

import numpy as np
import pytest
from cases import assert_close

from msa_ref.family import nsa, slices
from msa_ref.family.nsa import NSAConfig

# No size equals another; 39 tokens make 17 slices and a partial last block; 4 of 10 blocks.
ODD = NSAConfig(
    d_model=10,
    num_heads=6,
    num_kv_heads=2,
    head_dim=8,
    value_dim=5,
    compress_length=6,
    compress_stride=2,
    block_size=4,
    top_k=4,
    window=7,
)
TOKENS = 39


def make(config=ODD, *, batch=3, num_tokens=TOKENS, seed=0):
    """Hidden states and weights; projections large enough for uneven softmaxes."""
    rng = np.random.default_rng(seed)
    weights = {name: 2 * array for name, array in nsa.init_weights(config, rng).items()}
    return rng.standard_normal((batch, num_tokens, config.d_model)), weights


def turned(x, position, theta):
    """`x` [d] turned to its position, channel i with channel i + d/2, pair by pair."""
    half = len(x) // 2
    y = np.empty_like(x)
    for i in range(half):
        angle = position * theta ** (-i / half)
        y[i] = x[i] * np.cos(angle) - x[i + half] * np.sin(angle)
        y[i + half] = x[i + half] * np.cos(angle) + x[i] * np.sin(angle)
    return y


def softmax_mean(q, keys, values):
    """Weights of one query over some keys, and the mean of the values under them."""
    if not len(keys):
        return [], 0.0
    p = np.exp(np.array(keys) @ q / np.sqrt(len(q)))
    p /= p.sum()
    return p, p @ np.array(values)


def plain_nsa(x, weights, config, t):
    """Output of all heads for the last of one sequence's tokens x[: t + 1], loop by loop."""
    length, stride = config.compress_length, config.compress_stride

    def head(name, token, h, width):
        return weights[name][h * width : (h + 1) * width] @ x[token]

    def mlp(kind, rows):
        placed = np.array(rows) + weights[f"compress_{kind}_position"]
        inner = weights[f"compress_{kind}_up"] @ placed.ravel()
        return weights[f"compress_{kind}_down"] @ np.maximum(inner, 0)

    logits = weights["gate_down"] @ np.maximum(weights["gate_up"] @ x[t], 0)
    gate = (1 / (1 + np.exp(-logits))).reshape(3, config.num_heads)
    group_size = config.num_heads // config.num_kv_heads
    d, dv, theta = config.head_dim, config.value_dim, config.rope_theta
    outs = []
    for g in range(config.num_kv_heads):
        lanes = {
            branch: (
                [turned(head(f"{branch}k_proj", j, g, d), j, theta) for j in range(t + 1)],
                [head(f"{branch}v_proj", j, g, dv) for j in range(t + 1)],
            )
            for branch in ("", "window_")
        }
        starts = [i for i in range(0, t + 1, stride) if i + length <= t + 1]
        raw = [range(i, i + length) for i in starts]
        summary_k = [mlp("k", [head("compress_k_proj", j, g, d) for j in r]) for r in raw]
        summary_k = [turned(k, i, theta) for k, i in zip(summary_k, starts)]
        summary_v = [mlp("v", [head("compress_v_proj", j, g, dv) for j in r]) for r in raw]
        queries = [
            turned(head("q_proj", t, h, d), t, theta)
            for h in range(g * group_size, (g + 1) * group_size)
        ]
        parts = [softmax_mean(q, summary_k, summary_v) for q in queries]
        importance = np.zeros(t // config.block_size + 1)
        for p, _ in parts:
            for i, start in enumerate(starts):
                for unit in range(start, start + length, stride):
                    importance[unit // config.block_size] += p[i]
        own = t // config.block_size
        importance[[0, own, max(own - 1, 0)]] = np.inf
        best = np.argsort(-importance, kind="stable")[: config.top_k]
        chosen = [j for j in range(t + 1) if j // config.block_size in best]
        near = [j for j in range(t + 1) if t - j < config.window]
        for i, q in enumerate(queries):
            h = g * group_size + i
            out = gate[0, h] * parts[i][1]
            for c, (branch, tokens) in enumerate((("", chosen), ("window_", near)), start=1):
                k, v = ([lane[j] for j in tokens] for lane in lanes[branch])
                out = out + gate[c, h] * softmax_mean(q, k, v)[1]
            outs.append(out)
    return np.array(outs)


def test_equals_a_plain_version():
    hidden, weights = make(batch=2, num_tokens=31)
    out = nsa.run(hidden, weights, ODD).out
    assert out.shape == (2, 6, 31, ODD.value_dim)
    for b in range(2):
        for t in range(31):
            assert_close(out[b, :, t], plain_nsa(hidden[b], weights, ODD, t), 1e-12)


@pytest.mark.parametrize("steps", [[1] * TOKENS, [1, 5, 2, 17, 1, 13], [38, 1]], ids=len)
def test_cached_in_steps_equals_prefill(steps):
    hidden, weights = make()
    whole = nsa.run(hidden, weights, ODD)
    cache = nsa.new_cache(ODD, len(hidden))
    first = 0
    for step in steps:
        part = nsa.run(hidden[:, first : first + step], weights, ODD, cache)
        rows = slice(first, first + step)
        assert_close(part.out, whole.out[:, :, rows], 1e-12)
        for mine, full in zip(part.branches, whole.branches):
            assert_close(mine.gate, full.gate[:, :, rows], 1e-12)
            seen = np.isin(full.entries[:, 0], mine.entries[:, 0])
            np.testing.assert_array_equal(mine.entries, full.entries[seen])
            np.testing.assert_array_equal(mine.allowed, full.allowed[:, :, rows][..., seen])
            assert not full.allowed[:, :, rows][..., ~seen].any()
        first += step


def test_cache_holds_what_later_tokens_need_and_no_more():
    hidden, weights = make()
    cache = nsa.new_cache(ODD, 3)
    for t in range(TOKENS):
        nsa.run(hidden[:, t : t + 1], weights, ODD, cache)
        sizes = {name: lane.shape[2] for name, lane in cache.lanes.items()}
        closed = max(0, (t + 1 - 6) // 2 + 1)
        assert sizes["k"] == sizes["v"] == t + 1
        assert sizes["window_k"] == sizes["window_v"] == min(t + 1, ODD.window - 1)
        assert sizes["summary_k"] == sizes["summary_v"] == closed
        assert sizes["pending_k"] == sizes["pending_v"] == t + 1 - 2 * closed < 6
    assert cache.lanes["v"].shape == (3, 2, TOKENS, ODD.value_dim)


def test_refused_tokens_leave_the_cache_as_it_was():
    hidden, weights = make()
    cache = nsa.new_cache(ODD, 3)
    nsa.run(hidden[:, :20], weights, ODD, cache)
    before = {name: lane.copy() for name, lane in cache.lanes.items()}
    del weights["gate_down"]
    with pytest.raises(ValueError, match="gate_down"):
        nsa.run(hidden[:, 20:], weights, ODD, cache)
    assert cache.length == 20
    for name, lane in cache.lanes.items():
        np.testing.assert_array_equal(lane, before[name])


def test_slices_of_the_papers_sizes_count_1_2_2_2_1():
    weights = slices.overlap_weights(12, 130, length=32, stride=16, block_size=64)
    assert weights[:, 1].tolist() == [0, 0, 0, 1, 2, 2, 2, 1, 0, 0, 0, 0]
    # The slice that would begin before token 0 does not exist.
    assert weights[:, 0].tolist() == [2, 2, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0]


SIZES = [(32, 16, 64), (6, 2, 4), (4, 4, 4), (8, 2, 2), (3, 1, 5), (12, 4, 8), (6, 3, 12)]


@pytest.mark.parametrize(("length", "stride", "block_size"), SIZES)
def test_overlap_is_equation_9_numbered_from_1(length, stride, block_size):
    """Numbered from 0 it would give other weights, unless a block is one stride long."""
    num_slices, num_blocks = 23, 7
    from_1, from_0 = np.zeros((2, num_slices, num_blocks), dtype=int)
    for block in range(num_blocks):
        for m in range(block_size // stride):
            for n in range(length // stride):
                one_based = block_size // stride * (block + 1) - m - n
                if 1 <= one_based <= num_slices:
                    from_1[one_based - 1, block] += 1
                zero_based = block_size // stride * block - m - n
                if 0 <= zero_based < num_slices:
                    from_0[zero_based, block] += 1
    sizes = {"length": length, "stride": stride, "block_size": block_size}
    weights = slices.overlap_weights(num_slices, num_blocks * block_size, **sizes)
    np.testing.assert_array_equal(weights, from_1)
    assert (weights != from_0).any() == (block_size > stride)


@pytest.mark.parametrize(("length", "stride", "block_size"), SIZES)
def test_overlap_counts_common_tokens_in_strides(length, stride, block_size):
    sizes = {"length": length, "stride": stride, "block_size": block_size}
    weights = slices.overlap_weights(9, 5 * block_size + 1, **sizes)
    assert weights.shape == (9, 6)
    for i, block in np.ndindex(weights.shape):
        mine = set(range(i * stride, i * stride + length))
        its = set(range(block * block_size, (block + 1) * block_size))
        assert weights[i, block] * stride == len(mine & its)


def test_importance_is_summed_over_the_heads_of_a_group():
    rng = np.random.default_rng(3)
    slice_weights = rng.random((2, 6, 4, 17))
    importance = nsa.block_importance(slice_weights, TOKENS, ODD)
    assert importance.shape == (2, 2, 4, 10)
    alone = [
        nsa.block_importance(slice_weights[:, [h, h + 3]], TOKENS, replace(ODD, num_heads=2))
        for h in range(3)
    ]
    assert_close(importance, sum(alone), 1e-12)


def test_selection_is_shared_in_a_group_and_forced_at_both_ends():
    hidden, weights = make()
    chosen = nsa.run(hidden, weights, ODD).branches[1].allowed
    for h in range(ODD.num_heads):
        np.testing.assert_array_equal(chosen[:, h], chosen[:, h // 3 * 3])
    assert (chosen[:, 0] != chosen[:, 3]).any()
    for t in range(TOKENS):
        row = chosen[:, :, t]
        own = t // ODD.block_size
        assert not row[..., t + 1 :].any()
        for block in {0, max(own - 1, 0), own}:
            tokens = slice(block * 4, min(block * 4 + 4, t + 1))
            assert row[..., tokens].all()
        blocks_read = np.add.reduceat(row, np.arange(0, TOKENS, 4), axis=-1) > 0
        assert (blocks_read.sum(axis=-1) == min(ODD.top_k, own + 1)).all()


def test_slices_are_seen_from_their_last_token_on():
    hidden, weights = make()
    entries, closed, _ = nsa.run(hidden, weights, ODD).branches[0]
    assert entries[0].tolist() == [0, 5]
    assert entries[-1].tolist() == [32, 37]
    for i, (_, last) in enumerate(entries):
        assert not closed[:, :, :last, i].any()
        assert closed[:, :, last:, i].all()


def test_queries_before_the_first_summary_are_carried_by_the_other_branches():
    hidden, weights = make()
    weights = weights | {"gate_up": np.zeros((10, 10))}
    short = nsa.run(hidden[:, :5], weights, ODD)
    assert short.branches[0].entries.shape == (0, 2)
    assert short.branches[0].allowed.shape == (3, 6, 5, 0)
    assert np.isfinite(short.out).all()
    assert_close(short.branches[0].gate, np.full((3, 6, 5), 0.5), 1e-15)
    halves = [
        nsa.run(hidden[:, :5], weights | {f"{other}v_proj": np.zeros((10, 10))}, ODD).out
        for other in ("", "window_")
    ]
    assert_close(short.out, sum(halves), 1e-12)
    assert all(np.abs(half).max() > 0.1 for half in halves)


@pytest.mark.parametrize("name", ["k_proj", "v_proj"])
def test_branches_have_their_own_projections(name):
    hidden, weights = make()
    outs = [nsa.run(hidden, weights, ODD).out]
    for branch in ("", "compress_", "window_"):
        changed = weights | {branch + name: weights[branch + name] * 1.5}
        outs.append(nsa.run(hidden, changed, ODD).out)
    for i, one in enumerate(outs):
        assert all(np.abs(one - other).max() > 1e-3 for other in outs[i + 1 :])


def test_only_the_compressed_keys_move_the_selection():
    hidden, weights = make()
    chosen = nsa.run(hidden, weights, ODD).branches[1].allowed
    for name in ("k_proj", "window_k_proj", "compress_v_proj", "gate_down"):
        same = nsa.run(hidden, weights | {name: -weights[name]}, ODD).branches[1].allowed
        np.testing.assert_array_equal(same, chosen)
    for name in ("q_proj", "compress_k_proj", "compress_k_position"):
        other = nsa.run(hidden, weights | {name: -weights[name]}, ODD).branches[1].allowed
        assert (other != chosen).any()


def test_full_budget_and_long_window_allow_every_visible_token():
    config = replace(ODD, top_k=50, window=90)
    hidden, weights = make(config)
    _, selected, window = nsa.run(hidden, weights, config).branches
    visible = np.tri(TOKENS, dtype=bool)
    assert (selected.allowed == visible).all()
    assert (window.allowed == visible).all()
    assert (
        np.abs(nsa.run(hidden, weights, ODD).out - nsa.run(hidden, weights, config).out).max()
        > 1e-2
    )


def test_future_tokens_change_nothing():
    hidden, weights = make()
    out = nsa.run(hidden, weights, ODD).out
    for t in (4, 5, 20, 37):
        changed = hidden.copy()
        changed[:, t + 1 :] += 3
        other = nsa.run(changed, weights, ODD).out
        assert_close(other[:, :, : t + 1], out[:, :, : t + 1], 1e-12)
        assert (np.abs(other - out)[:, :, t + 1 :].max(axis=(1, 3)) > 1e-3).all()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"compress_stride": 4}, "compress_length: got 6, takes a multiple of compress_stride 4"),
        ({"compress_stride": 3}, "block_size: got 4, takes a multiple of compress_stride 3"),
        ({"compress_stride": 0}, "compress_stride: got 0, takes an integer of at least 1"),
        ({"compress_length": 0}, "compress_length: got 0, takes an integer of at least 1"),
        ({"block_size": -4}, "block_size: got -4, takes an integer of at least 1"),
        ({"window": 0}, "window: got 0, takes an integer of at least 1"),
        ({"value_dim": 0}, "value_dim: got 0, takes an integer of at least 1"),
        ({"top_k": 0}, "top_k: got 0, takes an integer of at least 1"),
        ({"top_k": 2}, "top_k: got 2, takes at least the forced blocks"),
        ({"num_kv_heads": 4}, "num_kv_heads: got 4, takes a divisor of 6 heads"),
        ({"head_dim": 7}, "head_dim: got 7, takes an even number"),
    ],
    ids=str,
)
def test_sizes_that_do_not_fit_are_refused(changed, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        replace(ODD, **changed)


def test_weights_of_another_size_are_refused():
    hidden, weights = make()
    with pytest.raises(ValueError, match=r"^compress_v_up: got shape"):
        nsa.run(hidden, weights | {"compress_v_up": np.zeros((8, 48))}, ODD)
