"""Awkward shapes, drawn by hypothesis, against loops over single numbers."""

import numpy as np
import oracle
import pytest
from cases import Lanes, assert_close, make_lanes, random_selection
from hypothesis import example, given, settings
from hypothesis import strategies as st

import msa_ref
from msa_ref import MSAConfig, blocks, dense, scoring, selection, sparse
from msa_ref import cache as paged


@st.composite
def problems(draw):
    """A config and its lanes: few of each size, values that tie in half of the draws."""
    groups = draw(st.integers(1, 3))
    init_blocks, local_blocks = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    config = MSAConfig(
        num_heads=groups * draw(st.integers(1, 3)),
        num_kv_heads=groups,
        head_dim=draw(st.integers(1, 4)),
        index_dim=draw(st.integers(1, 4)),
        block_size=draw(st.integers(1, 5)),
        top_k=max(1, init_blocks + local_blocks) + draw(st.integers(0, 2)),
        init_blocks=init_blocks,
        local_blocks=local_blocks,
    )
    num_keys = draw(st.integers(1, 18))
    lanes = make_lanes(
        config,
        batch=draw(st.integers(1, 2)),
        num_queries=draw(st.integers(1, num_keys)),
        num_keys=num_keys,
        seed=draw(st.integers(0, 2**16)),
        whole=draw(st.booleans()),
    )
    return config, lanes


def problem(num_keys, num_queries=None, *, whole=False, **sizes):
    config = MSAConfig(**{"num_heads": 4, "num_kv_heads": 2, "head_dim": 3, "index_dim": 2} | sizes)
    lanes = make_lanes(
        config, batch=2, num_keys=num_keys, num_queries=num_queries or num_keys, whole=whole
    )
    return config, lanes


# A block and one token more; a budget and one token more; one head a group; one group; all ties.
@example(problem(9, block_size=4, top_k=2))
@example(problem(13, 3, block_size=3, top_k=4))
@example(problem(14, 5, block_size=3, top_k=2, num_heads=2))
@example(problem(11, block_size=2, top_k=3, num_kv_heads=1))
@example(problem(12, 1, block_size=2, top_k=3, index_dim=1, whole=True))
@example(problem(7, block_size=2, top_k=1, local_blocks=0))
@settings(max_examples=60)
@given(problems())
def test_msa_equals_the_loops(drawn):
    config, lanes = drawn
    got = msa_ref.msa_attention(*lanes, config)
    assert_close(got.block_scores, oracle.score_blocks(lanes, config), 1e-12)
    chosen = oracle.select(got.block_scores, lanes.k.shape[2], config)
    np.testing.assert_array_equal(got.selection, chosen)
    out, lse = oracle.attend(lanes, chosen, config)
    assert_close(got.out, out, 1e-12)
    assert_close(got.lse, lse, 1e-12)


@settings(max_examples=80)
@given(problems())
def test_a_selection_keeps_its_contract(drawn):
    config, lanes = drawn
    got = msa_ref.msa_attention(*lanes, config)
    num_keys = lanes.k.shape[2]
    for b, g, t in np.ndindex(got.selection.shape[:3]):
        row, scores = got.selection[b, g, t], got.block_scores[b, g, t]
        own = (num_keys - lanes.q.shape[2] + t) // config.block_size
        ids = row[row >= 0].tolist()
        forced = {i for i in range(own + 1) if i < config.init_blocks}
        forced |= {own - i for i in range(config.local_blocks) if own >= i}
        assert row.tolist() == ids + [-1] * (config.top_k - len(ids))
        assert ids == sorted(set(ids))
        assert forced <= set(ids) <= set(range(own + 1))
        assert len(ids) == min(config.top_k, own + 1)
        left_out = set(range(own + 1)) - set(ids)
        free = set(ids) - forced
        for better in left_out:
            assert all(
                scores[kept] > scores[better] or (scores[kept] == scores[better] and kept < better)
                for kept in free
            )


@settings(max_examples=60)
@given(problems(), st.data())
def test_any_steps_through_the_cache_equal_one_call(drawn, data):
    config, lanes = drawn
    length = lanes.k.shape[2]
    lanes = make_lanes(config, batch=2, num_queries=length, num_keys=length)
    want = msa_ref.msa_attention(*lanes, config)
    capacity = length + data.draw(st.integers(0, 5))
    cache = paged.PagedCache(config, batch=2, capacity=capacity)
    while cache.length < length:
        start = cache.length
        stop = start + data.draw(st.integers(1, length - start))
        step = Lanes(*(lane[:, :, start:stop] for lane in lanes))
        cache.append(step.k, step.v, step.index_k)
        got = paged.attention(step.q, step.index_q, cache)
        np.testing.assert_array_equal(got.selection, want.selection[:, :, start:stop])
        assert_close(got.out, want.out[:, :, start:stop], 1e-12)
        assert_close(got.lse, want.lse[:, :, start:stop], 1e-12)


@st.composite
def selections(draw):
    """Sizes of an attention over a selection that no score has made; rows may be empty."""
    num_keys = draw(st.integers(1, 20))
    num_queries = draw(st.integers(1, num_keys))
    block_size, top_k = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    groups = draw(st.integers(1, 3))
    seed = draw(st.integers(0, 2**16))
    config = MSAConfig(groups * draw(st.integers(1, 2)), groups, 3, 2, block_size, top_k)
    lanes = make_lanes(config, batch=2, num_queries=num_queries, num_keys=num_keys, seed=seed)
    chosen = random_selection(
        num_queries, num_keys, block_size, top_k, batch=2, groups=groups, seed=seed
    )
    return config, lanes, chosen


@pytest.mark.parametrize("attend", [sparse.attention, sparse.attention_query_major])
@settings(max_examples=40)
@given(selections())
def test_both_orders_equal_the_loops(attend, drawn):
    config, lanes, chosen = drawn
    out, lse = oracle.attend(lanes, chosen, config)
    got = attend(*lanes[:3], chosen, block_size=config.block_size)
    assert_close(got[0], out, 1e-12)
    assert_close(got[1], lse, 1e-12)


@settings(max_examples=60)
@given(selections())
def test_lists_of_a_selection_lead_back_to_it(drawn):
    config, lanes, chosen = drawn
    num_blocks = blocks.num_blocks(lanes.k.shape[2], config.block_size)
    for ids in chosen.reshape(-1, *chosen.shape[2:]):
        offsets, queries = blocks.invert_selection(ids, num_blocks)
        for block in range(num_blocks):
            listed = queries[offsets[block] : offsets[block + 1]].tolist()
            assert listed == [t for t, row in enumerate(ids.tolist()) if block in row]
        back = blocks.selection_from_lists(
            offsets, queries, num_queries=len(ids), top_k=config.top_k
        )
        np.testing.assert_array_equal(back, ids)


@settings(max_examples=60)
@given(problems(), st.integers(1, 20), st.booleans())
def test_online_attention_equals_attention(drawn, chunk, causal):
    _, lanes = drawn
    want = dense.attention(*lanes[:3], causal=causal)
    got = dense.online_attention(*lanes[:3], chunk=chunk, causal=causal)
    assert_close(got[0], want[0], 1e-12)
    assert_close(got[1], want[1], 1e-12)


@settings(max_examples=60)
@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 2**16))
def test_scores_of_whole_numbers_tie_and_the_lower_id_wins(num_keys, block_size, seed):
    config = MSAConfig(2, 2, 1, 2, block_size, 3)
    lanes = make_lanes(config, batch=1, num_queries=1, num_keys=num_keys, seed=seed, whole=True)
    scores = scoring.block_scores(lanes.index_q, lanes.index_k, block_size=block_size, scale=1.0)
    chosen = selection.select_blocks(scores, top_k=3, block_size=block_size, num_keys=num_keys)
    np.testing.assert_array_equal(chosen, oracle.select(scores, num_keys, config))
