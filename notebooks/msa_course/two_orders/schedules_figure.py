"""Two orders of the same work, drawn as paths over a grid of queries and blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import ListedColormap

from msa_course import palette
from msa_course.two_orders.schedules import loads

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PALE = "#CBE4F4"  # a chosen block behind dark numbers


def draw_order(ax: Axes, selection: np.ndarray, num_blocks: int, order: str) -> None:
    """One order as a grid of queries and blocks: the path of the work, and the loads in order."""
    load = loads(selection, num_blocks, order)
    fills = ListedColormap([palette.HIDDEN, PALE])
    ax.pcolormesh(load > 0, cmap=fills, vmin=0, vmax=1, edgecolors="white", linewidth=0.8)
    by_row = order == "query-major"
    query, block = np.nonzero(load) if by_row else np.nonzero(load.T)[::-1]
    numbers = load[query, block]
    loading = np.diff(numbers, prepend=0) > 0
    x, y = block + 0.5, query + 0.5
    ax.plot(x, y, color=palette.CHOSEN, linewidth=1)
    ax.plot(x[~loading], y[~loading], "o", color=palette.CHOSEN, markersize=3.5)
    style = {"ha": "center", "va": "center", "fontsize": 8.5, "weight": "bold"}
    patch = {"facecolor": "white", "edgecolor": palette.CHOSEN, "pad": 1.2, "linewidth": 0.8}
    for entry in np.flatnonzero(loading):
        ax.text(x[entry], y[entry], f"{numbers[entry]}", bbox=patch, **style)
    queries = np.arange(0, len(load), 1 + len(load) // 12)
    ax.set(xticks=np.arange(num_blocks) + 0.5, xticklabels=range(num_blocks), xlabel="block")
    ax.set(yticks=queries + 0.5, yticklabels=queries, ylabel="query", ylim=(len(load), 0))
    ax.set_title(f"{order}: {load.max()} loads")
