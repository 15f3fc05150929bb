"""The live explorer of one attention row: moved by keys and mouse, its numbers are Python's."""

import numpy as np
import pytest
from live_page import check_fits, check_is_quick, check_names, drive, show, state

from msa_course import live
from msa_course.dense_attention import attention_rows, attention_rows_figure


@pytest.fixture(scope="module")
def html():
    return live.html(attention_rows_figure.MODULE, attention_rows_figure.payload())


def check(settings, numbers):
    rows = attention_rows.compute(**settings)
    for name in ("scores", "weights", "sums"):
        np.testing.assert_allclose(numbers[name], getattr(rows, name), atol=1e-5)


def test_its_numbers_are_those_of_compute(page, html):
    drive(page, html, check)


def test_a_word_and_a_row_become_the_query_and_the_sentence_is_pythons(page, html):
    show(page, html)
    page.get_by_role("button", name="query closed").click()
    page.get_by_role("button", name="who?", exact=True).click()
    settings, _ = state(page)
    assert (settings["query"], settings["head"]) == (5, "who?")
    page.get_by_role("button", name="row of cover").press("Enter")
    page.get_by_role("button", name="after the softmax").click()
    for row in ("row of cover", "row of took"):
        page.get_by_role("button", name=row).press(" ")
        settings, _ = state(page)
        said = page.locator(".msa [aria-live=polite]").inner_text()
        assert said == attention_rows.describe(attention_rows.compute(**settings))


def test_it_is_quick_named_and_fits_from_phone_to_wide_screen(page, html):
    show(page, html)
    check_is_quick(page)
    check_names(page)
    check_fits(page)
