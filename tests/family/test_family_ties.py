"""Exactly tied scores go to the lower entry: in a prefill, in chunks and token by token."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from cases import assert_close
from family_cases import BATCH, CASES, check_same_choice, run_in_steps

from msa_ref.family import SYSTEMS, nsa

# A text of twelve tokens that comes back ten times. Every block, page, slice and compressed
# run below divides twelve, so that what is chosen ties with its like in every other repeat.
PERIOD, REPEATS = 12, 10
LENGTH = PERIOD * REPEATS
STEPS = {
    "decode": [1] * LENGTH,
    "chunks": [5, 1, 30, 7, 64, 2, 1, LENGTH - 110],
    "prefill and decode": [LENGTH - 20] + [1] * 20,
}


class Tied(NamedTuple):
    """A budget that takes some repeats and leaves others, and how the system counts its entries."""

    sizes: dict  # what differs from the system's case
    width: int  # tokens of a block, a page or a summary
    forced: int = 0  # blocks up to the query's that are taken whatever they score


CASES_TIED = {
    "moba": Tied({"block_size": 4, "top_k": 6}, width=4, forced=1),
    "nsa": Tied({"top_k": 8}, width=4, forced=nsa.LOCAL_BLOCKS),
    "quest": Tied({"top_k": 6}, width=4),
    "infllm": Tied({"top_k": 6}, width=4, forced=1),
    "msa": Tied({"block_size": 4, "top_k": 6}, width=4, forced=1),
    "dsa": Tied({"top_k": 15}, width=1),
    "csa": Tied({"top_k": 6}, width=3),
}


def without_position(name, config, weights):
    """Config and weights whose scores depend on tokens alone, not on where they stand.

    Only the fastest pair of channels turns by more than float64 can tell; it is kept at zero.
    """
    weights = dict(weights)

    def silence(weight, width, channels):
        rows = weights[weight].copy()
        rows.reshape(-1, width, *rows.shape[1:])[:, channels] = 0
        weights[weight] = rows

    half = config.rotary_dim // 2 if name in ("dsa", "csa") else config.head_dim // 2
    if name == "dsa":
        silence("indexer.k_norm.weight", config.index_dim, [0, half])
    elif name == "csa":
        first = config.index_dim - config.rotary_dim
        silence("indexer.kv_norm", config.index_dim, [first, first + 1])
    else:
        silence("k_proj", config.head_dim, [0, half])
    if name == "nsa":
        silence("compress_k_down", config.head_dim, [0, half])
    if name == "msa":
        silence("idx_k_proj", config.index_dim, [0, config.index_dim // 2])
    return replace(config, rope_theta=1e300), weights


def make_tied(name, *, blind=False):
    """A system on the repeated text; `blind` zeroes its queries, so that all entries tie."""
    config = replace(CASES[name].config, **CASES_TIED[name].sizes)
    generator = np.random.default_rng(7)
    weights = SYSTEMS[name].init_weights(config, generator)
    config, weights = without_position(name, config, weights)
    for weight in weights:
        if blind and weight in ("q_proj", "idx_q_proj", "indexer.weights_proj"):
            weights[weight] = np.zeros_like(weights[weight])
    text = generator.standard_normal((BATCH, PERIOD, config.d_model))
    return SYSTEMS[name], config, weights, np.tile(text, (1, REPEATS, 1))


@pytest.mark.parametrize("blind", [False, True], ids=["repeated", "all alike"])
@pytest.mark.parametrize("name", CASES_TIED)
def test_of_tied_entries_the_lower_is_chosen(name, blind):
    system, config, weights, hidden = make_tied(name, blind=blind)
    branch = system.run(hidden, weights, config).branches[1 if name == "nsa" else 0]
    _, width, forced = CASES_TIED[name]
    # CSA's first entries are summaries; everywhere else an entry is a token.
    tokens, count = (width, LENGTH // width) if name == "csa" else (1, LENGTH)
    apart = PERIOD // tokens
    # What touches the first repeat lacks what comes before it: a tie only if nothing is scored.
    first = apart if blind else 2 * apart
    taken = 0
    for b, h, t in np.ndindex(branch.gate.shape):
        chosen = branch.allowed[b, h, t, :count]
        for e in np.flatnonzero(chosen):
            if e >= first and e * tokens // width <= t // width - forced:
                taken += 1
                assert chosen[e - apart], (b, h, t, e)
    assert taken > 0


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
@pytest.mark.parametrize("blind", [False, True], ids=["repeated", "all alike"])
@pytest.mark.parametrize("name", CASES_TIED)
def test_tied_entries_are_chosen_as_in_the_prefill(name, blind, steps):
    system, config, weights, hidden = make_tied(name, blind=blind)
    prefill = system.run(hidden, weights, config)
    parts = run_in_steps(system, hidden, weights, config, steps)
    assert_close(np.concatenate([part.out for part in parts], axis=2), prefill.out, 1e-13)
    for stop, count, part in zip(np.cumsum(steps), steps, parts):
        check_same_choice(part, prefill, np.arange(stop - count, stop))
