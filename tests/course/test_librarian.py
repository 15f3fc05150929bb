"""The librarian: the weights and answers behind the picture, and its words."""

import numpy as np
import pytest
from matplotlib.patches import Circle

from msa_course.news import librarian, librarian_figure
from msa_ref import dense, selection


def say(*setting):
    """The explorer's sentences at this setting."""
    return librarian.describe(librarian.compute(*setting))


def texts(*setting):
    """What the picture says at this setting."""
    figure = librarian_figure.draw(librarian.compute(*setting))
    return [text.get_text() for text in figure.axes[0].texts]


def test_all_weights_are_softmax_of_the_dot_products():
    visit = librarian.compute(5, 1, 2)
    weights, _ = dense.softmax_lse(librarian.TENTHS / 10 @ np.array([5.0, 1.0]))
    np.testing.assert_allclose(visit.weights, weights)
    assert visit.answer_all == pytest.approx(weights @ librarian.TEMPERATURES)


@pytest.mark.parametrize("shelves", [1, 2, 3, 4])
@pytest.mark.parametrize(("sea", "mountains"), [(0, 0), (5, 1), (0, 8), (8, 8)])
def test_the_shelves_are_those_the_package_selects(sea, mountains, shelves):
    visit = librarian.compute(sea, mountains, shelves)
    chosen = selection.select_blocks(
        visit.shelf_scores.reshape(1, 1, 1, -1),
        top_k=shelves,
        block_size=librarian.SHELF_SIZE,
        num_keys=len(librarian.TENTHS),
        local_blocks=0,
    )
    np.testing.assert_array_equal(visit.shelves, chosen.ravel())


def test_reading_every_shelf_is_reading_every_page():
    visit = librarian.compute(5, 1, librarian.NUM_SHELVES)
    assert visit.mass_read == pytest.approx(1)
    assert visit.answer_read == pytest.approx(visit.answer_all)


def test_a_question_about_nothing_weighs_all_pages_alike():
    visit = librarian.compute(0, 0, 2)
    np.testing.assert_allclose(visit.weights, 1 / 8)
    np.testing.assert_array_equal(visit.shelves, [0, 1])


def test_the_answer_lies_among_the_pages_that_were_read():
    for shelves in range(1, librarian.NUM_SHELVES + 1):
        visit = librarian.compute(3, 2, shelves)
        pages = librarian.TEMPERATURES[visit.read]
        assert pages.min() <= visit.answer_read <= pages.max()


def test_words_name_the_shelves_and_both_answers():
    visit = librarian.compute(5, 1, 2)
    text = say(5, 1, 2)
    assert "shelves 0, 2" in text
    assert f"{visit.answer_read:.1f} degrees" in text
    assert f"would answer {visit.answer_all:.1f}" in text
    assert "open shelf 0." in say(0, 0, 1)


def test_the_picture_has_a_card_for_each_page_and_opens_the_best_shelves():
    shown = texts(5, 1, 2)
    assert [
        text for text in shown if text in ("4.6", "1.8", "2.1", "1.4", "5.0", "4.3", "1.7", "2.9")
    ]
    assert shown.count("closed") == 4
    assert "21 °C" in shown
    assert [text for text in shown if "open" in text] == ["shelf 0: open", "shelf 2: open"]


def test_one_card_of_each_shelf_is_ringed():
    figure = librarian_figure.draw(librarian.compute(0, 0, 1))
    rings = [patch for patch in figure.axes[0].patches if isinstance(patch, Circle)]
    assert len(rings) == librarian.NUM_SHELVES
