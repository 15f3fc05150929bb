"""Two orders of the same work: query by query, and block by block, with every load numbered."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from msa_course import palette
from msa_course.explorer import new_figure
from msa_ref import selection as selecting

ORDERS = ("query-major", "block-major")


def values(selection: np.ndarray, num_blocks: int, order: str) -> np.ndarray:
    """Number of the load, from 1, that serves each (query, block) of a selection [T, k].

    0 where a block is not chosen. Query-major loads a block anew for every query that chose it;
    block-major loads it once and serves all of them. The largest entry is the number of loads.
    """
    chosen = selecting.selection_mask(selection, num_blocks)
    if order == "query-major":
        return np.cumsum(chosen).reshape(chosen.shape) * chosen
    return np.cumsum(chosen.any(axis=0)) * chosen


def draw(axis: Axes, selection: np.ndarray, num_blocks: int, order: str) -> None:
    """One order as a grid of queries and blocks: the path of the work, and the loads in order."""
    load = values(selection, num_blocks, order)
    state = np.where(load > 0, 2, 0)
    axis.pcolormesh(state, cmap=palette.STATES, vmin=0, vmax=3, edgecolors="white", linewidth=0.8)
    by_row = order == "query-major"
    query, block = np.nonzero(load) if by_row else np.nonzero(load.T)[::-1]
    loads = load[query, block]
    loading = np.diff(loads, prepend=0) > 0
    x, y = block + 0.5, query + 0.5
    axis.plot(x, y, color=palette.FORCED, linewidth=1)
    axis.plot(x[~loading], y[~loading], ".", color="white", markersize=5)
    style = {"ha": "center", "va": "center", "fontsize": 9, "weight": "bold", "color": "white"}
    patch = {"facecolor": palette.CHOSEN, "edgecolor": "none", "pad": 0.8}
    for entry in np.flatnonzero(loading):
        axis.text(x[entry], y[entry], f"{loads[entry]}", bbox=patch, **style)
    queries = np.arange(0, len(load), 1 + len(load) // 12)
    axis.set(xticks=np.arange(num_blocks) + 0.5, xticklabels=range(num_blocks), xlabel="block")
    axis.set(yticks=queries + 0.5, yticklabels=queries, ylabel="query", ylim=(len(load), 0))
    axis.set_title(f"{order}: {load.max()} loads")


def render(selection: np.ndarray, num_blocks: int) -> Figure:
    """Both orders side by side, the loads numbered where they happen."""
    figure = new_figure(8.4, 4.6)
    for axis, order in zip(figure.subplots(1, 2, sharey=True), ORDERS):
        draw(axis, selection, num_blocks, order)
    return figure
