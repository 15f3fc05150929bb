"""Explorer of a one-dimensional Triton grid: what one program touches, masked and unmasked."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Bool, Int64

LARGEST = 32
WIDTHS = [(str(width), width) for width in (2, 4, 8, 16)]
PROGRAMS = 8


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
    def grid(self) -> str:
        """The number of programs in words."""
        return "1 program" if self.num_programs == 1 else f"{self.num_programs} programs"

    @property
    def launched(self) -> bool:
        """True where the grid has this program."""
        return self.program < self.num_programs


def compute(*, num_elements: int, width: int, program: int) -> Tile:
    """The lanes of one program when ceil(num_elements / width) programs are launched."""
    num_programs = -(-num_elements // width)
    lanes = np.arange(width) if program < num_programs else np.arange(0)
    index = program * width + lanes
    return Tile(num_elements, width, program, num_programs, index, index < num_elements)


def describe(tile: Tile) -> str:
    """Which elements the program touches, which lanes are masked, what unmasked would read."""
    program = tile.program
    start = f"{tile.num_elements} elements in tiles of {tile.width} take {tile.grid}. "
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


def _span(numbers, one, many=None):
    if len(numbers) == 1:
        return f"{one} {numbers[0]}"
    return f"{many or one + 's'} {numbers[0]} to {numbers[-1]}"
