"""Attention on text: what it shows is what Python computes, by keys, by mouse and word by word."""

import live_page
import pytest

from msa_course import live
from msa_course.attention_is_mostly_empty import attention_on_text, attention_on_text_figure

OPENING = {"head": "look-up", "position": 612, "block_size": 32, "top_k": 4}
# The middle of a word's last line, for one that is broken over two.
MIDDLE = """word => {
    word.scrollIntoView({ block: 'center' });
    const box = [...word.getClientRects()].at(-1);
    return [box.left + box.width / 2, box.top + box.height / 2];
}"""
SHADED = """all => all.filter(word => +word.style.getPropertyValue('--w'))
    .map(word => +word.dataset.token)"""
STEPS = 2e-4  # a few small blocks, quantised


@pytest.fixture(scope="module")
def html():
    data = attention_on_text_figure.stored() | {"opening": OPENING}
    return live.html(attention_on_text_figure.MODULE, data)


def check(settings, numbers):
    """The numbers on the page are compute's."""
    right = attention_on_text.compute(**settings)
    assert numbers["chosen"] == right.chosen.tolist(), settings
    assert numbers["heaviest"] == right.heaviest.tolist(), settings
    assert numbers["mass"] == pytest.approx(right.mass, abs=STEPS)
    assert numbers["captured"] == pytest.approx(right.captured, abs=STEPS)
    assert numbers["heaviest_weights"] == pytest.approx(right.heaviest_weights, abs=STEPS)


def test_keys_and_mouse_show_what_python_computes(page, html):
    live_page.drive(page, html, check)
    live_page.check_is_quick(page)
    live_page.check_names(page)
    live_page.check_fits(page)


def test_every_word_can_be_asked_by_click_and_by_arrow(page, html):
    live_page.show(page, html)
    for position in range(3, attention_on_text.NUM_TOKENS, 31):
        page.mouse.click(*page.locator(f"[data-token='{position}']").evaluate(MIDDLE))
        assert live_page.state(page)[0]["position"] == position
        check(*live_page.state(page))
        page.locator(".msa [role=option][aria-selected=true]").focus()
        page.keyboard.press("ArrowRight")
        settings, numbers = live_page.state(page)
        assert settings["position"] == position + 1
        check(settings, numbers)
    assert page.faults == []


def test_lit_blocks_and_shaded_words_are_those_that_are_read(page, html):
    live_page.show(page, html)
    right = attention_on_text.compute(**OPENING)
    lit = page.locator(".msa .on").evaluate_all("all => all.map(word => +word.dataset.token)")
    assert {token // 32 for token in lit} == set(right.chosen.tolist())
    shaded = page.locator(".msa [data-token]").evaluate_all(SHADED)
    heavy = [token for token, weight in enumerate(right.weights) if weight >= 0.01]
    assert shaded == heavy
    # One tab stop for the whole text, and an arc to "and".
    assert page.locator(".msa [role=option][tabindex='0']").count() == 1
    assert page.locator(".msa .paper path").count() == 1
    page.mouse.move(*page.locator("[data-token='235']").evaluate(MIDDLE))
    assert (
        "Token 235 \u201cand\u201d, in block 7: 88\u00a0%" in page.locator(".msa .tip").inner_text()
    )
