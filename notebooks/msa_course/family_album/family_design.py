"""The design explorer: what a selector of any unit, proxy and budget holds and costs.

Mass is measured on the texts of `family_toy`, with one query for each group, the mean of its
heads', and the query's own unit forced. Cost is that of a decode step at the text's length
in MiniMax-M3's heads, as a share of dense attention's.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from msa_course.family_album import family_toy as toy
from msa_ref import dense, selection
from msa_ref.config import M3
from msa_ref.systems_cost import BF16_BYTES, Entries, LayerCost
from msa_ref.systems_cost import dense as dense_layer

UNITS = (1, 2, 4, 8, 16, 32)
PROXIES = ("position", "mean key", "bound", "index key")


class Design(NamedTuple):
    """Mass that a selector holds, and its decode cost as shares of dense attention's."""

    mass: float
    bytes: float
    flops: float


class Designs(NamedTuple):
    """Every design by (proxy, unit) on one text at one budget, and which of them is asked about."""

    kind: str
    budget: int
    chosen: tuple[str, int]
    designs: dict[tuple[str, int], Design]


def proxy_scores(q: np.ndarray, k: np.ndarray, proxy: str, unit: int) -> np.ndarray:
    """Scores [1,G,T,units] by which queries q [1,G,T,d] rank the units of keys k [1,G,S,d]."""
    first = np.arange(0, k.shape[2], unit)
    if proxy == "position":
        return np.broadcast_to(first.astype(float), (*q.shape[:3], len(first)))
    if proxy == "index key":
        scores = np.where(dense.causal_mask(q.shape[2], k.shape[2]), q @ k.swapaxes(2, 3), -np.inf)
        return np.maximum.reduceat(scores, first, axis=-1)
    if proxy == "mean key":
        sizes = np.diff(np.append(first, k.shape[2]))[:, None]
        return q @ (np.add.reduceat(k, first, axis=2) / sizes).swapaxes(2, 3)
    low, high = (bound.reduceat(k, first, axis=2) for bound in (np.minimum, np.maximum))
    return np.maximum(q, 0) @ high.swapaxes(2, 3) + np.minimum(q, 0) @ low.swapaxes(2, 3)


@cache
def mass_held(kind: str, proxy: str, unit: int, budget: int) -> float:
    """Share of dense attention's mass in the chosen units, mean over groups and counted queries."""
    q, k = toy.queries_and_keys(kind)
    groups, num_keys = k.shape[1:3]
    mean_q = q.reshape(1, groups, -1, *q.shape[2:]).mean(axis=2)[:, :, -toy.NUM_RATED :]
    chosen = selection.select_blocks(
        proxy_scores(mean_q, k, proxy, unit),
        top_k=budget // unit,
        block_size=unit,
        num_keys=num_keys,
    )
    weights = toy.attention(kind)[None, :, -toy.NUM_RATED :]
    mass = selection.block_mass(weights, num_kv_heads=groups, block_size=unit)
    return float(selection.captured_mass(chosen, mass).mean())


def layer_cost(proxy: str, unit: int, budget: int) -> LayerCost:
    """The decode cost of such a selector in M3's heads: what its proxy scans, and the tokens read.

    The index key is one for all groups; means and bounds are made of every group's own keys.
    """
    groups, dim = M3.num_kv_heads, M3.head_dim
    tokens = dense_layer(M3.num_heads, groups, dim).entries[0]._replace(most=budget)
    dot, key = 2 * groups * dim, dim * BF16_BYTES
    scanned = {
        "position": (),
        "mean key": (Entries(dot, groups * key, stride=unit),),
        "bound": (Entries(2 * dot, 2 * groups * key, stride=unit),),
        "index key": (Entries(dot, key),),
    }
    return LayerCost(
        f"{proxy}, units of {unit}", "a design of one's own", (*scanned[proxy], tokens)
    )


def design(kind: str, proxy: str, unit: int, budget: int) -> Design:
    """Mass and cost of one design."""
    num_keys = toy.queries_and_keys(kind)[1].shape[2]
    layer, whole = layer_cost(proxy, unit, budget), dense_layer(M3.num_heads, M3.num_kv_heads)
    return Design(
        mass_held(kind, proxy, unit, budget),
        layer.decode_bytes(num_keys) / whole.decode_bytes(num_keys),
        layer.decode_flops(num_keys) / whole.decode_flops(num_keys),
    )


def compute(kind: str, proxy: str, unit: int, budget: int) -> Designs:
    """One design among all proxies and units of its text and budget."""
    designs = {(p, u): design(kind, p, u, budget) for p in PROXIES for u in UNITS}
    return Designs(kind, budget, (proxy, unit), designs)


def describe(space: Designs) -> str:
    """What the design holds and costs, and whether another of its budget holds more for less."""
    (proxy, unit), mine = space.chosen, space.designs[space.chosen]
    better = [
        (other.mass, key)
        for key, other in space.designs.items()
        if other.mass > mine.mass and other.bytes <= mine.bytes and other.flops <= mine.flops
    ]
    verdict = "No design of this budget holds more for as little."
    if better:
        mass, (name, size) = max(better)
        verdict = f"{name.capitalize()} with units of {size} holds {mass:.0%} for no more."
    return (
        f"Text \u201c{space.kind}\u201d: {proxy}, units of {unit}, {space.budget} tokens a query. "
        f"Holds {mine.mass:.0%} of the mass for {mine.bytes:.0%} of dense attention's bytes and "
        f"{mine.flops:.0%} of its FLOPs. {verdict}"
    )
