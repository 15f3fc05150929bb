"""Explorers in a real browser: run their cell, press an arrow key, see picture and words change."""

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

COURSE = Path(__file__).parents[2] / "notebooks" / "msa_course"

EXPLORERS = sorted(
    ".".join(path.relative_to(COURSE.parent).with_suffix("").parts)
    for path in COURSE.glob("*/*_figure.py")
    if "\ndef explorer(" in (text := path.read_text(encoding="utf-8")) and "show_live" not in text
)

CONNECT_MS = 60_000
RUN_MS = 120_000
MOVE_MS = 20_000

KERNEL_IS_IDLE = """() => {
    const panel = window.jupyterapp?.shell.currentWidget;
    return panel?.context?.isReady && panel.sessionContext?.session?.kernel?.status === 'idle';
}"""
# Returns when every cell has run; true where all of them succeeded.
RUN_ALL = "() => window.jupyterapp.commands.execute('notebook:run-all-cells')"
CELLS = """() => window.jupyterapp.shell.currentWidget.content.widgets
    .filter(cell => cell.model.type === 'code' && cell.model.sharedModel.getSource().trim())
    .map(cell => ({
        count: cell.model.executionCount,
        failed: cell.model.outputs.toJSON().some(output => output.output_type === 'error')
    }))"""
# The bytes the reader's eye gets: the picture's blob, as text.
PICTURE = """async image => {
    const bytes = new Uint8Array(await (await fetch(image.src)).arrayBuffer());
    return Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join('');
}"""
PNG = "89504e470d0a1a0a"


@pytest.fixture
def faults(page):
    """Errors in the console and requests that leave this machine, as they come."""
    found = []
    page.on("pageerror", lambda error: found.append(f"error: {error}"))
    page.on(
        "console",
        lambda message: message.type == "error" and found.append(f"console: {message.text}"),
    )

    def note_request(request):
        if request.url.startswith("http") and not request.url.startswith("http://127.0.0.1:"):
            found.append(f"request: {request.url}")

    page.on("request", note_request)
    return found


def open_and_run(page, lab, sources):
    """Open a new notebook of these cells and run all of it."""
    address, token, folder = lab
    notebook = new_notebook(
        cells=[new_code_cell(source) for source in sources],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)"}},
    )
    nbformat.write(notebook, folder / "explorers.ipynb")
    page.goto(f"{address}/lab/tree/explorers.ipynb?token={token}")
    # "Run All" sent before the kernel is connected is dropped without a word.
    page.wait_for_function(KERNEL_IS_IDLE, timeout=CONNECT_MS)
    page.set_default_timeout(RUN_MS)
    page.evaluate(RUN_ALL)
    page.wait_for_function(KERNEL_IS_IDLE, timeout=RUN_MS)
    cells = page.evaluate(CELLS)
    assert [cell["count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert not any(cell["failed"] for cell in cells)


def press_an_arrow(handle):
    """Move a slider one step by the keyboard: up, or down from its upper end."""
    before = handle.get_attribute("aria-valuenow")
    at_the_end = before == handle.get_attribute("aria-valuemax")
    handle.focus()
    handle.press("ArrowLeft" if at_the_end else "ArrowRight")


def check_that_an_arrow_moves_it(page, explorer):
    """One step of the first slider changes the picture, the sentence and the text, if any."""
    explorer.scroll_into_view_if_needed()
    image = explorer.locator("img")
    sentence = explorer.locator(".widget-html-content").last
    sliders = explorer.locator(".noUi-handle")

    assert sliders.count() >= 1
    labels = explorer.locator(".widget-hslider .widget-label").all_inner_texts()
    assert len(labels) == sliders.count()
    assert all(label.strip() for label in labels)

    picture, words = image.evaluate(PICTURE), sentence.inner_text()
    texts = explorer.get_by_role("region", name="the text")
    lit = [text.inner_html() for text in texts.all()]
    assert picture.startswith(PNG)
    assert words.startswith("In words.")

    source = image.get_attribute("src")
    press_an_arrow(sliders.first)
    page.wait_for_function(
        "([image, source]) => image.src !== source",
        arg=[image.element_handle(), source],
        timeout=MOVE_MS,
    )
    page.wait_for_function(KERNEL_IS_IDLE, timeout=MOVE_MS)
    moved = image.evaluate(PICTURE)
    assert moved.startswith(PNG)
    assert moved != picture
    assert sentence.inner_text() != words
    assert not set(lit) & {text.inner_html() for text in texts.all()}


def test_an_arrow_key_moves_picture_and_words(lab, page, faults):
    sources = ["from msa_course.setup import setup; setup();"]
    sources += [f"from {name} import explorer; explorer()" for name in EXPLORERS]
    open_and_run(page, lab, sources)
    explorers = page.locator(".widget-vbox:has(img):has([role=slider])").all()
    assert len(explorers) == len(EXPLORERS)
    for explorer in explorers:
        check_that_an_arrow_moves_it(page, explorer)
    assert page.get_by_role("region", name="the text").count() == 1  # the text explorer's
    assert faults == []
