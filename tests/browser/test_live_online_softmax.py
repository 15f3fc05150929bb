"""The online-softmax stepper in a browser: every number it shows is Python's."""

import math

import pytest
from live_page import check_fits, check_is_quick, check_names, drive, show, state

from msa_course import live
from msa_course.two_orders import online_softmax as stepper
from msa_course.two_orders import online_softmax_figure as figure


@pytest.fixture(scope="module")
def html():
    return live.html(figure.MODULE, figure.payload())


def check(settings, numbers):
    trace = stepper.compute(**settings)
    assert settings["step"] == trace.step
    for name, number in numbers.items():
        want = getattr(trace, name)[trace.step]
        if number is None:
            assert not math.isfinite(want), name
        else:
            assert number == pytest.approx(want, rel=1e-9, abs=1e-12), (name, settings)


def test_it_follows_keys_and_mouse_and_fits(page, html):
    drive(page, html, check)
    check_is_quick(page)
    check_names(page)
    check_fits(page)


@pytest.mark.parametrize("case", stepper.CASES)
def test_it_says_what_python_says_at_every_step(page, html, case):
    show(page, html)
    page.get_by_role("button", name=case).click()
    steps = page.locator("input[type=range]").first
    steps.press("Home")
    for _ in range(7):
        settings, _ = state(page)
        assert settings["case"] == case
        words = page.locator(".words").inner_text()
        assert words == stepper.describe(stepper.compute(**settings))
        steps.press("ArrowRight")


def test_a_larger_chunk_keeps_the_step_in_range(page, html):
    show(page, html)
    steps, chunks = page.locator("input[type=range]").all()
    steps.press("End")
    chunks.press("End")
    assert state(page)[0] == {"step": 1, "chunk": 12, "case": "one needle"}
    check(*state(page))
