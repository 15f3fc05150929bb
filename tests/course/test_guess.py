"""The explorer of guessing rules: its arrays and its words."""

import numpy as np
import pytest

from msa_course.which_blocks import guess
from msa_learning.evaluate import needle_numpy
from msa_ref import dense

ALONE, HIGHEST, MEAN = guess.JOINS


@pytest.mark.parametrize("rule", guess.RULES)
@pytest.mark.parametrize("num_keys", [1, 31, 32, 33, 612])
def test_rules_are_those_of_the_experiment(rule, num_keys):
    q, k = guess.load()
    ours = guess.rule_scores(rule, q[0, num_keys - 1], k[:num_keys], 32)
    theirs = needle_numpy.RULES[rule](
        q[None, :1, num_keys - 1 : num_keys], k[None, None, :num_keys], 32
    )
    np.testing.assert_allclose(ours, theirs[0, 0, 0], atol=1e-9)


@pytest.mark.parametrize("query", guess.QUERIES)
def test_every_query_looks_something_up_far_away(query):
    row = guess.attention_row(query)
    assert row.max() > 0.5
    assert row.argmax() // 32 not in (0, query // 32)
    state = guess.compute(query, "exact mass", ALONE, 1)
    assert (state.rank, state.chosen.tolist()) == (1, [state.target // 32])
    assert state.mass.sum() == pytest.approx(1)


@pytest.mark.parametrize("rule", guess.RULES)
@pytest.mark.parametrize("join", guess.JOINS)
def test_the_chosen_blocks_are_the_best_and_ascend(rule, join):
    state = guess.compute(612, rule, join, 5)
    assert (np.diff(state.chosen) > 0).all()
    others = np.delete(state.scores, state.chosen)
    assert others.max() <= state.scores[state.chosen].min()
    assert (state.rank <= 5) == (state.target // 32 in state.chosen)
    assert state.kept == pytest.approx(state.mass[state.chosen].sum())


def test_joins_are_the_highest_and_the_mean():
    each = guess.head_scores(612, "max score")
    np.testing.assert_array_equal(guess.compute(612, "max score", HIGHEST, 1).scores, each.max(0))
    np.testing.assert_array_equal(guess.compute(612, "max score", MEAN, 1).scores, each.mean(0))


def test_a_row_is_that_of_dense_attention():
    q, k = guess.load()
    weights, _ = dense.attention_weights(q[None, :, 612:613], k[None, None, :613])
    np.testing.assert_allclose(guess.attention_row(612, 2), weights[0, 2, 0])


def test_the_sentence_says_what_is_found():
    lost = guess.describe(guess.compute(577, "mean key", ALONE, 4))
    assert "\u201cinates\u201d, which the head looks up, is NOT read" in lost
    assert lost.endswith("comes 16th of 19.")
    found = guess.describe(guess.compute(577, "max score", ALONE, 1))
    assert "reads block 6:" in found
    assert "is read" in found


def test_ordinals():
    assert [guess.ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 22)] == [
        "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd",
    ]  # fmt: skip
