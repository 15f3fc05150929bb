"""The explorer of a decode step, alive: its numbers are those of `compute`, by keys and mouse."""

import pytest
from live_page import check_fits, check_is_quick, check_names, drive, show

from msa_course import live
from msa_course.whole_layer import decode_reads, decode_reads_figure

OPENING = {
    "context": 32768,
    "top_k": 16,
    "block_size": 128,
    "query": 1,
    "channel_bytes": 2,
    "group": 0,
}
SIZES = ("num_pages", "index_bytes", "main_bytes", "dense_bytes", "chosen")


@pytest.fixture
def html():
    return live.html(decode_reads_figure.MODULE, decode_reads_figure.stored(OPENING))


def compare(settings, numbers):
    reads = decode_reads.compute(**settings)
    for name in SIZES:
        assert numbers[name] == getattr(reads, name), (name, settings)
    assert numbers["ratio"] == pytest.approx(reads.ratio)
    ids = [[int(block) for block in row if block >= 0] for row in reads.selection]
    assert numbers["selection"] == ids, settings


def test_the_numbers_are_those_of_python(page, html):
    drive(page, html, compare)


def test_the_sentence_is_that_of_python(page, html):
    show(page, html)
    said = page.locator(".msa .words").inner_text()
    assert said == decode_reads.describe(decode_reads.compute(**OPENING))


def test_a_click_on_a_group_names_its_blocks_and_a_page_lights_with_its_value(page, html):
    show(page, html)
    page.get_by_role("button", name="values: name the blocks of group 2").click()
    block = decode_reads.compute(**OPENING | {"group": 2}).chosen[0]
    assert f"Group 2 reads blocks {block}," in page.locator(".msa .words").inner_text()
    page.locator(f'rect[data-page="2 {block}"]').first.hover(force=True)
    assert page.locator("rect.near").count() == 2


def test_it_is_quick_named_and_fits(page, html):
    show(page, html)
    check_is_quick(page)
    check_names(page)
    check_fits(page)
