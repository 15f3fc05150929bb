"""Explorer of a one-dimensional Triton grid: what one program touches, masked and unmasked."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.patches import Patch, Rectangle

from msa_course import palette
from msa_course.explorer import Explorer, choice, new_figure, slider

if TYPE_CHECKING:
    from jaxtyping import Bool, Int64
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LARGEST = 32
WIDTHS = [(str(width), width) for width in (2, 4, 8, 16)]
PROGRAMS = 8
LIGHT_TEXT = {palette.CHOSEN, palette.MISSED}


class Tile(NamedTuple):
    """What program `program` of a grid touches; without lanes where the grid has no such program.

    Lane l of program p works on index p * width + l; its mask is index < num_elements.
    """

    num_elements: int
    width: int
    program: int
    num_programs: int
    index: Int64[np.ndarray, "W"]
    mask: Bool[np.ndarray, "W"]

    @property
    def launched(self) -> bool:
        """True where the grid has this program."""
        return self.program < self.num_programs


def values(*, num_elements: int, width: int, program: int) -> Tile:
    """The lanes of one program when ceil(num_elements / width) programs are launched."""
    num_programs = -(-num_elements // width)
    lanes = np.arange(width) if program < num_programs else np.arange(0)
    index = program * width + lanes
    return Tile(num_elements, width, program, num_programs, index, index < num_elements)


def draw_memory(axes: Axes, tile: Tile, *, size: float = 7) -> None:
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
        _cell(axes, address, 0, str(address), size=size, **style)
    for start in range(0, covered, tile.width):
        name = start // tile.width
        weight = "bold" if name == tile.program else "normal"
        axes.text(start + tile.width / 2, 1.12, str(name), ha="center", size=8, weight=weight)
        if start:
            axes.plot([start, start], [-0.25, 1.6], color=palette.INK, linewidth=1)
    axes.plot([tile.num_elements] * 2, [-0.45, 1], color=palette.MISSED, linewidth=2.5)
    axes.set(xlim=(-0.1, covered + 0.1), ylim=(-0.5, 1.75), yticks=[], xticks=[])
    axes.spines[:].set_visible(False)


def _cell(axes, x, y, text, *, facecolor, size=8, **style):
    edge = {"edgecolor": palette.GREY, "linewidth": 0.7} | style
    axes.add_patch(Rectangle((x, y), 1, 1, facecolor=facecolor, **edge))
    colour = "white" if facecolor in LIGHT_TEXT else palette.INK
    axes.text(x + 0.5, y + 0.47, text, ha="center", va="center", size=size, color=colour)


def _draw_lanes(axes, tile):
    """A table with one column a lane: index, mask, and what the two kinds of load give."""
    titles = ["index", "index < N", "masked load", "unmasked load"]
    for lane, (index, live) in enumerate(zip(tile.index, tile.mask)):
        own = palette.CHOSEN if live else "white"
        wild = palette.CHOSEN if live else palette.MISSED
        _cell(axes, lane, 3, str(index), facecolor=palette.HIDDEN)
        _cell(axes, lane, 2, "yes" if live else "no", facecolor=own)
        _cell(axes, lane, 1, f"x[{index}]" if live else "other", facecolor=own)
        _cell(axes, lane, 0, f"x[{index}]" if live else "?", facecolor=wild)
    axes.set(xlim=(-0.1, max(8, tile.width) + 0.1), ylim=(-0.1, 4.1))
    axes.set_xlabel("lane", loc="left")
    axes.set_yticks([3.5, 2.5, 1.5, 0.5], titles)
    axes.set_xticks(np.arange(tile.width) + 0.5, np.arange(tile.width))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def render(*, num_elements: int, width: int, program: int) -> Figure:
    """The strip of memory above the table of the program's lanes."""
    tile = values(num_elements=num_elements, width=width, program=program)
    figure = new_figure(9, 4.3, layout="none")
    memory, lanes = figure.subplots(
        2, 1, height_ratios=[1, 2.1],
        gridspec_kw={"left": 0.13, "right": 0.985, "top": 0.9, "bottom": 0.2, "hspace": 0.5},
    )  # fmt: skip
    draw_memory(memory, tile)
    grid = _grid(tile.num_programs)
    memory.set_title(f"{num_elements} elements in tiles of {width}: {grid}, cells are indices")
    memory.set_ylabel("memory", rotation=0, ha="right", va="center")
    if tile.launched:
        _draw_lanes(lanes, tile)
        lanes.set_title(f"The lanes of program {program}")
    else:
        lanes.set_axis_off()
        lanes.text(0.5, 0.5, f"Program {program} is not launched", ha="center", size=11)
    handles = [
        Patch(facecolor=palette.CHOSEN, label="read by this program"),
        Patch(facecolor=palette.MISSED, label="not its business: an unmasked load reads it"),
        Patch(facecolor=palette.HIDDEN, edgecolor=palette.GREY, label="another program's"),
    ]
    figure.legend(handles=handles, loc="lower center", ncols=3)
    return figure


def words(*, num_elements: int, width: int, program: int) -> str:
    """Which elements the program touches, which lanes are masked, what unmasked would read."""
    tile = values(num_elements=num_elements, width=width, program=program)
    start = f"{num_elements} elements in tiles of {width} take {_grid(tile.num_programs)}. "
    if not tile.launched:
        return start + f"Program {program} is not launched: the last is {tile.num_programs - 1}."
    live, stray = tile.index[tile.mask], tile.index[~tile.mask]
    touched = f"Program {program} touches {_span(live, 'element')}; "
    if stray.size == 0:
        return start + touched + "no lane is masked, and an unmasked version would be right too."
    lanes = _span(np.flatnonzero(~tile.mask), "lane")
    verb = "is" if stray.size == 1 else "are"
    outside = _span(stray, "address", "addresses")
    return start + touched + f"{lanes} {verb} masked, and an unmasked version would read {outside}."


def _grid(num_programs):
    return "1 program" if num_programs == 1 else f"{num_programs} programs"


def _span(numbers, one, many=None):
    if len(numbers) == 1:
        return f"{one} {numbers[0]}"
    return f"{many or one + 's'} {numbers[0]} to {numbers[-1]}"


def draw_owners(axes: Axes, owner: Int64[np.ndarray, "R C"]) -> None:
    """A matrix as cells that hold the number of the program that wrote them."""
    for (row, column), program in np.ndenumerate(owner):
        colour = "white" if program < 0 else palette.LINES[int(program) % len(palette.LINES)]
        box = Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=colour, alpha=0.45, linewidth=0)
        axes.add_patch(box)
        axes.text(column, row, str(program), ha="center", va="center", size=9)
    rows, columns = owner.shape
    axes.set(xlim=(-0.55, columns - 0.45), ylim=(rows - 0.45, -0.55), aspect="equal")
    axes.set(xlabel="column", ylabel="row", xticks=range(columns), yticks=range(rows))


def triton_tiles() -> Explorer:
    """The explorer: how many elements, how wide a tile, which program."""
    return Explorer(
        "What one Triton program touches",
        render,
        words,
        num_elements=slider("Elements (N)", 13, 1, LARGEST),
        width=choice("Tile width", WIDTHS, 4),
        program=slider("Program id", 3, 0, PROGRAMS - 1),
    )
