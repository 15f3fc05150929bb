"""The block-selection explorer in a browser: alive without a kernel, and with a rule in Python."""

import nbformat
import numpy as np
import pytest
from live_page import check_fits, check_is_quick, check_names, drive, show, state
from nbformat.v4 import new_code_cell, new_notebook

from msa_course import live
from msa_course.choosing_k.block_selection import compute, describe, read
from msa_course.choosing_k.block_selection_figure import MODULE, OPENING, numbers

HTML = live.html(MODULE, numbers(OPENING))
STEP = 2e-5  # of a mass, in the 16 bits that are stored
CONNECT_MS, RUN_MS, MOVE_MS = 60_000, 120_000, 20_000
IDLE = """() => {
    const panel = window.jupyterapp?.shell.currentWidget;
    return panel?.context?.isReady && panel.sessionContext?.session?.kernel?.status === 'idle';
}"""
RUN_ALL = "() => window.jupyterapp.commands.execute('notebook:run-all-cells')"
OWN_RULE = """
from msa_course.choosing_k.block_selection_figure import explorer_of
def my_rule(scores, local, top_k):
    if top_k > 7:
        raise ValueError("that is too much")
    return [0, *range(local - top_k + 2, local + 1)]
explorer_of(my_rule)
"""


def check_numbers(settings, got, wanted):
    assert got["selection"] == wanted.selection
    assert got["states"] == wanted.states.tolist()
    assert got["ranks"] == wanted.ranks.tolist()
    local = settings["query"] // 32
    assert got["winners"][: local + 1] == wanted.winners[: local + 1].tolist()
    np.testing.assert_allclose(got["block_scores"], wanted.block_scores[: local + 1], rtol=1e-6)
    np.testing.assert_allclose(got["dense"], wanted.dense, atol=STEP)
    # A head whose chosen blocks are nearly empty multiplies the rounding.
    np.testing.assert_allclose(got["sparse"], wanted.sparse, atol=0.02)
    for name in ("held", "best", "missed_share"):
        assert got[name] == pytest.approx(getattr(wanted, name), abs=10 * STEP)
    assert (got["tokens_read"], got["tokens_seen"]) == (wanted.tokens_read, wanted.tokens_seen)


def check(settings, got):
    wanted = compute(**settings)
    check_numbers(settings, got, wanted)
    if got["missed"] == wanted.missed and "." in got["sentence"]:
        before, said = describe(wanted).split(": ")[0], got["sentence"]
        assert said.startswith(before)


def test_keys_and_mouse_move_it_and_its_numbers_are_pythons(page):
    drive(page, HTML, check)
    check_names(page)


def test_it_is_quick(page):
    show(page, HTML)
    check_is_quick(page)


def test_it_fits_a_phone_and_a_wide_screen(page):
    show(page, HTML)
    check_fits(page)


def test_a_block_under_the_pointer_shows_its_text_and_a_click_keeps_it(page):
    show(page, HTML)
    page.get_by_role("button", name="block 4,").hover()
    assert page.locator(".msa mark").inner_text() == " executed"
    assert "Block 4, tokens 128 to 159" in page.locator(".msa h4").last.inner_text()
    page.get_by_role("button", name="block 4,").click()
    assert state(page)[1]["pinned"] == 4
    page.mouse.move(5, 5)
    assert "Block 4," in page.locator(".msa h4").last.inner_text()
    page.get_by_role("button", name="block 4,").press("Enter")
    assert state(page)[1]["pinned"] is None


def test_a_word_asks_when_it_is_clicked(page):
    show(page, HTML)
    page.get_by_role("button", name="ask from token 576").click()
    settings, got = state(page)
    assert settings["query"] == 576
    assert got["selection"] == [0, 6, 7, 18]


@pytest.mark.parametrize("background", ["#fff", "#111"])
def test_the_theme_is_the_pages(page, background):
    show(page, HTML, background)
    theme = "light" if background == "#fff" else "dark"
    assert page.locator(".msa").get_attribute("data-theme") == theme


def test_in_jupyterlab_a_rule_of_the_readers_own_answers(lab, page):
    address, token, folder = lab
    notebook = new_notebook(
        cells=[new_code_cell(OWN_RULE)],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)"}},
    )
    nbformat.write(notebook, folder / "own_rule.ipynb")
    page.goto(f"{address}/lab/tree/own_rule.ipynb?token={token}")
    page.wait_for_function(IDLE, timeout=CONNECT_MS)
    page.set_default_timeout(RUN_MS)
    page.evaluate(RUN_ALL)
    page.wait_for_selector(".msa[data-state]")

    settings, got = state(page)
    check_numbers(settings, got, read(612, 2, [0, 17, 18, 19]))
    slider = page.get_by_label("k, blocks read")
    slider.press("ArrowRight")
    moved = "() => JSON.parse(document.querySelector('.msa').dataset.state).settings.top_k === {}"
    page.wait_for_function(moved.format(5), timeout=MOVE_MS)
    settings, got = state(page)
    check_numbers(settings, got, read(612, 2, [0, 16, 17, 18, 19]))
    slider.press("End")
    page.wait_for_function(moved.format(8), timeout=MOVE_MS)
    settings, got = state(page)
    assert got["sentence"] == "Your rule raised ValueError: that is too much"
    assert got["selection"] == [19]
