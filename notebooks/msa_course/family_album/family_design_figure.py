"""Pictures of selectors by unit and proxy: mass against bytes and FLOPs."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from msa_course import palette
from msa_course.explorer import Explorer, choice, new_figure, slider
from msa_course.family_album import family_toy as toy
from msa_course.family_album.family_design import PROXIES, UNITS, Designs, compute, describe

# How a proxy is drawn, and which system's it is like.
LOOKS = {
    "position": (palette.GREY, "D", "window, no sinks"),
    "mean key": (palette.LINES[2], "s", "MoBA"),
    "bound": (palette.FORCED, "^", "Quest"),
    "index key": (palette.CHOSEN, "o", "MSA, had it learned all"),
}


def draw_designs(ax: Axes, space: Designs, cost: str) -> None:
    """Draw mass against one cost ("bytes" or "flops") of every design with this budget.

    A line for each proxy, a dot for each unit, the larger the unit; the chosen design is ringed.
    """
    for proxy, (colour, marker, like) in LOOKS.items():
        designs = [space.designs[proxy, unit] for unit in UNITS]
        # Logarithms on a plain axis, because a log axis is slow to draw.
        spent = np.log2([getattr(design, cost) for design in designs])
        mass = [design.mass for design in designs]
        look = {"color": colour, "marker": marker}
        ax.plot(spent, mass, linewidth=1, label=f"{proxy} ({like})", **look)
        ax.scatter(spent, mass, s=[20 + 4 * unit for unit in UNITS], alpha=0.7, **look)
    mine = space.designs[space.chosen]
    ring = {"markersize": 19, "markerfacecolor": "none", "color": palette.INK, "linewidth": 2}
    ax.plot(np.log2(getattr(mine, cost)), mine.mass, "o", **ring)
    low, high = ax.get_xlim()
    places = np.arange(np.ceil(low), np.floor(high) + 1)
    ax.set_xticks(places, [f"{2**place:.1%}" for place in places])
    ax.set(ylim=(0, 1.06))


def draw(space: Designs) -> Figure:
    """Mass against bytes and against FLOPs: the design in question among all of its budget."""
    fig = new_figure(8.4, 4.2, layout="none")
    panels = [fig.add_axes((left, 0.12, 0.42, 0.71)) for left in (0.07, 0.565)]
    for ax, cost in zip(panels, ("bytes", "flops"), strict=True):
        draw_designs(ax, space, cost)
    panels[0].set(xlabel="bytes of a decode step, share of dense's", ylabel="mass held")
    panels[1].set(xlabel="FLOPs of a decode step, share of dense's")
    panels[0].set_title(f"{space.kind}, budget {space.budget}; your design is ringed", size=10)
    panels[1].set_title("the larger the dot, the larger the unit", size=10)
    handles, labels = panels[0].get_legend_handles_labels()
    place = {"loc": "upper left", "bbox_to_anchor": (0.05, 1.01), "ncols": 4, "fontsize": 9}
    fig.legend(handles, labels, **place, columnspacing=1, handletextpad=0.4)
    return fig


def explorer() -> Explorer:
    """Design your own selector, and see it among all others of its budget."""
    return Explorer(
        "Design your own",
        compute,
        draw,
        describe,
        kind=choice("text", (*toy.MADE, toy.REAL_TEXT), toy.REAL_TEXT),
        proxy=choice("proxy", PROXIES, "mean key"),
        unit=choice("unit (tokens)", UNITS, 16),
        budget=slider("budget (tokens)", 64, toy.BUDGETS[0], toy.BUDGETS[-1], 32),
    )
