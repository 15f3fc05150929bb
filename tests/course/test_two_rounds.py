"""The arrays behind the picture of two rounds, its words at the extremes, and its redraws."""

import itertools

import numpy as np
import pytest
from matplotlib.colors import to_hex

from msa_course import palette
from msa_course.index_scan import two_rounds, two_rounds_figure

FIRST = {"num_blocks": 96, "top_k": 4, "group_size": 8, "seed": 0}
EXTREMES = [
    dict(zip(FIRST, setting)) for setting in itertools.product((8, 128), (1, 16), (2, 16), (0, 9))
]


def say(**setting):
    """The explorer's sentence at this setting."""
    return two_rounds.describe(two_rounds.compute(**setting))


@pytest.mark.parametrize("setting", [FIRST, *EXTREMES])
def test_two_rounds_choose_what_one_sort_chooses(setting):
    found = two_rounds.compute(**setting).rounds
    forced = found.scores.copy()
    forced[-1] = np.inf
    assert found.chosen.tolist() == two_rounds.best(forced, setting["top_k"]).tolist()
    assert len(found.scores) - 1 in found.chosen
    assert found.read[found.chosen].all()


def test_ties_go_to_the_lower_id_in_both_rounds():
    rng = np.random.default_rng(0)
    for num_blocks, top_k, size in itertools.product((5, 16, 23), (1, 3, 8), (2, 4)):
        scores = rng.integers(-2, 3, num_blocks).astype(float)
        found = two_rounds.rounds(scores, top_k, size)
        forced = np.append(scores[:-1], np.inf)
        assert found.chosen.tolist() == two_rounds.best(forced, top_k).tolist()


def test_numbers_read():
    assert two_rounds.reads(8192, 16, 16) == (8192 * 91, 8192, 512 + 256)
    assert two_rounds.reads(96, 4, 8) == (128 * 28, 96, 12 + 32)
    assert two_rounds.reads(8, 16, 16) == (8 * 6, 8, 1 + 8)


@pytest.mark.parametrize("setting", [FIRST, *EXTREMES])
def test_at_most_so_many_numbers_are_read(setting):
    found = two_rounds.compute(**setting).rounds
    ways = two_rounds.reads(*(setting[name] for name in ("num_blocks", "top_k", "group_size")))
    assert len(found.maxima) + found.read.sum() <= ways.two_rounds


def test_words_name_the_chosen_blocks_and_the_count():
    found = two_rounds.compute(**FIRST).rounds
    said = say(**FIRST)
    assert said.startswith("Of 12 groups of 8 the best 4 are opened, and of their 32 blocks ")
    assert ", ".join(map(str, found.chosen)) + " are chosen." in said
    assert said.endswith("Numbers read: 12 + 32 = 44, instead of 96; a sort reads 3,584.")
    one = say(num_blocks=8, top_k=1, group_size=16, seed=0)
    assert "Of 1 groups of 16 the best is opened, and of their 8 blocks 7 is chosen." in one
    assert "no saving here" in one


def test_bars_are_coloured_by_what_became_of_them():
    found = two_rounds.compute(**FIRST).rounds
    groups, blocks, _ = two_rounds_figure.draw(two_rounds.compute(**FIRST)).axes
    colours = [to_hex(bar.get_facecolor()).upper() for bar in blocks.patches]
    assert colours[-1] == palette.FORCED
    dark = [block for block, colour in enumerate(colours) if colour == palette.CHOSEN]
    assert dark == found.chosen[:-1].tolist()
    left = [block for block, colour in enumerate(colours) if colour == palette.HIDDEN]
    assert left == np.flatnonzero(~found.read).tolist()
    assert len(groups.patches) == 12
    assert groups.patches[-1].get_hatch() == palette.FORCED_HATCH
