"""Pictures of a Triton grid: memory by program, the lanes of one program, who wrote a cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.patches import Patch, Rectangle

from msa_course import palette
from msa_course.explorer import Explorer, choice, new_figure, slider
from msa_course.machine_and_triton.triton_tiles import (
    LARGEST,
    PROGRAMS,
    WIDTHS,
    Tile,
    compute,
    describe,
)

if TYPE_CHECKING:
    from jaxtyping import Int64
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LIGHT_TEXT = {palette.CHOSEN, palette.MISSED}


def draw_memory(ax: Axes, tile: Tile, *, size: float = 7) -> None:
    """The array as a strip of cells with what lies behind it, the program's own cells coloured."""
    covered = tile.num_programs * tile.width
    live, stray = set(tile.index[tile.mask]), set(tile.index[~tile.mask])
    for address in range(covered):
        inside = address < tile.num_elements
        style = {"facecolor": palette.HIDDEN if inside else "white"}
        if address in live:
            style = {"facecolor": palette.CHOSEN}
        elif address in stray:
            style = {"facecolor": palette.MISSED}
        if not inside:
            style |= {"linestyle": ":"}
        _cell(ax, address, 0, str(address), size=size, **style)
    for start in range(0, covered, tile.width):
        name = start // tile.width
        weight = "bold" if name == tile.program else "normal"
        ax.text(start + tile.width / 2, 1.12, str(name), ha="center", size=8, weight=weight)
        if start:
            ax.plot([start, start], [-0.25, 1.6], color=palette.INK, linewidth=1)
    ax.plot([tile.num_elements] * 2, [-0.45, 1], color=palette.MISSED, linewidth=2.5)
    ax.set(xlim=(-0.1, covered + 0.1), ylim=(-0.5, 1.75), yticks=[], xticks=[])
    ax.spines[:].set_visible(False)


def _cell(ax, x, y, text, *, facecolor, size=8, **style):
    edge = {"edgecolor": palette.GREY, "linewidth": 0.7} | style
    ax.add_patch(Rectangle((x, y), 1, 1, facecolor=facecolor, **edge))
    colour = "white" if facecolor in LIGHT_TEXT else palette.INK
    ax.text(x + 0.5, y + 0.47, text, ha="center", va="center", size=size, color=colour)


def _draw_lanes(ax: Axes, tile: Tile) -> None:
    """A table with one column a lane: index, mask, and what the two kinds of load give."""
    titles = ["index", "index < N", "masked load", "unmasked load"]
    for lane, (index, live) in enumerate(zip(tile.index, tile.mask)):
        own = palette.CHOSEN if live else "white"
        wild = palette.CHOSEN if live else palette.MISSED
        _cell(ax, lane, 3, str(index), facecolor=palette.HIDDEN)
        _cell(ax, lane, 2, "yes" if live else "no", facecolor=own)
        _cell(ax, lane, 1, f"x[{index}]" if live else "other", facecolor=own)
        _cell(ax, lane, 0, f"x[{index}]" if live else "?", facecolor=wild)
    ax.set(xlim=(-0.1, max(8, tile.width) + 0.1), ylim=(-0.1, 4.1))
    ax.set_xlabel("lane", loc="left")
    ax.set_yticks([3.5, 2.5, 1.5, 0.5], titles)
    ax.set_xticks(np.arange(tile.width) + 0.5, np.arange(tile.width))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def draw(tile: Tile) -> Figure:
    """The strip of memory above the table of the program's lanes."""
    fig = new_figure(9, 4.3, layout="none")
    memory, lanes = fig.subplots(
        2, 1, height_ratios=[1, 2.1],
        gridspec_kw={"left": 0.13, "right": 0.985, "top": 0.9, "bottom": 0.2, "hspace": 0.5},
    )  # fmt: skip
    draw_memory(memory, tile)
    memory.set_title(
        f"{tile.num_elements} elements in tiles of {tile.width}: {tile.grid}, cells are indices"
    )
    memory.set_ylabel("memory", rotation=0, ha="right", va="center")
    if tile.launched:
        _draw_lanes(lanes, tile)
        lanes.set_title(f"The lanes of program {tile.program}")
    else:
        lanes.set_axis_off()
        lanes.text(0.5, 0.5, f"Program {tile.program} is not launched", ha="center", size=11)
    handles = [
        Patch(facecolor=palette.CHOSEN, label="read by this program"),
        Patch(facecolor=palette.MISSED, label="not its business: an unmasked load reads it"),
        Patch(facecolor=palette.HIDDEN, edgecolor=palette.GREY, label="another program's"),
    ]
    fig.legend(handles=handles, loc="lower center", ncols=3)
    return fig


def draw_owners(ax: Axes, owner: Int64[np.ndarray, "R C"]) -> None:
    """A matrix as cells that hold the number of the program that wrote them."""
    for (row, column), program in np.ndenumerate(owner):
        colour = "white" if program < 0 else palette.LINES[int(program) % len(palette.LINES)]
        box = Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=colour, alpha=0.45, linewidth=0)
        ax.add_patch(box)
        ax.text(column, row, str(program), ha="center", va="center", size=9)
    rows, columns = owner.shape
    ax.set(xlim=(-0.55, columns - 0.45), ylim=(rows - 0.45, -0.55), aspect="equal")
    ax.set(xlabel="column", ylabel="row", xticks=range(columns), yticks=range(rows))


def explorer() -> Explorer:
    """The explorer: how many elements, how wide a tile, which program."""
    return Explorer(
        "What one Triton program touches",
        compute,
        draw,
        describe,
        num_elements=slider("Elements (N)", 13, 1, LARGEST),
        width=choice("Tile width", WIDTHS, 4),
        program=slider("Program id", 3, 0, PROGRAMS - 1),
    )
