"""The live explorer of guessing rules: moved by keys and mouse, its numbers are Python's."""

import numpy as np
import pytest
from live_page import check_fits, check_is_quick, check_names, drive, show, state

from msa_course import live
from msa_course.which_blocks import guess, guess_figure


@pytest.fixture(scope="module")
def html():
    return live.html(guess_figure.MODULE, guess_figure.payload())


def check(settings, numbers):
    right = guess.compute(**settings)
    np.testing.assert_allclose(numbers["scores"], right.scores, rtol=1e-6)
    np.testing.assert_allclose(numbers["mass"], right.mass, atol=1e-6)
    assert numbers["chosen"] == right.chosen.tolist()
    assert (numbers["target"], numbers["rank"]) == (right.target, right.rank)
    assert numbers["kept"] == pytest.approx(right.kept, abs=1e-5)


def test_its_numbers_are_those_of_compute(page, html):
    drive(page, html, check)


def test_a_block_opens_and_the_sentence_is_pythons(page, html):
    show(page, html)
    assert "inates" in page.locator(".text").inner_text()
    page.get_by_role("button", name="block 0,").press("Enter")
    assert "statement is used to iterate" in page.locator(".text").inner_text()
    for rule in ("max score", "min/max bound"):
        page.get_by_role("button", name=rule).click()
        page.get_by_role("button", name="mean of heads").click()
        settings, _ = state(page)
        said = page.locator(".msa [aria-live=polite]").inner_text()
        assert said == guess.describe(guess.compute(**settings))


def test_it_is_quick_named_and_fits_from_phone_to_wide_screen(page, html):
    show(page, html)
    check_is_quick(page)
    check_names(page)
    check_fits(page)
