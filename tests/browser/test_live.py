"""A stored explorer is alive wherever it is opened, and a picture where no script runs."""

import json

import numpy as np
import pytest
from live_page import check_fits, check_is_quick, check_names, drive, show, state
from matplotlib.figure import Figure
from nbconvert import HTMLExporter
from nbformat.sign import NotebookNotary
from nbformat.v4 import new_code_cell, new_notebook, new_output

from msa_course import figures, live

SCORES = np.linspace(0.1, 1, 10)
MODULE = """
export function render({ model, el }) {
  stage(el);
  const scores = unpack(model.get("scores")).values, words = sentence(), bars = make("p");
  let k = 2;
  const update = () => {
    words.textContent = `The first ${k} of 10 are chosen.`;
    const total = scores.slice(0, k).reduce((sum, score) => sum + score, 0);
    publish(el, { settings: { k }, numbers: { total } });
  };
  const choose = (value) => { k = value; update(); };
  for (let i = 1; i <= 10; i += 1) {
    const bar = bars.appendChild(make("button", { "aria-label": `the first ${i}` }, `${i}`));
    bar.addEventListener("click", () => choose(i));
  }
  el.append(slider("how many", { min: 1, max: 10, value: k }, choose), bars, words);
  update();
}
export default { render };
"""


@pytest.fixture
def html(tmp_path):
    module = tmp_path / "bars.mjs"
    module.write_text(MODULE, encoding="utf-8")
    return live.html(module, {"scores": live.quantise(SCORES)})


@pytest.fixture
def notebook(html):
    """A lesson as it is stored: a picture, then the explorer."""
    picture = {"image/png": figures.to_png(Figure((2, 1))), "text/plain": "Ten bars."}
    outputs = [
        new_output("display_data", picture, metadata={"image/png": {"alt": "Ten bars."}}),
        new_output("display_data", {"text/html": html, "text/plain": "(an explorer)"}),
    ]
    cell = new_code_cell("explorer()", execution_count=1, outputs=outputs)
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)"}
    return new_notebook(cells=[cell], metadata={"kernelspec": kernel})


def check_total(settings, numbers):
    assert numbers["total"] == pytest.approx(SCORES[: settings["k"]].sum(), abs=1e-4)


def test_it_follows_keys_and_mouse_and_fits(page, html):
    drive(page, html, check_total)
    check_is_quick(page)
    check_names(page)
    check_fits(page)


@pytest.mark.parametrize(("background", "theme"), [("#fff", "light"), ("#111", "dark")])
def test_it_has_the_colours_of_the_page(page, html, background, theme):
    show(page, html, background)
    page.wait_for_selector(f".msa[data-theme={theme}]")


def test_a_page_from_a_file_is_alive(page, notebook, tmp_path):
    body, _ = HTMLExporter().from_notebook_node(notebook)
    path = tmp_path / "lesson.html"
    path.write_text(body, encoding="utf-8")
    page.goto(path.as_uri())
    check_total(*state(page))
    assert not page.get_by_alt_text("Ten bars.").is_visible()


def open_in_lab(page, lab, notebook, name):
    address, token, folder = lab
    notebook.metadata.title = name  # or it would be the one that another test had signed
    (folder / name).write_text(json.dumps(notebook), encoding="utf-8")
    # A workspace of its own: the shared one would open what was open before as well.
    page.goto(f"{address}/lab/workspaces/{name[:-6]}/tree/{name}?token={token}")
    page.wait_for_selector(".jp-Notebook .jp-OutputArea-output")


def test_the_second_sitting_without_a_kernel_is_alive(page, lab, notebook):
    """A notebook that was run here before is trusted; its kernel is gone."""
    address, token, _ = lab
    page.request.put(
        f"{address}/api/contents/second.ipynb?token={token}",
        data=json.dumps({"type": "notebook", "format": "json", "content": trusted(notebook)}),
        headers={"Content-Type": "application/json", "Authorization": f"token {token}"},
    )
    page.goto(f"{address}/lab/workspaces/second/tree/second.ipynb?token={token}")
    page.wait_for_selector(".jp-Notebook .msa[data-state]")
    check_total(*state(page))
    slider = page.locator(".msa input[type=range]")
    slider.focus()
    slider.press("ArrowRight")
    assert state(page)[0]["k"] == 3
    check_total(*state(page))


def trusted(notebook):
    """The same notebook, whose cells the server will sign when it stores them."""
    NotebookNotary().mark_cells(notebook, True)
    return notebook


def test_an_untrusted_clone_shows_the_picture(page, lab, notebook):
    open_in_lab(page, lab, notebook, "clone.ipynb")
    page.wait_for_selector(".jp-Notebook img")
    assert page.locator(".jp-Notebook img").first.is_visible()
    assert page.locator(".msa").count() == 0


def test_without_scripts_the_picture_stays(browser, notebook, tmp_path):
    body, _ = HTMLExporter().from_notebook_node(notebook)
    path = tmp_path / "lesson.html"
    path.write_text(body, encoding="utf-8")
    context = browser.new_context(java_script_enabled=False)
    quiet = context.new_page()
    quiet.goto(path.as_uri())
    assert quiet.locator(".jp-OutputArea img").first.is_visible()
    context.close()
