"""The librarian without a kernel: every number of it is what Python computes."""

import pytest
from live_page import check_fits, check_is_quick, check_names, drive, show
from numpy.testing import assert_allclose

from msa_course import live
from msa_course.news import librarian, librarian_figure

FIELDS = set(librarian.Visit._fields) - {"sea", "mountains", "shelves"}


@pytest.fixture
def html():
    return live.html(librarian_figure.MODULE, librarian_figure.payload())


def test_numbers_and_words_are_python_s(page, html):
    def check(settings, numbers):
        visit = librarian.compute(**settings)
        assert numbers["shelves"] == visit.shelves.tolist()
        for name in FIELDS:
            assert_allclose(numbers[name], getattr(visit, name), atol=1e-9, err_msg=name)
        assert page.locator(".msa .words").inner_text() == librarian.describe(visit)

    drive(page, html, check)


def test_a_page_tells_its_sum_under_the_pointer_and_when_chosen(page, html):
    show(page, html)
    detail, button = page.locator(".msa .detail"), page.get_by_role("button", name="page 3")
    button.hover()
    assert "= 1.4 on its card" in detail.inner_text()
    assert "nobody opens it" in detail.inner_text()
    button.press("Enter")
    page.mouse.move(0, 0)
    assert button.get_attribute("aria-pressed") == "true"
    assert "Page 3" in detail.inner_text()


def test_it_is_quick_named_and_fits(page, html):
    show(page, html)
    check_is_quick(page)
    check_names(page)
    check_fits(page)
