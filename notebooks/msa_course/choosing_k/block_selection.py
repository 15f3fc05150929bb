"""The block-selection explorer: which blocks a query reads, and what that leaves out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from msa_ref import dense, scoring, selection

BLOCK_SIZES = (4, 8, 12, 16)
NUM_TOKENS, NUM_GROUPS, GROUP_SIZE, HEAD_DIM = 60, 2, 4, 16
HIDDEN, VISIBLE, CHOSEN, FORCED = range(4)  # the order of palette.STATES


@dataclass(frozen=True, eq=False)
class Steps:
    """What one KV group does, step by step: arrays with a row for every query.

    Compared and hashed by identity, so that a picture of it can be cached.
    """

    block_size: int
    top_k: int
    token_scores: np.ndarray  # [T, S], -inf in the future
    block_scores: np.ndarray  # [T, nb]
    selection: np.ndarray  # [T, k]
    states: np.ndarray  # [T, nb]: HIDDEN, VISIBLE, CHOSEN or FORCED
    dense: np.ndarray  # [T, S] weights of dense attention, mean over the group's heads
    sparse: np.ndarray  # [T, S] weights over the chosen tokens alone, mean over the heads
    mass: np.ndarray  # [T, nb] dense weights summed in blocks
    ideal: np.ndarray  # [T, k] the best selection there is: by mass

    def per_token(self, of_blocks: np.ndarray) -> np.ndarray:
        """Values of blocks, repeated for every token they hold."""
        return np.repeat(of_blocks, self.block_size, axis=-1)[..., :NUM_TOKENS]


@cache
def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """q, k, index_q, index_k of a text of 60 tokens on six topics, the same on every call.

    Keys point to their topic; the queries of group 0 look for their own topic, those of group 1
    for another. The index sees the keys' strongest directions through some noise, as a trained
    index would: well, but not perfectly.
    """
    rng = np.random.default_rng(26)
    topics, size = 6, (NUM_GROUPS, GROUP_SIZE, NUM_TOKENS, HEAD_DIM)
    paragraphs = rng.permutation(np.arange(24) % topics)
    lengths = rng.integers(3, 8, 24).astype(np.intp)  # in a 32-bit Python repeat takes no int64
    topic = np.repeat(paragraphs, lengths)[:NUM_TOKENS]
    sought = np.stack([topic, (topic + 1) % topics])
    axes = np.linalg.qr(rng.normal(size=(NUM_GROUPS, HEAD_DIM, HEAD_DIM)))[0][:, :topics]
    strength = rng.uniform(1.6, 4.6, (NUM_GROUPS, NUM_TOKENS, 1))
    k = axes[:, topic] * strength + rng.normal(scale=0.35, size=(NUM_GROUPS, NUM_TOKENS, HEAD_DIM))
    aims = axes[np.arange(NUM_GROUPS)[:, None], sought] * 3.6
    q = aims[:, None] + rng.normal(scale=0.9, size=size)
    index_q, index_k = index_view(q[None], k[None], rank=HEAD_DIM // NUM_GROUPS)
    # A draw in which the index is right about three blocks of four or more, in either group.
    index_k += np.random.default_rng(64).normal(scale=0.6, size=index_k.shape)
    return q.reshape(1, -1, NUM_TOKENS, HEAD_DIM), k[None], index_q, index_k


def index_view(q: np.ndarray, k: np.ndarray, *, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Index queries [B,Hkv,T,di] and one index key head [B,1,S,di] that mirror the main heads.

    `q` is [B,Hkv,G,T,d]. Each group owns `rank` of the di = Hkv * rank channels; there its keys
    are seen along their strongest directions, and its index query is its heads' mean query.
    """
    directions = np.linalg.svd(k, full_matrices=False)[2][:, :, :rank].swapaxes(-1, -2)
    # A singular vector's sign is the library's choice; here its largest channel is positive.
    largest = np.abs(directions).argmax(axis=-2, keepdims=True)
    directions = directions * np.sign(np.take_along_axis(directions, largest, axis=-2))
    index_k = np.concatenate(list((k @ directions).swapaxes(0, 1)), axis=-1)[:, None]
    mean_q = q.mean(axis=2) @ directions
    index_q = np.zeros((*mean_q.shape[:3], index_k.shape[-1]))
    for group in range(k.shape[1]):
        index_q[:, group, :, group * rank : (group + 1) * rank] = mean_q[:, group]
    return index_q, index_k


@cache
def steps(
    *, group: int, top_k: int, block_size: int, init_blocks: int = 0, local_blocks: int = 1
) -> Steps:
    """Every step of one group's selection; `top_k` is raised to hold the forced blocks."""
    q, k, index_q, index_k = scene()
    heads = slice(group * GROUP_SIZE, (group + 1) * GROUP_SIZE)
    top_k = max(top_k, init_blocks + local_blocks)
    index_q = index_q[:, [group]]
    block_scores = scoring.block_scores(index_q, index_k, block_size=block_size)
    weights, _ = dense.attention_weights(q[:, heads], k[:, [group]])
    mass = selection.block_mass(weights, num_kv_heads=1, block_size=block_size)
    options = {
        "top_k": top_k,
        "block_size": block_size,
        "num_keys": NUM_TOKENS,
        "init_blocks": init_blocks,
        "local_blocks": local_blocks,
    }
    chosen = selection.select_blocks(block_scores, **options)
    ideal = selection.select_blocks(mass, **options)
    nb = mass.shape[-1]
    read = selection.selection_mask(chosen, nb)[0, 0]
    forced = selection.forced_blocks(
        np.arange(NUM_TOKENS),
        nb,
        block_size=block_size,
        init_blocks=init_blocks,
        local_blocks=local_blocks,
    )
    visible = block_scores[0, 0] > -np.inf
    states = np.where(visible, VISIBLE, HIDDEN) + read + forced
    kept = weights[0] * np.repeat(read, block_size, axis=-1)[:, :NUM_TOKENS]
    sparse = kept / kept.sum(axis=-1, keepdims=True)
    return Steps(
        block_size,
        top_k,
        scoring.token_scores(index_q, index_k)[0, 0],
        block_scores[0, 0],
        chosen[0, 0],
        states,
        weights[0].mean(axis=0),
        sparse.mean(axis=0),
        mass[0, 0],
        ideal[0, 0],
    )


def heaviest_left_out(steps: Steps, query: int) -> tuple[int, float]:
    """The visible block with the most mass that the query does not read, and its mass, or 0."""
    mass = np.where(steps.states[query] == VISIBLE, steps.mass[query], 0)
    return int(mass.argmax()), float(mass.max())


class Selected(NamedTuple):
    """One query of one group among the steps of that group."""

    query: int
    group: int
    asked_top_k: int  # before it is raised to hold the forced blocks
    steps: Steps


def compute(*, query: int, group: int, top_k: int, **setting: int) -> Selected:
    """The steps of one group's selection, with one query to look at; `setting` as in `steps`."""
    return Selected(query, group, top_k, steps(group=group, top_k=top_k, **setting))


def describe(selected: Selected) -> str:
    """Which blocks this query reads, what they hold, and the heaviest one it leaves out."""
    query, group, asked, steps = selected
    block_size = steps.block_size
    own, num_visible = query // block_size, query + 1
    chosen = [int(block) for block in steps.selection[query] if block >= 0]
    raised = f"k is raised to {steps.top_k} to hold the forced blocks. "
    who = f"{raised if steps.top_k > asked else ''}Query {query} of group {group}"
    if own == 0:
        return f"{who} sees its own block, 0, alone and reads it: this is dense attention."
    if len(chosen) == own + 1:
        return f"{who} sees {own + 1} blocks and reads them all: this is dense attention."
    others = [block for block in chosen if block != own]
    forced = steps.states[query] == FORCED
    names = ", ".join(f"{block} (forced)" if forced[block] else str(block) for block in others)
    listed = f"block{'s' * (len(others) > 1)} {names}"
    if own not in chosen:
        listed = f"{listed} and not its own, {own}"
    else:
        listed = f"{listed} and its own, {own}" if others else f"its own block, {own}, alone"
    tokens = sum(min(block_size, num_visible - block * block_size) for block in chosen)
    mass = steps.mass[query]
    missed, share = heaviest_left_out(steps, query)
    best = f"the best {len(chosen)} blocks" if len(chosen) > 1 else "the best block"
    return (
        f"{who} reads {listed}: {tokens} of the {num_visible} tokens it sees. They hold "
        f"{mass[chosen].sum():.0%} of its attention; {best} would hold "
        f"{mass[steps.ideal[query]].sum():.0%}. The heaviest block left out is "
        f"{missed}, with {share:.0%}."
    )
