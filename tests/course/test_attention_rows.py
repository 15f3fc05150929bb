"""The explorer of one attention row: its arrays and its words."""

import numpy as np
import pytest

from msa_course.dense_attention import attention_rows, sentence
from msa_ref import dense

BEFORE, AFTER, NONE = attention_rows.MASKS
WHOSE, WHO = sentence.HEADS
LAST = len(sentence.WORDS) - 1


def say(*setting):
    """The explorer's sentence at this setting."""
    return attention_rows.describe(attention_rows.compute(*setting))


@pytest.mark.parametrize("head", sentence.HEADS)
def test_right_mask_gives_the_weights_of_dense_attention(head):
    rows = attention_rows.compute(0, head, 1, BEFORE)
    q = sentence.X @ sentence.W_Q[sentence.HEADS.index(head)]
    k = sentence.X @ sentence.W_K
    weights, _ = dense.attention_weights(q[None, None], k[None, None])
    np.testing.assert_allclose(rows.weights, weights[0, 0])


@pytest.mark.parametrize("head", sentence.HEADS)
def test_every_exponential_is_a_power_of_two(head):
    exponents = attention_rows.head_scores(head) / np.log(2)
    np.testing.assert_allclose(exponents, exponents.round(), atol=1e-12)


def test_temperature_divides_the_scores():
    warm, cool = (attention_rows.compute(0, WHOSE, t, BEFORE) for t in (4, 0.25))
    np.testing.assert_allclose(cool.scores, 16 * warm.scores)
    assert cool.weights[6].max() > warm.weights[6].max()


@pytest.mark.parametrize("mask", [BEFORE, NONE])
def test_rows_add_up_to_one(mask):
    np.testing.assert_allclose(attention_rows.compute(0, WHO, 1, mask).sums, 1)


def test_mask_after_the_softmax_loses_weight_in_every_row_but_the_last():
    sums = attention_rows.compute(0, WHOSE, 1, AFTER).sums
    assert (sums[:-1] < 1).all()
    assert sums[-1] == pytest.approx(1)
    assert sums[6] == pytest.approx(0.5)


def test_hidden_keys_weigh_nothing_unless_there_is_no_mask():
    for mask in (BEFORE, AFTER):
        assert (np.triu(attention_rows.compute(0, WHOSE, 1, mask).weights, 1) == 0).all()
    weights = attention_rows.compute(0, WHOSE, 1, NONE).weights
    assert (np.triu(weights, 1)[:-1].sum(axis=1) > 0).all()


def test_story_its_reads_book_but_would_read_cover_from_the_future():
    assert "gives 0.50 to \u201cbook\u201d" in say(6, WHOSE, 1, BEFORE)
    assert "sees 7 of 8 words" in say(6, WHOSE, 1, BEFORE)
    assert "gives 0.50 to \u201ccover\u201d" in say(6, WHOSE, 1, NONE)
    assert "lies in the future" in say(6, WHOSE, 1, NONE)
    assert "The missing 0.50 went to the future" in say(6, WHOSE, 1, AFTER)
    assert "to \u201cshe\u201d" in say(5, WHO, 1, BEFORE)
    assert "has no question here" in say(0, WHOSE, 1, BEFORE)


def test_last_query_has_no_future():
    for mask in attention_rows.MASKS:
        assert "future" not in say(LAST, WHOSE, 1, mask)
