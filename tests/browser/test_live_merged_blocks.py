"""The explorer of token 612's blocks in a browser: every number it shows is Python's."""

import json
import random

import pytest

from msa_course import live
from msa_course.exact_on_what_was_chosen import merged_blocks as explorer
from msa_course.exact_on_what_was_chosen import merged_blocks_figure as figure

PAGE = "<!doctype html><meta charset=utf-8><body style='margin:8px'><div>{}</div>"
SETTINGS = 50


@pytest.fixture
def opened(page):
    """The page with the explorer; errors in its console fail the test."""
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.set_content(PAGE.format(live.html(figure.MODULE, figure.payload())))
    yield page
    assert faults == []


def state_of(page):
    return json.loads(page.locator("[data-state]").get_attribute("data-state"))


def assert_as_python_says(page):
    state = state_of(page)
    want = explorer.compute(**state["settings"])
    for name, number in state["numbers"].items():
        assert number == pytest.approx(getattr(want, name), rel=2e-3, abs=1e-5), (name, state)
    words = page.locator(".words").inner_text()
    assert words.split(".")[0] == explorer.describe(want).split(".")[0]


def test_it_opens_at_the_best_four_blocks(opened):
    assert state_of(opened)["settings"] == {"head": 6, "blocks": [0, 4, 7, 19]}
    assert_as_python_says(opened)


def test_fifty_settings_by_keyboard_and_mouse_are_pythons(opened):
    moves = random.Random(0)
    sliders, blocks = opened.locator("input[type=range]"), opened.locator("[role=button]")
    assert blocks.count() == explorer.NUM_BLOCKS
    for _ in range(SETTINGS):
        kind = moves.choice(["click", "key", "slider"])
        if kind == "slider":
            sliders.nth(moves.randrange(2)).press(moves.choice(["ArrowLeft", "ArrowRight"]))
        else:
            block = blocks.nth(moves.randrange(explorer.NUM_BLOCKS))
            block.click() if kind == "click" else block.press(moves.choice(["Enter", "Space"]))
        assert_as_python_says(opened)


def test_nothing_read_and_everything_read_are_said(opened):
    blocks = opened.locator("[role=button]")
    for block in (0, 4, 7, 19):
        blocks.nth(block).press("Enter")
    assert state_of(opened)["settings"]["blocks"] == []
    assert "No block is read" in opened.locator(".words").inner_text()
    assert_as_python_says(opened)
    opened.locator("input[type=range]").nth(1).press("End")
    assert state_of(opened)["numbers"]["largest_error"] == pytest.approx(0, abs=1e-6)


def test_a_hovered_block_shows_its_words(opened):
    opened.locator("[role=button]").nth(4).hover()
    assert "standard rules for assignments" in opened.locator(".said").inner_text()
