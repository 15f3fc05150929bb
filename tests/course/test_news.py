"""The news: its numbers are the package's, its page holds the text, its map the course's order."""

import importlib.util
import itertools
from pathlib import Path

import numpy as np
import pytest

from msa_course.news import course_map, figures, numbers
from msa_ref import data, dense

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def test_the_look_is_a_row_of_the_package_s_attention():
    look = numbers.look()
    capture = data.load_capture(numbers.LAYER)
    weights, _ = dense.attention_weights(capture.q, capture.k)
    row = weights[0, numbers.HEAD, numbers.TOKEN]
    seen = numbers.TOKEN + 1
    np.testing.assert_allclose(look.weights, row[:seen], atol=1e-5)


def test_most_of_the_look_goes_to_the_word_after_the_earlier_copy():
    look = numbers.look()
    assert (look.words[look.best], look.words[look.best - 1]) == (" and", look.words[-1])
    assert look.words[look.best - figures.REPEATED : look.best] == look.words[-figures.REPEATED :]
    assert data.load_text()["words"][numbers.TOKEN + 1] == " and"
    assert look.weights[look.best] == pytest.approx(0.884, abs=0.001)


def test_the_page_prints_every_word_once_and_in_order():
    words = numbers.look().words
    places = figures.layout(words)
    assert len(places) == len(words)
    assert [text.strip() for _, _, text in places] == [word.strip() for word in words]
    assert [row for row, _, _ in places] == sorted(row for row, _, _ in places)
    assert max(column + len(text.rstrip()) for _, column, text in places) <= figures.COLUMNS


def test_a_page_s_row_is_filled_without_overlaps():
    places = figures.layout(numbers.look().words)
    for (row, column, text), (after, start, _) in itertools.pairwise(places):
        assert after > row or start == column + len(text)


def test_the_library_and_the_yardstick_add_up():
    library, (old, same, sparse) = numbers.library(), numbers.yardstick().values()
    assert library.all_pages == same == 8 * library.cards
    assert library.pages_read + library.cards == sparse
    assert (round(same / sparse, 2), old / same) == (7.88, 2)


def test_the_waiting_at_a_million_tokens():
    now = numbers.waiting()
    assert now.prompt == pytest.approx((1092.9, 91.0), abs=0.1)
    assert now.dense_layers == pytest.approx(now.prompt[0] * 3 / 60)
    assert now.tokens_per_second == pytest.approx((26.0, 152.4), abs=0.05)


def test_the_lit_area_is_to_scale():
    ax = figures.library(numbers.library()).axes[0]
    wall, *shelves, strip = ax.patches
    area = [patch.get_width() * patch.get_height() for patch in (wall, strip)]
    assert area[0] == 8 * area[1]
    assert len(shelves) == 16
    assert len({patch.get_xy() for patch in shelves}) == 16


def test_the_map_has_the_lessons_in_the_course_s_order():
    spec = importlib.util.spec_from_file_location("lessons", NOTEBOOKS / "lessons.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert course_map.lessons() == list(tool.ORDER)
    shown = [text.get_text() for text in figures.course_map().axes[0].texts]
    assert sum(text[:2].isdigit() for text in shown) == len(tool.ORDER)
