"""The online-softmax stepper: its arrays, its words, its picture, its sliders."""

import numpy as np
import pytest

from msa_course.two_orders import online_softmax as stepper
from msa_ref import dense

EVERY = [(chunk, case) for chunk in stepper.CHUNKS for case in stepper.CASES]


def say(*setting):
    """The explorer's sentence at this setting."""
    return stepper.describe(stepper.compute(*setting))


@pytest.mark.parametrize(("chunk", "case"), EVERY)
def test_every_step_is_the_softmax_of_the_keys_read_so_far(chunk, case):
    trace = stepper.compute(0, chunk, case)
    assert list(trace.stops) == [0, *range(chunk, stepper.NUM_KEYS + 1, chunk)]
    for step in range(1, trace.last_step + 1):
        read = slice(trace.stops[step])
        weights, lse = dense.softmax_lse(trace.scores[read])
        assert trace.peak[step] == trace.scores[read].max()
        if np.isneginf(lse):
            assert trace.total[step] == trace.weighted[step] == 0
            assert np.isnan(trace.out[step])
        else:
            np.testing.assert_allclose(trace.out[step], weights @ stepper.VALUES[read], atol=1e-12)
            np.testing.assert_allclose(trace.peak[step] + np.log(trace.total[step]), lse)


@pytest.mark.parametrize(("chunk", "case"), EVERY)
def test_the_rescale_is_what_the_peak_moved(chunk, case):
    trace = stepper.compute(0, chunk, case)
    assert trace.rescale[0] == 1
    for step in range(1, trace.last_step + 1):
        moved = trace.peak[step - 1] > -np.inf
        expected = np.exp(trace.peak[step - 1] - trace.peak[step]) if moved else 1
        np.testing.assert_allclose(trace.rescale[step], expected)


def test_rising_scores_shrink_at_every_step_and_falling_ones_never():
    assert (stepper.compute(0, 1, "rising scores").rescale[2:] < 1).all()
    assert (stepper.compute(0, 1, "falling scores").rescale == 1).all()


@pytest.mark.parametrize(
    ("step", "chunk", "case", "fragments"),
    [
        (0, 2, "one needle", ["Nothing is read yet"]),
        (1, 2, "one needle", ["reads keys 0 and 1", "the first peak is 0.20"]),
        (4, 2, "one needle", ["reads keys 6 and 7", "a new peak, 2.90", "by the factor 0.082"]),
        (5, 2, "one needle", ["no score is above the peak 2.90", "nothing shrinks"]),
        (8, 1, "one needle", ["reads key 7", "a new peak, 2.90"]),
        (1, 4, "empty chunks", ["keys 0 to 3", "all hidden", "peak stays -inf", "NaN"]),
        (5, 2, "empty chunks", ["keys 8 and 9", "all hidden, so nothing changes", "so far"]),
        (6, 2, "empty chunks", ["keys 10 and 11", "All keys are read", "exactly"]),
        (12, 12, "falling scores", ["Step 1 of 1", "keys 0 to 11", "the first peak is 2.70"]),
    ],
)
def test_words_name_the_keys_and_what_happened(step, chunk, case, fragments):
    text = say(step, chunk, case)
    for fragment in fragments:
        assert fragment in text


def test_words_give_the_numbers_of_the_trace():
    trace = stepper.compute(4, 2, "one needle")
    text = say(4, 2, "one needle")
    assert f"old sum {trace.total[3]:.3f}" in text
    assert f"to {trace.total[3] * trace.rescale[4]:.3f}" in text
    assert f"so far is {trace.out[4]:.3f}; it will end at {trace.out[-1]:.3f}" in text
