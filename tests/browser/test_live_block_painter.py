"""The block painter in a browser: 50 moves, each with the numbers that Python computes."""

import numpy as np
from live_page import check_fits, check_is_quick, check_names, drive, show

from msa_course import live
from msa_course.blocks import block_painter, block_painter_figure


def page_of_it():
    return live.html(block_painter_figure.MODULE, block_painter_figure.payload())


def check(settings, numbers):
    wanted = block_painter.compute(**settings)
    for name in ("states", "sizes", "counts", "query", "own"):
        np.testing.assert_array_equal(numbers[name], getattr(wanted, name), err_msg=name)


def test_every_move_shows_what_python_computes(page):
    drive(page, page_of_it(), check)


def test_a_click_on_the_triangle_chooses_the_query(page):
    show(page, page_of_it())
    box = page.locator(".msa svg.paint").bounding_box()
    page.mouse.click(box["x"] + 5, box["y"] + 7.5 / 22 * box["height"])
    shown = page.locator(".msa").get_attribute("data-state")
    assert '"query":7' in shown
    assert "Block 0: tokens 0 to 3, for queries 4 to 7" in page.locator(".msa .told").inner_text()


def test_it_is_quick_named_and_fits(page):
    show(page, page_of_it())
    check_names(page)
    check_is_quick(page)
    check_fits(page)
