"""DSA, CSA and HCA against loops written from the papers, and the traps that concern them."""

import re
from dataclasses import MISSING, fields, replace

import numpy as np
import oracle_deepseek
import pytest
from cases import assert_close
from family_cases import CASES, LENGTH, make_inputs

from msa_ref import layer
from msa_ref.family import csa, dsa, hca, shared_kv
from msa_ref.family.compress import close_blocks, open_block
from msa_ref.family.inputs import GrowingCache
from msa_ref.family.latent import NORM_EPSILON, rotate_pairs
from msa_ref.family.lightning import lightning_scores

DSA, CSA, HCA = (CASES[name].config for name in ("dsa", "csa", "hca"))
SYSTEMS = [(dsa, DSA), (csa, CSA), (hca, HCA)]
systems = pytest.mark.parametrize(("system", "config"), SYSTEMS, ids=["dsa", "csa", "hca"])
compressed = pytest.mark.parametrize(("system", "config"), SYSTEMS[1:], ids=["csa", "hca"])


def make(system, config, length=LENGTH, seed=0):
    """Hidden states of two sequences, and weights in which norms are not the identity either."""
    rng = np.random.default_rng(seed)
    weights = system.init_weights(config, rng)
    for name, weight in weights.items():
        if "norm" in name:
            weights[name] = weight + 0.5 * rng.standard_normal(weight.shape)
    return rng.standard_normal((2, length, config.d_model)), weights


def mask_of(chosen, width):
    mask = np.zeros((len(chosen), width), dtype=bool)
    for row, ids in zip(mask, chosen, strict=True):
        row[ids] = True
    return mask


def test_dsa_is_what_the_loops_say():
    hidden, weights = make(dsa, DSA)
    got = dsa.run(hidden, weights, DSA)
    for b, sequence in enumerate(hidden):
        out, chosen = oracle_deepseek.dsa(sequence, weights, DSA)
        for allowed in got.branches[0].allowed[b]:
            np.testing.assert_array_equal(allowed, mask_of(chosen, LENGTH))
        assert_close(got.out[b], out, 1e-12)


@compressed
@pytest.mark.parametrize("ratio", [1, None, 23, 24])
def test_csa_and_hca_are_what_the_loops_say(system, config, ratio):
    config = replace(config, ratio=ratio or config.ratio)
    hidden, weights = make(system, config)
    got = system.run(hidden, weights, config)
    num_entries = LENGTH // config.ratio
    for b, sequence in enumerate(hidden):
        out, chosen, near = oracle_deepseek.v4(sequence, weights, config, overlap=system is csa)
        for allowed in got.branches[0].allowed[b]:
            np.testing.assert_array_equal(allowed[:, :num_entries], mask_of(chosen, num_entries))
            np.testing.assert_array_equal(allowed[:, num_entries:], mask_of(near, LENGTH))
        assert_close(got.out[b], out, 1e-12)


# Rows and channels of every lane after 23 tokens, of which 21 or 20 are in closed blocks.
HELD = {
    "dsa": {"latent": (23, 10 + 4), "index_k": (23, 11)},
    "hca": {
        "window": (5, 8),
        "compressor": (5, 8),
        "compressor.values": (3, 8),
        "compressor.gates": (3, 8),
    },
    "csa": {
        "window": (5, 8),
        "compressor": (7, 8),
        "compressor.values": (3 + 2, 16),
        "compressor.gates": (3 + 2, 16),
        "indexer": (7, 11),
        "indexer.values": (3 + 2, 22),
        "indexer.gates": (3 + 2, 22),
    },
}


@pytest.mark.parametrize("name", sorted(HELD))
@pytest.mark.parametrize("steps", [[23], [2, 1, 7, 3, 10]], ids=str)
def test_the_cache_holds_what_the_real_system_holds(name, steps):
    system, config, weights, hidden = make_inputs(name)
    cache = system.new_cache(config, len(hidden))
    for part in np.split(hidden, np.cumsum(steps)[:-1], axis=1):
        system.run(part, weights, config, cache)
    assert {lane: rows.shape[2:] for lane, rows in cache.lanes.items()} == HELD[name]


def run_far_from_zero(system, config, hidden, weights):
    """The same tokens at positions 84 ...: the cache says that earlier ones came and went."""
    cache = system.new_cache(config, len(hidden))
    cache.length = 84  # whole blocks of 3 and of 4
    return system.run(hidden, weights, config, cache).out


@compressed
def test_only_distance_matters_because_the_output_is_rotated_back(system, config):
    hidden, weights = make(system, config)
    near = system.run(hidden, weights, config).out
    far = run_far_from_zero(system, config, hidden, weights)
    assert_close(far, near, 1e-10)

    def rotated_forth(out, first):
        return rotate_pairs(out, *shared_kv.rope_tables(first + np.arange(LENGTH), config))

    difference = np.abs(rotated_forth(far, 84) - rotated_forth(near, 0))
    assert (difference[..., : -config.rotary_dim] < 1e-10).all()
    assert difference[..., -config.rotary_dim :].max() > 0.1


@compressed
def test_an_entry_is_read_from_the_token_that_closes_it(system, config):
    """The paper counts tokens from 1; s < t // m from 0 would hide the entry just closed."""
    hidden, weights = make(system, config)
    allowed = system.run(hidden, weights, config).branches[0].allowed
    assert not allowed[:, :, : config.ratio - 1, 0].any()
    assert allowed[:, :, config.ratio - 1, 0].all()


def test_entries_say_which_tokens_they_stand_for():
    hidden, weights = make(csa, CSA)
    spans = csa.run(hidden, weights, CSA).branches[0].entries
    assert spans[:4].tolist() == [[0, 2], [0, 5], [3, 8], [6, 11]]
    assert spans[6:9].tolist() == [[15, 20], [0, 0], [1, 1]]
    hidden, weights = make(hca, HCA)
    spans = hca.run(hidden, weights, HCA).branches[0].entries
    assert spans[:6].tolist() == [[0, 3], [4, 7], [8, 11], [12, 15], [16, 19], [0, 0]]


@compressed
def test_an_entry_is_made_of_its_span_and_of_nothing_else(system, config):
    hidden, weights = make(system, config)

    def closed(hidden):
        cache = system.new_cache(config, len(hidden))
        spans = system.run(hidden, weights, config, cache).branches[0].entries
        return cache.lanes["compressor"][:, 0], spans

    want, spans = closed(hidden)
    for token in (0, 5, 6, 20, 22):
        changed = hidden.copy()
        changed[:, token] += 1
        got, _ = closed(changed)
        differs = (got != want).any(axis=(0, 2))
        inside = (spans[:, 0] <= token) & (token <= spans[:, 1])
        np.testing.assert_array_equal(differs, inside[: want.shape[1]])


def test_both_blocks_share_one_softmax_in_every_channel():
    """Gates that settle on one row: channel 0 takes the block before, channel 1 its own."""
    cache = GrowingCache(None, 1)
    open_block(cache, "c", width=2, ratio=2, overlap=True)
    gate = np.zeros((4, 5))
    gate[[0, 3], [0, 1]] = 100  # low row 0 opens to input 0, high row 1 (fourth) to input 1
    value = np.zeros((4, 5))
    value[:, 2] = (3, 5, 7, 4)
    weights = {
        "c.kv_proj": value,
        "c.gate_proj": gate,
        "c.position_bias": np.zeros((2, 4)),
        "c.kv_norm": np.ones(2),
    }
    hidden = np.array([[[0, 0, 9.0, 0, 0], [1, 0, 1, 0, 0], [0, 1, 1, 0, 0], [0, 0, 9, 0, 0]]])
    entries = close_blocks(hidden, weights, cache, "c", overlap=True)
    assert_close(entries[0, 0, 1], np.array([3, 4]) / np.sqrt(12.5 + NORM_EPSILON), 1e-12)


def test_queries_before_the_first_entry_have_their_window():
    config = replace(HCA, ratio=128)
    hidden, weights = make(hca, config)
    got = hca.run(hidden, weights, config)
    assert got.branches[0].entries.tolist() == [[t, t] for t in range(LENGTH)]
    for b, sequence in enumerate(hidden):
        out, chosen, _ = oracle_deepseek.v4(sequence, weights, config, overlap=False)
        assert not any(chosen)
        assert_close(got.out[b], out, 1e-12)


@compressed
def test_an_open_block_closes_nothing(system, config):
    hidden, weights = make(system, config, length=config.ratio - 1)
    cache = system.new_cache(config, 2)
    closed = close_blocks(hidden, weights, cache, "compressor", overlap=system is csa)
    assert closed.shape == (2, 1, 0, 8)
    assert cache.lanes["compressor"].shape == (2, 1, 0, 8)


def test_the_sink_takes_weight_and_gives_no_value():
    hidden, weights = make(hca, HCA)
    low, high = np.full(6, -1e3), np.array([-1e3, 1e3] * 3)
    without = hca.run(hidden, weights | {"sinks": low}, HCA).out
    drained = hca.run(hidden, weights | {"sinks": high}, HCA).out
    np.testing.assert_array_equal(drained[:, ::2], without[:, ::2])
    assert (drained[:, 1::2] == 0).all()


def test_dsa_leaves_tokens_out_from_the_first_query_that_sees_more_than_top_k():
    hidden, weights = make(dsa, DSA)
    whole = dsa.run(hidden, weights, replace(DSA, top_k=LENGTH + 9))
    assert (whole.branches[0].allowed == np.tri(LENGTH, dtype=bool)).all()
    differs = (whole.out != dsa.run(hidden, weights, DSA).out).any(axis=(0, 1, 3))
    assert differs.tolist() == [False] * DSA.top_k + [True] * (LENGTH - DSA.top_k)


@pytest.mark.parametrize(("system", "config"), SYSTEMS[:2], ids=["dsa", "csa"])
def test_an_indexer_without_opinion_takes_the_first(system, config):
    hidden, weights = make(system, config)
    weights["indexer.weights_proj"] = np.zeros_like(weights["indexer.weights_proj"])
    allowed = system.run(hidden, weights, config).branches[0].allowed
    num_scored = LENGTH if system is dsa else LENGTH // config.ratio
    taken = allowed[0, 0, -1, :num_scored]
    assert np.flatnonzero(taken).tolist() == list(range(config.top_k))


def test_index_heads_are_cut_off_at_zero_before_their_votes():
    index_q = np.array([[1.0, 0], [0, 1]]).reshape(1, 2, 1, 2)
    index_k = np.array([[3.0, -5], [-3, 5], [2, 1]]).reshape(1, 1, 3, 2)
    votes = np.array([1.0, -2]).reshape(1, 2, 1, 1)
    visible = np.array([[True, True, False]])
    scores = lightning_scores(index_q, index_k, votes, visible)
    assert scores.tolist() == [[[1.5, -5, -np.inf]]]  # scale (2 * 2)**-0.5


def test_the_indexer_rotates_halves_of_the_first_and_mla_pairs_of_the_last_channels():
    x = np.array([1.0, 0, 0, 0, 0, 0]).reshape(1, 1, 1, 6)
    quarter, zero = np.array([[0.0, 1]]), np.array([[1.0, 0]])  # a quarter turn, and none
    assert layer.rotate(x, quarter, zero).ravel().tolist() == [0, 0, 1, 0, 0, 0]
    x = x[..., [1, 2, 0, 3, 4, 5]]
    assert rotate_pairs(x, quarter, zero).ravel().tolist() == [0, 0, 0, 1, 0, 0]
    assert rotate_pairs(x, quarter, -zero).ravel().tolist() == [0, 0, 0, -1, 0, 0]


@pytest.mark.parametrize(
    ("config", "name", "size", "message"),
    [
        *[(config, "top_k", 0, "top_k: got 0") for config in (DSA, CSA)],
        *[(config, "ratio", 0, "ratio: got 0") for config in (CSA, HCA)],
        *[(config, "window", 0, "window: got 0") for config in (CSA, HCA)],
        *[(config, "rotary_dim", 3, "rotary_dim: got 3, takes an even") for config in (DSA, CSA)],
        *[(config, "rotary_dim", 12, "rotary_dim: got 12, takes") for config in (DSA, CSA, HCA)],
        (CSA, "index_dim", 2, "rotary_dim: got 4, takes at most index_dim, 2"),
        *[(config, "rope_theta", 0, "rope_theta: got 0") for config in (DSA, HCA)],
        *[(config, "num_heads", -1, "num_heads: got -1") for config in (DSA, CSA, HCA)],
    ],
)
def test_sizes_that_make_no_layer_are_refused(config, name, size, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        replace(config, **{name: size})


@systems
def test_channels_may_all_rotate(system, config):
    config = replace(config, rotary_dim=8, **({"index_dim": 8} if system is not hca else {}))
    hidden, weights = make(system, config)
    assert np.isfinite(system.run(hidden, weights, config).out).all()


@systems
def test_norms_start_as_the_identity(system, config):
    weights = system.init_weights(config, np.random.default_rng(0))
    norms = {name: weight for name, weight in weights.items() if "norm" in name}
    assert len(norms) == {dsa: 4, csa: 4, hca: 3}[system]
    for name, weight in norms.items():
        assert (weight == (0 if name.endswith("bias") else 1)).all()


@systems
def test_defaults_are_those_of_the_released_models(system, config):
    want = {dsa: {"rope_theta": 1e4}, csa: {"ratio": 4}, hca: {"ratio": 128}}[system]
    if system is not dsa:
        want |= {"window": 128, "rope_theta": 1.6e5}
    found = {f.name: f.default for f in fields(config) if f.default is not MISSING}
    assert found == want
