"""The training scrubber: the arrays behind its picture, its words, its liveliness."""

import itertools

import numpy as np
import pytest
from learned_cases import LAYERS, PROGRESS, STEPS, progress_arrays

from msa_course import palette
from msa_course.teaching_the_index import training_scrubber
from msa_course.teaching_the_index.outcomes import Outcome


def say(**setting):
    """The explorer's sentence at this setting."""
    return training_scrubber.describe(training_scrubber.compute(**setting))


@pytest.fixture(autouse=True)
def style():
    palette.use_style()


def test_bits_are_unpacked_as_they_were_packed():
    arrays = progress_arrays()
    assert PROGRESS.chosen.shape == (4, 2, 3, 45, 6)
    np.testing.assert_array_equal(np.packbits(PROGRESS.chosen, axis=-1), arrays["chosen"])
    np.testing.assert_array_equal(np.packbits(PROGRESS.best, axis=-1), arrays["ideal"])


@pytest.mark.parametrize("snapshot", range(4))
def test_outcomes_recalls_and_moment_are_those_stored(snapshot):
    for (place, layer), group in itertools.product(enumerate(LAYERS), range(3)):
        now = training_scrubber.compute(
            snapshot=snapshot, layer=layer, group=group, progress=PROGRESS
        )
        chosen = np.isin(now.outcome, (Outcome.HIT, Outcome.EXTRA))
        best = np.isin(now.outcome, (Outcome.HIT, Outcome.MISSED))
        np.testing.assert_array_equal(chosen, PROGRESS.chosen[snapshot, place, group])
        np.testing.assert_array_equal(best, PROGRESS.best[place, group])
        assert now.step == STEPS[snapshot]
        assert now.score_recall == pytest.approx(0.3 + 0.65 * (2 * snapshot + place) / 7)
        assert now.block_recall == pytest.approx(now.score_recall - 0.2)


def test_words_count_the_rows_that_have_a_choice():
    setting = {"layer": 7, "group": 0, "progress": PROGRESS}
    now = training_scrubber.compute(snapshot=0, **setting)
    rows = now.outcome[3 * 8 :]
    share = (rows == Outcome.HIT).sum() / (3 * len(rows))
    said = say(snapshot=0, **setting)
    assert said.startswith("Before any training, layer 7, group 0")
    assert f"{100 * share:.0f} are among their best 3" in said
    last = say(snapshot=3, **setting)
    assert last.startswith("After 90 steps (sparse)")
    assert "100 are among" in last
    assert "95% of their attention mass" in last
