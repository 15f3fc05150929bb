"""One toy configuration for every system of the family: what its tests are driven by."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import oracle_deepseek
from cases import assert_close

from msa_ref.family import SYSTEMS, csa, dense, dsa, hca, infllm, moba, msa, nsa, quest, window
from msa_ref.family.gqa import GQAConfig, weight_shapes

# 23 tokens: no multiple of any block, page, kernel or window below.
BATCH, LENGTH, D_MODEL = 3, 23, 9
GQA = {"d_model": D_MODEL, "num_heads": 6, "num_kv_heads": 2, "head_dim": 8}


def dense_out(hidden, weights, config):
    """Output of dense attention with the projections that a GQA system shares with it."""
    sizes = {name: getattr(config, name) for name in GQAConfig.__dataclass_fields__}
    shared = {name: weights[name] for name in weight_shapes(config)}
    return dense.run(hidden, shared, dense.DenseConfig(**sizes)).out


# For CSA and HCA; 23 tokens are no multiple of their ratios 3 and 4.
V4 = {"d_model": D_MODEL, "num_heads": 6, "head_dim": 8, "rotary_dim": 4, "q_rank": 7, "window": 5}
DSA = dsa.DSAConfig(
    d_model=D_MODEL,
    num_heads=6,
    q_rank=7,
    kv_rank=10,
    plain_dim=5,
    rotary_dim=4,
    v_dim=8,
    index_heads=2,
    index_dim=11,
    top_k=5,
)


def dense_latent_out(hidden, weights, config):
    """Output of MLA over all tokens, keys and values expanded: DSA's limit."""
    whole = replace(config, top_k=hidden.shape[1])
    return np.stack([oracle_deepseek.dsa(sequence, weights, whole)[0] for sequence in hidden])


class Case(NamedTuple):
    """A system's toy config, and what it equals when its budget is over the context."""

    config: object  # a small budget: leaves something out of 23 tokens
    whole: tuple = ()  # configs that leave nothing out; none where the system has no such limit
    limit: Callable = dense_out  # (hidden, weights, config) -> the output to equal then


CASES = {
    "dense": Case(dense.DenseConfig(**GQA)),
    "window": Case(
        window.WindowConfig(**GQA, window=5, sinks=2),
        (
            window.WindowConfig(**GQA, window=LENGTH, sinks=0),
            window.WindowConfig(**GQA, window=99),
            window.WindowConfig(**GQA, window=3, sinks=20),
        ),
    ),
    "moba": Case(
        moba.MoBAConfig(**GQA, block_size=5, top_k=2),
        (
            moba.MoBAConfig(**GQA, block_size=5, top_k=5),
            moba.MoBAConfig(**GQA, block_size=4, top_k=40),
            moba.MoBAConfig(**GQA, block_size=30, top_k=1),
        ),
    ),
    "nsa": Case(
        nsa.NSAConfig(
            **GQA,
            value_dim=5,
            compress_length=6,
            compress_stride=2,
            block_size=4,
            top_k=4,
            window=5,
        )
    ),
    "quest": Case(
        quest.QuestConfig(**GQA, page_size=4, top_k=2),
        (
            quest.QuestConfig(**GQA, page_size=4, top_k=6),
            quest.QuestConfig(**GQA, page_size=7, top_k=40),
        ),
    ),
    "infllm": Case(
        infllm.InfLLMConfig(
            **GQA, kernel_size=4, kernel_stride=2, block_size=4, window=4, top_k=2, dense_len=0
        ),
        (
            infllm.InfLLMConfig(
                **GQA, kernel_size=4, kernel_stride=2, block_size=4, window=8, top_k=4, dense_len=0
            ),
            infllm.InfLLMConfig(
                **GQA, kernel_size=6, kernel_stride=3, block_size=6, window=6, top_k=40, dense_len=0
            ),
            infllm.InfLLMConfig(
                **GQA, kernel_size=4, kernel_stride=2, block_size=4, window=4, top_k=1, dense_len=23
            ),
        ),
    ),
    "msa": Case(
        msa.GQAMSAConfig(**GQA, index_dim=6, block_size=5, top_k=2),
        (
            msa.GQAMSAConfig(**GQA, index_dim=6, block_size=5, top_k=5),
            msa.GQAMSAConfig(**GQA, index_dim=4, block_size=3, top_k=40, init_blocks=1),
        ),
    ),
    "dsa": Case(DSA, (replace(DSA, top_k=LENGTH), replace(DSA, top_k=99)), dense_latent_out),
    "csa": Case(csa.CSAConfig(**V4, index_heads=2, index_dim=11, ratio=3, top_k=2)),
    "hca": Case(hca.HCAConfig(**V4, ratio=4)),
}


def make_inputs(name, config=None, *, length=LENGTH, seed=0):
    """System, config, random weights and hidden states of one case."""
    config = CASES[name].config if config is None else config
    generator = np.random.default_rng(seed)
    weights = SYSTEMS[name].init_weights(config, generator)
    hidden = generator.standard_normal((BATCH, length, config.d_model))
    return SYSTEMS[name], config, weights, hidden


def run_in_steps(system, hidden, weights, config, steps):
    """What the system returns for each of these runs of tokens, through one cache."""
    assert sum(steps) == hidden.shape[1]
    cache = system.new_cache(config, len(hidden))
    stops = np.cumsum(steps)
    return [
        system.run(hidden[:, stop - n : stop], weights, config, cache)
        for n, stop in zip(steps, stops)
    ]


def chosen_entries(output, row):
    """For every branch, sequence and head: what query `row` attends to, as (first, last) pairs."""
    return [
        [[set(map(tuple, branch.entries[mask])) for mask in heads] for heads in rows]
        for branch in output.branches
        for rows in [branch.allowed[:, :, row]]
    ]


def check_same_choice(part, whole, positions):
    """The rows of `part` stand at `positions`: they choose as those rows of `whole` do."""
    assert len(part.branches) == len(whole.branches)
    for row, position in enumerate(positions):
        assert chosen_entries(part, row) == chosen_entries(whole, position)
        for branch, same in zip(part.branches, whole.branches):
            assert_close(branch.gate[:, :, row], same.gate[:, :, position], 1e-13)
