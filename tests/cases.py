"""Builders the tests share: random arrays of a config, layers, and runs cut into steps."""

import re
from typing import NamedTuple

import numpy as np
import pytest

from msa_ref import MSAConfig, layer

# Every size differs from every other, so that no two axes can be mixed up unseen; 2 * 5 keys a
# budget against 23 keys, and a partial last block.
ODD = MSAConfig(num_heads=6, num_kv_heads=2, head_dim=8, index_dim=7, block_size=5, top_k=2)


class Lanes(NamedTuple):
    """The five arrays of msa_attention, in its order."""

    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    index_q: np.ndarray
    index_k: np.ndarray


def make_lanes(
    config=ODD, *, batch=3, num_queries=11, num_keys=23, seed=0, dtype=np.float64, whole=False
):
    """Random lanes; with `whole` numbers from -2 to 2, whose products are exact and often tie."""
    rng = np.random.default_rng(seed)
    heads, groups = config.num_heads, config.num_kv_heads
    shapes = (
        (batch, heads, num_queries, config.head_dim),
        (batch, groups, num_keys, config.head_dim),
        (batch, groups, num_keys, config.head_dim),
        (batch, groups, num_queries, config.index_dim),
        (batch, 1, num_keys, config.index_dim),
    )
    if whole:
        return Lanes(*(rng.integers(-2, 3, shape).astype(dtype) for shape in shapes))
    return Lanes(*(rng.standard_normal(shape).astype(dtype) for shape in shapes))


def random_selection(num_queries, num_keys, block_size, top_k, *, batch=1, groups=1, seed=0):
    """A valid selection whose rows hold from 0 to top_k blocks, chosen without any score."""
    rng = np.random.default_rng(seed)
    selection = np.full((batch, groups, num_queries, top_k), -1, dtype=np.int32)
    for row in np.ndindex(selection.shape[:3]):
        visible = (num_keys - num_queries + row[2]) // block_size + 1
        count = rng.integers(0, min(top_k, visible) + 1)
        selection[row][:count] = np.sort(rng.permutation(visible)[:count])
    return selection


def make_layer(config=ODD, *, hidden=9, rotary_dim=4, seed=0, dtype=np.float64):
    """M3's layer with random weights."""
    rng = np.random.default_rng(seed)
    inside = config.num_heads * config.head_dim
    shapes = {
        "q_proj": (inside, hidden),
        "k_proj": (config.num_kv_heads * config.head_dim, hidden),
        "v_proj": (config.num_kv_heads * config.head_dim, hidden),
        "o_proj": (hidden, inside),
        "indexer.q_proj": (config.num_kv_heads * config.index_dim, hidden),
        "indexer.k_proj": (config.index_dim, hidden),
        "q_norm": (config.head_dim,),
        "k_norm": (config.head_dim,),
        "indexer.q_norm": (config.index_dim,),
        "indexer.k_norm": (config.index_dim,),
    }
    weights = {
        f"{name}.weight": (0.4 * rng.standard_normal(shape)).astype(dtype)
        for name, shape in shapes.items()
    }
    return layer.M3Attention(config, weights, rotary_dim=rotary_dim)


def run_in_steps(attend, hidden, steps, cache):
    """The layer's outputs over `steps` of the hidden states through one cache.

    Rows are joined to one output; scores of blocks that a step does not know yet are -inf.
    """
    stops = np.cumsum(steps)
    assert stops[-1] == hidden.shape[1]
    parts = [attend(hidden[:, stop - n : stop], cache) for n, stop in zip(steps, stops)]
    num_blocks = parts[-1].block_scores.shape[3]
    scores = [
        np.pad(
            part.block_scores,
            ((0, 0),) * 3 + ((0, num_blocks - part.block_scores.shape[3]),),
            constant_values=-np.inf,
        )
        for part in parts
    ]
    return layer.LayerOutput(
        np.concatenate([part.out for part in parts], axis=1),
        np.concatenate([part.selection for part in parts], axis=2),
        np.concatenate(scores, axis=2),
    )


def assert_close(got, want, tolerance):
    """Equal to `tolerance`, infinities included, with no NaN on either side."""
    assert got.shape == want.shape
    assert not np.isnan(got).any()
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance)


def refused(error, name, *parts):
    """Expects this error with a message in the form `name: got ... takes ...` with these parts."""
    middle = ".*".join(re.escape(part) for part in parts)
    return pytest.raises(error, match=rf"(?s)^{re.escape(name)}: got .*{middle}")
