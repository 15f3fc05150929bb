"""The lanes behind the tile explorer's picture, its words at the extremes, and its redraws."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.patches import Rectangle

from msa_course import palette
from msa_course.machine_and_triton import triton_tiles, triton_tiles_figure

FIRST = {"num_elements": 13, "width": 4, "program": 3}
EXTREMES = [dict(zip(FIRST, setting)) for setting in itertools.product((1, 32), (2, 16), (0, 7))]


def say(**setting):
    """The explorer's sentence at this setting."""
    return triton_tiles.describe(triton_tiles.compute(**setting))


def test_the_last_program_of_thirteen_elements_has_one_live_lane():
    tile = triton_tiles.compute(**FIRST)
    assert tile.num_programs == 4
    assert tile.index.tolist() == [12, 13, 14, 15]
    assert tile.mask.tolist() == [True, False, False, False]


@pytest.mark.parametrize("num_elements", [1, 12, 13, 16, 32])
@pytest.mark.parametrize("width", [2, 4, 8, 16])
def test_every_element_is_touched_by_exactly_one_program(num_elements, width):
    setting = {"num_elements": num_elements, "width": width}
    count = triton_tiles.compute(**setting, program=0).num_programs
    tiles = [triton_tiles.compute(**setting, program=p) for p in range(count)]
    touched = np.concatenate([tile.index[tile.mask] for tile in tiles])
    assert touched.tolist() == list(range(num_elements))
    beyond = triton_tiles.compute(**setting, program=count)
    assert not beyond.launched
    assert beyond.index.size == beyond.mask.size == 0


def test_words_name_elements_lanes_and_addresses():
    assert say(**FIRST) == (
        "13 elements in tiles of 4 take 4 programs. Program 3 touches element 12; lanes 1 to 3 "
        "are masked, and an unmasked version would read addresses 13 to 15."
    )
    one = say(num_elements=7, width=8, program=0)
    assert "take 1 program. " in one
    assert "lane 7 is masked, and an unmasked version would read address 7." in one
    assert "no lane is masked" in triton_tiles.describe(
        triton_tiles.compute(**FIRST | {"num_elements": 16})
    )
    assert "Program 7 is not launched: the last is 3." in triton_tiles.describe(
        triton_tiles.compute(**FIRST | {"program": 7})
    )


def colours(axes):
    boxes = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    return [palette.mpl.colors.to_hex(box.get_facecolor()).upper() for box in boxes]


def test_coloured_cells_of_the_strip_are_the_programs_lanes():
    memory = triton_tiles_figure.draw(triton_tiles.compute(**FIRST)).axes[0]
    wanted = [palette.HIDDEN] * 12 + [palette.CHOSEN] + [palette.MISSED] * 3
    assert colours(memory) == wanted


def test_the_matrix_of_owners_shows_every_number():
    owner = np.array([[0, 0, 1], [2, 2, -1]])
    figure, axes = plt.subplots()
    triton_tiles_figure.draw_owners(axes, owner)
    assert [text.get_text() for text in axes.texts] == ["0", "0", "1", "2", "2", "-1"]
    plt.close(figure)
