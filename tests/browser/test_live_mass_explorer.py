"""The mass explorer: what it shows is what Python computes, head by head."""

import live_page
import pytest

from msa_course import live
from msa_course.attention_is_mostly_empty import mass_explorer, mass_explorer_figure

OPENING = {"head": "layer 18 head 6", "position": 612, "block_size": 32, "top_k": 4}
STEPS = 2e-4  # a few small blocks, quantised


@pytest.fixture(scope="module")
def html():
    data = mass_explorer_figure.stored() | {"opening": OPENING}
    return live.html(mass_explorer_figure.MODULE, data)


def check(settings, numbers):
    """The numbers on the page are compute's."""
    right = mass_explorer.compute(**settings)
    assert numbers["chosen"] == right.chosen.tolist(), settings
    assert numbers["tokens_read"] == right.tokens_read
    assert numbers["keys_needed"] == right.keys_needed
    assert numbers["block_mass"] == pytest.approx(right.block_mass, abs=STEPS)
    assert numbers["captured"] == pytest.approx(right.captured, abs=STEPS)
    assert numbers["by_keys"] == pytest.approx(right.by_keys, abs=STEPS)
    assert numbers["held"] == pytest.approx(right.held, abs=STEPS)


def test_keys_and_mouse_show_what_python_computes(page, html):
    live_page.drive(page, html, check)
    live_page.check_is_quick(page)
    live_page.check_names(page)
    live_page.check_fits(page)


def test_every_head_is_a_button_that_says_its_share(page, html):
    live_page.show(page, html)
    right = mass_explorer.compute(**OPENING)
    for name, share in zip(mass_explorer.head_names(), right.held):
        page.get_by_role("button", name=f"{name}: {100 * share:.0f}\u00a0%", exact=True).click()
        settings, numbers = live_page.state(page)
        assert settings["head"] == name
        check(settings, numbers)
    assert page.locator(".msa [aria-pressed=true]").count() == 1
    assert page.faults == []
