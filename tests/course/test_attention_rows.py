"""The explorer of one attention row: its arrays, its picture at the extremes, its words."""

import numpy as np
import pytest

from msa_course.dense_attention import attention_rows
from msa_ref import dense

BEFORE, AFTER, NONE = attention_rows.MASKS
LAST = len(attention_rows.WORDS) - 1


def say(*setting):
    """The explorer's sentence at this setting."""
    return attention_rows.describe(attention_rows.compute(*setting))


def test_right_mask_gives_the_weights_of_dense_attention():
    rows = attention_rows.compute(0, 1, BEFORE)
    weights, lse = dense.attention_weights(
        attention_rows.QUERIES[None, None], attention_rows.KEYS[None, None]
    )
    np.testing.assert_allclose(rows.weights, weights[0, 0])
    np.testing.assert_allclose(rows.lse, lse[0, 0])


def test_temperature_divides_the_scores():
    warm, cool = (attention_rows.compute(0, t, BEFORE) for t in (4, 0.25))
    np.testing.assert_allclose(cool.scores, 16 * warm.scores)
    assert (cool.weights.max(axis=1)[1:] > warm.weights.max(axis=1)[1:]).all()


@pytest.mark.parametrize("mask", [BEFORE, NONE])
def test_rows_sum_to_one(mask):
    np.testing.assert_allclose(attention_rows.compute(0, 1, mask).weights.sum(axis=1), 1)


def test_mask_after_the_softmax_loses_weight_in_every_row_but_the_last():
    sums = attention_rows.compute(0, 1, AFTER).weights.sum(axis=1)
    assert (sums[:-1] < 1).all()
    assert sums[-1] == pytest.approx(1)


def test_hidden_keys_weigh_nothing_unless_there_is_no_mask():
    for mask in (BEFORE, AFTER):
        assert (np.triu(attention_rows.compute(0, 1, mask).weights, 1) == 0).all()
    assert (np.triu(attention_rows.compute(0, 1, NONE).weights, 1)[:-1].sum(axis=1) > 0).all()


def test_story_its_reads_book_but_would_read_shelf_from_the_future():
    assert "to 'book' (token 4)" in say(6, 1, BEFORE)
    assert "sees 7 of 8 keys" in say(6, 1, BEFORE)
    assert "to 'shelf' (token 7)" in say(6, 1, NONE)
    assert "lies in the future" in say(6, 1, NONE)
    assert "went to the future" in say(6, 1, AFTER)


def test_last_query_has_no_future():
    for mask in attention_rows.MASKS:
        assert "future" not in say(LAST, 1, mask)
