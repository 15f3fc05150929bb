"""One toy for the whole family: the same tokens, weights that find what is asked for, one budget.

A made token offers 16 numbers and asks for 16. Keys and all that stands in for keys are made of
offers, queries of asks, so every system's choice means something, though nothing was trained. For
real text the systems on grouped-query attention run on what a model's own layer computed.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from msa_ref import data, dense
from msa_ref.family import (
    SYSTEMS,
    FamilyOutput,
    csa,
    dsa,
    hca,
    infllm,
    moba,
    msa,
    nsa,
    quest,
    window,
)
from msa_ref.family import dense as dense_system
from msa_ref.family.gqa import project_qkv

NUM_TOKENS = 256
WIDTH = 16
D_MODEL = 2 * WIDTH + 1  # offers, asks, and a channel that is always 1
NUM_HEADS, NUM_KV_HEADS = 8, 2
BLOCK = 16
NEEDLE = 100
NUM_RATED = 128  # the last queries, those that count; in the needle text all of them ask for it
BUDGETS = tuple(range(32, NUM_TOKENS + 1, 32))
MADE = ("random", "paragraphs", "needle")
REAL_TEXT = "real text"
REAL_LAYER = 18

NAMES = {
    "dense": "Dense",
    "window": "Window + sinks",
    "moba": "MoBA",
    "quest": "Quest",
    "infllm": "InfLLM-v2",
    "msa": "MSA",
    "nsa": "NSA",
    "dsa": "DSA",
    "csa": "CSA",
    "hca": "HCA",
}
ON_GQA = ("dense", "window", "moba", "quest", "infllm", "msa")


class Seen(NamedTuple):
    """What each head's query reaches of each token: as it is, or only inside a summary."""

    raw: np.ndarray  # bool [H, T, S]
    summary: np.ndarray  # bool [H, T, S], False where raw


class Held(NamedTuple):
    """Share of dense attention's mass that a system reaches, for every query, mean over heads."""

    raw: np.ndarray  # [T]
    summary: np.ndarray  # [T]


def made_tokens(kind: str) -> np.ndarray:
    """Hidden states [1, 256, 33] of a made text: a row offers, asks, and carries a 1.

    "random": nobody offers what anybody asks for. "paragraphs": six topics that come back; a token
    asks for its own. "needle": random, but from token 128 on all ask for what token 100 offers and
    its neighbours offer least.
    """
    rng = np.random.default_rng(MADE.index(kind))
    offers, asks = rng.normal(size=(2, NUM_TOKENS, WIDTH))
    if kind == "paragraphs":
        lengths = rng.integers(10, 36, size=NUM_TOKENS).astype(np.intp)
        topic = np.repeat(rng.integers(6, size=NUM_TOKENS), lengths)[:NUM_TOKENS]
        topics = 1.5 * rng.normal(size=(6, WIDTH))
        offers, asks = topics[topic] + 0.5 * offers, topics[topic] + 0.5 * asks
    elif kind == "needle":
        wanted = rng.normal(size=WIDTH)
        asks[-NUM_RATED:] = wanted + 0.3 * asks[-NUM_RATED:]
        block = NEEDLE // BLOCK * BLOCK
        offers[block : block + BLOCK] -= 0.4 * wanted
        offers[NEEDLE] = 4 * wanted
    return np.concatenate([offers, asks, np.ones((NUM_TOKENS, 1))], axis=1)[None]


def config_of(name: str, budget: int):
    """The system's sizes at which a query reads `budget` tokens or entries, a multiple of 32.

    Where tokens near the query come for free a quarter is theirs; NSA, CSA and HCA read summaries
    of the rest besides. HCA has no budget: its summaries are always all.
    """
    gqa = {
        "d_model": D_MODEL,
        "num_heads": NUM_HEADS,
        "num_kv_heads": NUM_KV_HEADS,
        "head_dim": WIDTH,
        "rope_theta": 1e9,
    }
    latent = {"d_model": D_MODEL, "num_heads": NUM_HEADS, "q_rank": D_MODEL, "rotary_dim": 4}
    shared_kv = latent | {"head_dim": WIDTH, "window": budget // 4}
    index = {"index_heads": 4, "index_dim": WIDTH}
    if name == "dense":
        return dense_system.DenseConfig(**gqa)
    if name == "window":
        return window.WindowConfig(**gqa, window=budget - 4, sinks=4)
    if name == "moba":
        return moba.MoBAConfig(**gqa, block_size=BLOCK, top_k=budget // BLOCK)
    if name == "quest":
        return quest.QuestConfig(**gqa, page_size=BLOCK, top_k=budget // BLOCK)
    if name == "infllm":
        kernel = {"block_size": BLOCK, "kernel_size": 8, "kernel_stride": 4, "dense_len": 0}
        return infllm.InfLLMConfig(**gqa, **kernel, window=BLOCK, top_k=budget // BLOCK - 1)
    if name == "msa":
        return msa.GQAMSAConfig(**gqa, index_dim=WIDTH, block_size=BLOCK, top_k=budget // BLOCK)
    if name == "nsa":
        slices = {"compress_length": 8, "compress_stride": 4, "block_size": 8}
        chosen = {"top_k": 3 * budget // 32, "window": budget // 4, "value_dim": WIDTH}
        return nsa.NSAConfig(**gqa, **slices, **chosen)
    if name == "dsa":
        mla = {"kv_rank": WIDTH, "plain_dim": WIDTH - 4, "v_dim": WIDTH}
        return dsa.DSAConfig(**latent, **mla, **index, top_k=budget)
    if name == "csa":
        return csa.CSAConfig(**shared_kv, **index, ratio=4, top_k=3 * budget // 16)
    return hca.HCAConfig(**shared_kv, ratio=32)


def weights_of(name: str, config) -> dict[str, np.ndarray]:
    """Random weights, but for those that choose: their queries are asks, their keys offers.

    Summaries of keys are plain means; a trained system would learn what to keep.
    """
    rng = np.random.default_rng(0)
    offers, asks, one = np.split(np.eye(D_MODEL), [WIDTH, 2 * WIDTH])
    first, second, index = (np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))[0] for _ in range(3))
    k = np.concatenate([first @ offers, second @ offers])
    q = np.concatenate([first @ asks] * 4 + [second @ asks] * 4)
    q = q + 0.2 * rng.normal(size=q.shape)
    index_q, index_k = index @ asks, index @ offers
    learned = {"q_proj": q, "k_proj": k}
    if name == "msa":
        per_group = np.concatenate([index_q] * 2)
        per_group = per_group + 0.1 * rng.normal(size=per_group.shape)
        learned |= {"idx_q_proj": per_group, "idx_k_proj": index_k}
    elif name == "nsa":
        length = config.compress_length
        learned |= {
            "compress_k_proj": k,
            "compress_k_position": np.zeros((length, WIDTH)),
            "compress_k_up": np.tile(np.eye(WIDTH) / length, length),
            "compress_k_down": np.eye(WIDTH),
            "window_k_proj": k,
        }
    elif name == "dsa":
        learned = {
            "q_a_proj": np.eye(D_MODEL),
            "indexer.wq_b": np.concatenate([index_q] * config.index_heads),
            "indexer.wk": index_k,
            "indexer.weights_proj": np.concatenate([one] * config.index_heads),
        }
    elif name == "csa":
        rows = (config.ratio, 2 * WIDTH)
        learned = {
            "q_a_proj": np.eye(D_MODEL),
            "indexer.q_b_proj": np.concatenate([index_q] * config.index_heads),
            "indexer.kv_proj": np.concatenate([index_k] * 2),
            "indexer.gate_proj": np.zeros((2 * WIDTH, D_MODEL)),
            "indexer.position_bias": np.zeros(rows),
            "indexer.weights_proj": np.concatenate([one] * config.index_heads),
        }
    elif name == "hca":
        learned = {}
    return SYSTEMS[name].init_weights(config, rng) | learned


def run_made(name: str, kind: str, budget: int) -> FamilyOutput:
    """One system on a made text."""
    config = config_of(name, budget)
    return SYSTEMS[name].run(made_tokens(kind), weights_of(name, config), config)


@cache
def real_qkv() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """q of the last 256 tokens and k, v of all 1,024, from one layer of SmolLM2, float64."""
    q, k, v = (array.astype(np.float64) for array in data.load_capture(REAL_LAYER))
    return q[:, :, -NUM_TOKENS:], k, v


def run_real(name: str, budget: int) -> FamilyOutput:
    """One system of ON_GQA on real text.

    SmolLM2 has no index branch. MSA's here is the best that needs no training: a group's index
    query is the mean of its queries, its index key the group's own key.
    """
    q, k, v = real_qkv()
    _, num_heads, num_queries, head_dim = q.shape
    groups = k.shape[1]
    sizes = vars(config_of(name, budget)) | {
        "num_heads": num_heads, "num_kv_heads": groups, "head_dim": head_dim,
    }  # fmt: skip
    if name != "msa":
        config = type(config_of(name, budget))(**sizes)
        return SYSTEMS[name].attend_to(q, k, v, config)
    sizes["index_dim"] = groups * head_dim
    index_q = np.zeros((1, groups, num_queries, groups, head_dim))
    mean_q = q.reshape(1, groups, -1, num_queries, head_dim).mean(axis=2)
    index_q[:, range(groups), :, range(groups)] = mean_q.swapaxes(0, 1)
    index_q = index_q.reshape(1, groups, num_queries, -1)
    index_k = k.swapaxes(1, 2).reshape(1, 1, k.shape[2], -1)
    return msa.attend_to(q, k, v, msa.GQAMSAConfig(**sizes), index_q=index_q, index_k=index_k)


def seen(output: FamilyOutput, num_tokens: int) -> Seen:
    """The tokens that the branches reach together, those of summaries apart."""
    _, num_heads, num_queries, _ = output.branches[0].allowed.shape
    raw, summary = np.zeros((2, num_heads, num_queries, num_tokens), dtype=bool)
    tokens = np.arange(num_tokens)
    for entries, allowed, _ in output.branches:
        single = entries[:, 0] == entries[:, 1]
        raw[..., entries[single, 0]] |= allowed[0][..., single]
        first, last = entries[~single].T[..., None]
        spans = (first <= tokens) & (tokens <= last)
        summary |= allowed[0][..., ~single].astype(np.float32) @ spans.astype(np.float32) > 0
    return Seen(raw, summary & ~raw)


@cache
def queries_and_keys(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """q [1,H,T,d] and k [1,Hkv,S,d] of dense attention on this text."""
    if kind == REAL_TEXT:
        return real_qkv()[:2]
    config = config_of("dense", NUM_TOKENS)
    weights = weights_of("dense", config)
    return project_qkv(made_tokens(kind), weights, config, first_position=0)[:2]


@cache
def attention(kind: str) -> np.ndarray:
    """Weights [H, T, S] of dense attention: the mass that the others try to reach."""
    return dense.attention_weights(*queries_and_keys(kind))[0][0]


def systems_on(kind: str) -> tuple[str, ...]:
    """Names of the systems that can run on this text."""
    return ON_GQA if kind == REAL_TEXT else tuple(NAMES)


@cache
def reach(name: str, kind: str, budget: int) -> Seen:
    """What one system reaches of one text at one budget."""
    if kind == REAL_TEXT:
        return seen(run_real(name, budget), real_qkv()[1].shape[2])
    return seen(run_made(name, kind, budget), NUM_TOKENS)


@cache
def held(name: str, kind: str, budget: int) -> Held:
    """The mass that one system reaches there."""
    weights = attention(kind)
    return Held(*((weights * part).sum(axis=-1).mean(axis=0) for part in reach(name, kind, budget)))


def mean_held(name: str, kind: str, budget: int) -> tuple[float, float]:
    """The two shares of `held`, mean over the queries that count."""
    raw, summary = held(name, kind, budget)
    return float(raw[-NUM_RATED:].mean()), float(summary[-NUM_RATED:].mean())
