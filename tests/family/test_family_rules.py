"""What each system on grouped-query attention chooses, against loops over its rule."""

import dataclasses

import numpy as np
import pytest
from cases import ODD, assert_close, make_lanes
from family_cases import LENGTH, make_inputs
from gqa_cases import GQA_SYSTEMS, LANES, config_for, extra

from msa_ref.family import SYSTEMS, infllm

WHOLE_NUMBERS = make_lanes(dataclasses.replace(ODD, index_dim=6), num_queries=LENGTH, whole=True)


def cut(lanes, num_queries):
    """The same keys, and the last queries alone."""
    if num_queries == LENGTH:
        return lanes
    last = slice(LENGTH - num_queries, None)
    return lanes._replace(q=lanes.q[:, :, last], index_q=lanes.index_q[:, :, last])


# Each rule below gives the tokens that query head h of sequence b at position t attends to.


def best(scores, count):
    """Ids of the highest scores, ties to the lower id."""
    return sorted(scores, key=lambda block: (-scores[block], block))[:count]


def in_blocks(chosen, size, t):
    return {j for j in range(t + 1) if j // size in chosen}


def dense_rule(lanes, config, b, h, t):
    return set(range(t + 1))


def window_rule(lanes, config, b, h, t):
    return {j for j in range(t + 1) if t - j < config.window or j < config.sinks}


def moba_rule(lanes, config, b, h, t):
    q, k = lanes.q[b, h, t], lanes.k[b, h // 3]
    size, own = config.block_size, t // config.block_size
    scores = {i: q @ k[i * size : (i + 1) * size].sum(axis=0) / size for i in range(own)}
    return in_blocks([own, *best(scores, config.top_k - 1)], size, t)


def quest_rule(lanes, config, b, h, t):
    q, k = lanes.q[b, h, t], lanes.k[b, h // 3]
    scores = {}
    for page in range(t // config.page_size + 1):
        first = page * config.page_size
        held = k[first : min(first + config.page_size, t + 1)]
        scores[page] = sum(max(q[c] * min(held[:, c]), q[c] * max(held[:, c])) for c in range(8))
    return in_blocks(best(scores, config.top_k), config.page_size, t)


def infllm_rule(lanes, config, b, h, t):
    if t < config.dense_len:
        return set(range(t + 1))
    group = range(h // 3 * 3, h // 3 * 3 + 3)
    starts = [s for s in range(0, t + 1, config.kernel_stride) if s + config.kernel_size <= t + 1]
    pooled = [lanes.k[b, h // 3, s : s + config.kernel_size].mean(axis=0) for s in starts]
    shares = np.zeros(len(starts))
    for head in group:
        powers = np.exp([lanes.q[b, head, t] @ key / 8**0.5 for key in pooled])
        shares += powers / powers.sum()
    size, own = config.block_size, t // config.block_size
    always = {i for i in range(own + 1) if i < config.init_blocks or own - i < config.local_blocks}
    scores = {}
    for block in set(range(own + 1)) - always:
        tokens = set(range(block * size, (block + 1) * size))
        touching = [
            share
            for start, share in zip(starts, shares)
            if tokens & set(range(start, start + config.kernel_size))
        ]
        scores[block] = max(touching)
    count = config.top_k + config.local_blocks - len(always)
    return in_blocks(always | set(best(scores, count)), size, t)


def msa_rule(lanes, config, b, h, t):
    index_q, index_k = lanes.index_q[b, h // 3, t], lanes.index_k[b, 0]
    size, own = config.block_size, t // config.block_size
    scores = {i: max(index_k[i * size : (i + 1) * size] @ index_q) for i in range(own)}
    return in_blocks([own, *best(scores, config.top_k - 1)], size, t)


RULES = {
    "dense": (dense_rule, [{}]),
    "window": (window_rule, [{}, {"sinks": 0}, {"window": 1}, {"window": 7, "sinks": 9}]),
    "moba": (moba_rule, [{"block_size": 4, "top_k": k} for k in (1, 2, 3)]),
    "quest": (quest_rule, [{"top_k": k} for k in (1, 2, 4)]),
    "infllm": (
        infllm_rule,
        [
            {},
            {"init_blocks": 0, "top_k": 1},
            {"init_blocks": 2, "top_k": 2},
            {"window": 8, "top_k": 3},
            {"kernel_size": 6, "window": 8},
            {"block_size": 8, "window": 8, "kernel_stride": 4},
            {"dense_len": 15},
        ],
    ),
    "msa": (msa_rule, [{"block_size": 4}, {"top_k": 1}, {"top_k": 3}]),
}
RULE_CASES = [(name, changes) for name in GQA_SYSTEMS for changes in RULES[name][1]]


@pytest.mark.parametrize(("name", "changes"), RULE_CASES, ids=str)
@pytest.mark.parametrize("num_queries", [LENGTH, 9])
def test_the_choice_is_the_rules(name, changes, num_queries):
    config = config_for(name, **changes)
    check_rule(name, config, LANES, num_queries)


@pytest.mark.parametrize("name", ["moba", "quest", "msa"])
@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_ties_go_to_the_lower_block(name, top_k):
    sizes = {"page_size": 2} if name == "quest" else {"block_size": 2}
    config = config_for(name, top_k=top_k, **sizes)
    check_rule(name, config, WHOLE_NUMBERS, LENGTH)


def check_rule(name, config, lanes, num_queries):
    """Same tokens, and the output is the softmax over them, query by query."""
    some = cut(lanes, num_queries)
    got = SYSTEMS[name].attend_to(*some[:3], config, **extra(name, some))
    ((entries, allowed, _),) = got.branches
    assert entries.tolist() == [[j, j] for j in range(LENGTH)]
    for b, h, row in np.ndindex(got.out.shape[:3]):
        t = LENGTH - num_queries + row
        want = sorted(RULES[name][0](lanes, config, b, h, t))
        assert np.flatnonzero(allowed[b, h, row]).tolist() == want
        powers = np.exp(lanes.k[b, h // 3, want] @ lanes.q[b, h, t] / 8**0.5)
        mean = powers @ lanes.v[b, h // 3, want] / powers.sum()
        assert_close(got.out[b, h, row], mean, 1e-13)


def test_equal_pooled_keys_leave_infllm_the_lowest_blocks():
    lanes = LANES._replace(q=np.zeros_like(LANES.q))
    config = config_for("infllm", top_k=3)
    allowed = infllm.attend_to(*lanes[:3], config).branches[0].allowed
    want = in_blocks({0, 1, 2, 5}, 4, 22)
    assert (allowed[:, :, -1] == [j in want for j in range(LENGTH)]).all()


@pytest.mark.parametrize("name", GQA_SYSTEMS)
def test_a_run_is_its_projections_turned_and_attended(name):
    system, config, weights, hidden = make_inputs(name, config_for(name, rope_theta=50.0))
    cos = np.cos(np.arange(LENGTH)[:, None] * 50.0 ** (-np.arange(4) / 4))
    sin = np.sin(np.arange(LENGTH)[:, None] * 50.0 ** (-np.arange(4) / 4))

    def heads(weight, num_heads):
        return np.stack([hidden @ part.T for part in np.split(weights[weight], num_heads)], axis=1)

    def turned(x, cos, sin):
        first, second = np.split(x, 2, axis=-1)
        return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)

    more = {}
    if name == "msa":
        tables = [
            f(np.arange(LENGTH)[:, None] * 50.0 ** (-np.arange(3) / 3)) for f in (np.cos, np.sin)
        ]
        more["index_q"] = turned(heads("idx_q_proj", 2), *tables)
        more["index_k"] = turned(heads("idx_k_proj", 1), *tables)
    q, k = turned(heads("q_proj", 6), cos, sin), turned(heads("k_proj", 2), cos, sin)
    want = system.attend_to(q, k, heads("v_proj", 2), config, **more)
    got = system.run(hidden, weights, config)
    assert_close(got.out, want.out, 1e-13)
    np.testing.assert_array_equal(got.branches[0].allowed, want.branches[0].allowed)


@pytest.mark.parametrize("name", GQA_SYSTEMS)
def test_shorter_arrays_give_the_same_first_rows(name):
    system, config = SYSTEMS[name], config_for(name)
    lanes = LANES
    want = system.attend_to(*lanes[:3], config, **extra(name, lanes))
    short = type(lanes)(*(lane[:, :, :14] for lane in lanes))
    got = system.attend_to(*short[:3], config, **extra(name, short))
    assert_close(got.out, want.out[:, :, :14], 1e-14)
    np.testing.assert_array_equal(got.branches[0].allowed, want.branches[0].allowed[:, :, :14, :14])


@pytest.mark.parametrize("name", GQA_SYSTEMS)
def test_captured_arrays_in_single_precision_are_taken(name):
    system, config, lanes = SYSTEMS[name], config_for(name), LANES
    single = type(lanes)(*(lane.astype(np.float32) for lane in lanes))
    got = system.attend_to(*single[:3], config, **extra(name, single))
    wide = type(lanes)(*(lane.astype(np.float64) for lane in single))
    want = system.attend_to(*wide[:3], config, **extra(name, wide))
    assert_close(got.out, want.out, 1e-5)


def test_a_query_reads_its_budget_and_no_more():
    for name, budget in (("window", 7), ("moba", 10), ("quest", 8), ("infllm", 12), ("msa", 10)):
        system, config, weights, hidden = make_inputs(name)
        counts = system.run(hidden, weights, config).branches[0].allowed.sum(axis=-1)
        assert counts.max() == budget, name
        first = np.broadcast_to(np.arange(1, 5), (3, 6, 4))
        np.testing.assert_array_equal(counts[:, :, :4], first)
