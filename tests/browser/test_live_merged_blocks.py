"""The explorer of token 612's blocks in a browser: every number it shows is Python's."""

import pytest
from live_page import check_fits, check_is_quick, check_names, drive, show, state

from msa_course import live
from msa_course.exact_on_what_was_chosen import merged_blocks as explorer
from msa_course.exact_on_what_was_chosen import merged_blocks_figure as figure

SINGLE = 1e-5  # the browser has the partial results in float32


@pytest.fixture(scope="module")
def html():
    return live.html(figure.MODULE, figure.payload())


def check(settings, numbers):
    want = explorer.compute(**settings)
    assert numbers.keys() == {"captured", "missed", "largest_error", "gap"}
    for name, number in numbers.items():
        # The gap is a quotient of two numbers that can be small.
        off = 2e-3 * abs(number) + SINGLE if name == "gap" else SINGLE
        assert number == pytest.approx(getattr(want, name), abs=off), (name, settings)


def test_it_follows_keys_and_mouse_and_fits(page, html):
    drive(page, html, check)
    check_is_quick(page)
    check_names(page)
    check_fits(page)


def test_it_opens_at_the_best_four_blocks_and_says_what_python_says(page, html):
    show(page, html)
    settings, _ = state(page)
    assert settings == {"head": 6, "blocks": [0, 4, 7, 19]}
    want = explorer.describe(explorer.compute(**settings))
    assert page.locator(".words").inner_text() == want


def test_nothing_read_and_everything_read(page, html):
    show(page, html)
    blocks = page.locator("[role=button]")
    for block in (0, 4, 7, 19):
        blocks.nth(block).press("Space")
    assert state(page)[0]["blocks"] == []
    assert "No block is read" in page.locator(".words").inner_text()
    check(*state(page))
    page.locator("input[type=range]").nth(1).press("End")
    assert state(page)[1]["largest_error"] == pytest.approx(0, abs=SINGLE)


def test_a_hovered_block_shows_its_words(page, html):
    show(page, html)
    page.locator("[role=button]").nth(4).hover()
    assert "standard rules for assignments" in page.locator(".said").inner_text()
