"""The cost dial without a kernel: every number of it is what Python computes."""

import pytest
from live_page import check_fits, check_is_quick, check_names, drive, show, state
from numpy.testing import assert_allclose

from msa_course import live
from msa_course.what_a_million_tokens_cost import cost_dial, cost_dial_figure

FIELDS = set(cost_dial.Dial._fields) - {"context", "game"}


@pytest.fixture
def html():
    return live.html(cost_dial_figure.MODULE, cost_dial_figure.payload())


def test_numbers_and_words_are_python_s(page, html):
    def check(settings, numbers):
        dial = cost_dial.compute(**settings)
        assert set(numbers) == FIELDS
        for name in FIELDS:
            assert_allclose(numbers[name], getattr(dial, name), rtol=1e-12, err_msg=name)
        assert page.locator(".msa .words").inner_text() == cost_dial.describe(dial)

    drive(page, html, check)


def test_a_click_on_the_curve_moves_the_slider(page, html):
    show(page, html)
    page.get_by_role("button", name="64K").click()
    assert state(page)[0] == {"context": 65_536, "game": "prefill"}
    assert page.get_by_label("context").first.input_value() == "6"


def test_it_is_quick_named_and_fits(page, html):
    show(page, html)
    check_is_quick(page)
    check_names(page)
    check_fits(page)
