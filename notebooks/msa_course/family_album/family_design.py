"""The design explorer: what a selector of any unit, proxy and budget holds and costs.

Mass is measured on the texts of `family_toy`, with one query for each group, the mean of its
heads', and the query's own unit forced. Cost is that of a decode step at the text's length
in MiniMax-M3's heads, as a share of dense attention's.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from msa_course import palette
from msa_course.explorer import Explorer, choice, new_figure, slider
from msa_course.family_album import family_toy as toy
from msa_ref import dense, selection
from msa_ref.config import M3
from msa_ref.systems_cost import BF16_BYTES, Entries, LayerCost
from msa_ref.systems_cost import dense as dense_layer

UNITS = (1, 2, 4, 8, 16, 32)
# How a proxy is drawn, and whom it is like.
PROXIES = {
    "position": (palette.GREY, "D", "window, no sinks"),
    "mean key": (palette.LINES[2], "s", "MoBA"),
    "bound": (palette.FORCED, "^", "Quest"),
    "index key": (palette.CHOSEN, "o", "MSA, had it learned all"),
}


class Design(NamedTuple):
    """Mass that a selector holds, and its decode cost as shares of dense attention's."""

    mass: float
    bytes: float
    flops: float


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


def values(kind: str, proxy: str, unit: int, budget: int) -> Design:
    """Mass and cost of one design."""
    num_keys = toy.queries_and_keys(kind)[1].shape[2]
    layer, whole = layer_cost(proxy, unit, budget), dense_layer(M3.num_heads, M3.num_kv_heads)
    return Design(
        mass_held(kind, proxy, unit, budget),
        layer.decode_bytes(num_keys) / whole.decode_bytes(num_keys),
        layer.decode_flops(num_keys) / whole.decode_flops(num_keys),
    )


def draw_designs(axes, kind: str, budget: int, cost: str, mine: tuple | None = None) -> None:
    """Draw mass against one cost ("bytes" or "flops") of every design with this budget.

    A line for each proxy, a dot for each unit, the larger the unit; `mine` (proxy, unit) is ringed.
    """
    for proxy, (colour, marker, like) in PROXIES.items():
        dots = [values(kind, proxy, unit, budget) for unit in UNITS]
        # Logarithms on a plain axis, because a log axis is slow to draw.
        spent = np.log2([getattr(dot, cost) for dot in dots])
        mass = [dot.mass for dot in dots]
        look = {"color": colour, "marker": marker}
        axes.plot(spent, mass, linewidth=1, label=f"{proxy} ({like})", **look)
        axes.scatter(spent, mass, s=[20 + 4 * unit for unit in UNITS], alpha=0.7, **look)
    if mine is not None:
        design = values(kind, *mine, budget)
        ring = {"markersize": 19, "markerfacecolor": "none", "color": palette.INK, "linewidth": 2}
        axes.plot(np.log2(getattr(design, cost)), design.mass, "o", **ring)
    low, high = axes.get_xlim()
    places = np.arange(np.ceil(low), np.floor(high) + 1)
    axes.set_xticks(places, [f"{2**place:.1%}" for place in places])
    axes.set(ylim=(0, 1.06))


def render(kind: str, proxy: str, unit: int, budget: int) -> Figure:
    """Mass against bytes and against FLOPs: the design in question among all of its budget."""
    figure = new_figure(8.4, 4.2, layout="none")
    panels = [figure.add_axes((left, 0.12, 0.42, 0.71)) for left in (0.07, 0.565)]
    for axes, cost in zip(panels, ("bytes", "flops"), strict=True):
        draw_designs(axes, kind, budget, cost, (proxy, unit))
    panels[0].set(xlabel="bytes of a decode step, share of dense's", ylabel="mass held")
    panels[1].set(xlabel="FLOPs of a decode step, share of dense's")
    panels[0].set_title(f"{kind}, budget {budget}; your design is ringed", size=10)
    panels[1].set_title("the larger the dot, the larger the unit", size=10)
    handles, labels = panels[0].get_legend_handles_labels()
    place = {"loc": "upper left", "bbox_to_anchor": (0.05, 1.01), "ncols": 4, "fontsize": 9}
    figure.legend(handles, labels, **place, columnspacing=1, handletextpad=0.4)
    return figure


def words(kind: str, proxy: str, unit: int, budget: int) -> str:
    """What the design holds and costs, and whether another of its budget holds more for less."""
    mine = values(kind, proxy, unit, budget)
    others = {(name, size): values(kind, name, size, budget) for name in PROXIES for size in UNITS}
    better = [
        (other.mass, key)
        for key, other in others.items()
        if other.mass > mine.mass and other.bytes <= mine.bytes and other.flops <= mine.flops
    ]
    verdict = "No design of this budget holds more for as little."
    if better:
        mass, (name, size) = max(better)
        verdict = f"{name.capitalize()} with units of {size} holds {mass:.0%} for no more."
    return (
        f"Text \u201c{kind}\u201d: {proxy}, units of {unit}, {budget} tokens a query. Holds "
        f"{mine.mass:.0%} of the mass for {mine.bytes:.0%} of dense attention's bytes and "
        f"{mine.flops:.0%} of its FLOPs. {verdict}"
    )


def explorer() -> Explorer:
    """Design your own selector, and see it among all others of its budget."""
    return Explorer(
        "Design your own",
        render,
        words,
        kind=choice("text", (*toy.MADE, toy.REAL_TEXT), toy.REAL_TEXT),
        proxy=choice("proxy", tuple(PROXIES), "mean key"),
        unit=choice("unit (tokens)", UNITS, 16),
        budget=slider("budget (tokens)", 64, toy.BUDGETS[0], toy.BUDGETS[-1], 32),
    )
