"""The librarian: the weights and answers behind the picture, its words, its sliders."""

import numpy as np
import pytest

from msa_course.explorer import new_figure
from msa_course.news import librarian, librarian_figure
from msa_ref import dense, selection

PNG = b"\x89PNG\r\n\x1a\n"


def say(*setting):
    """The explorer's sentence at this setting."""
    return librarian.describe(librarian.compute(*setting))


def test_all_weights_are_softmax_of_the_dot_products():
    visit = librarian.compute(5, 1, 2)
    weights, _ = dense.softmax_lse(librarian.LABELS @ np.array([5.0, 1.0]))
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
        num_keys=len(librarian.LABELS),
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
    assert f"all pages answer {visit.answer_all:.1f}" in text
    assert "to shelf 0;" in say(0, 0, 1)


def test_no_question_at_all_draws_no_arrow():
    figure = librarian_figure.draw(librarian.compute(0, 0, 1))
    assert not [text for text in figure.axes[0].texts if getattr(text, "arrow_patch", None)]


def test_the_shelves_are_drawn_open_where_they_are_read_and_closed_elsewhere():
    axes = new_figure(9, 3).add_subplot()
    librarian_figure.draw_shelves(axes, librarian.compute(5, 1, 2))
    texts = [text.get_text() for text in axes.texts]
    assert [text for text in texts if "closed" in text] == [
        f"page {p}\nclosed" for p in (2, 3, 6, 7)
    ]
    assert "page 4\n21 °C" in texts
    assert [text for text in texts if "card" in text] == [
        "card: 4.6, go",
        "card: 2.1",
        "card: 5.0, go",
        "card: 2.9",
    ]


def test_without_a_question_every_page_is_open_and_there_are_no_cards():
    axes = new_figure(9, 3).add_subplot()
    librarian_figure.draw_shelves(axes)
    assert not [text for text in axes.texts if "card" in text.get_text()]
    assert not [text for text in axes.texts if "closed" in text.get_text()]
