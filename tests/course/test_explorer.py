"""The explorers' shell: sliders, a picture and a sentence that move together and store no state."""

from base64 import b64decode
from io import BytesIO
from typing import NamedTuple

import ipywidgets
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure
from matplotlib.image import imread

from msa_course.explorer import Explorer, choice, new_figure, slider, to_png

PNG = b"\x89PNG\r\n\x1a\n"


class Bar(NamedTuple):
    size: int
    kind: str


def draw(bar):
    fig = new_figure(2, 1)
    fig.add_subplot().bar(["a"], [bar.size], color=bar.kind)
    return fig


def describe(bar):
    return f"The bar is {bar.size} high & <{bar.kind}>."


@pytest.fixture
def explorer():
    return Explorer(
        "Bars",
        Bar,
        draw,
        describe,
        size=slider("height", 3, 1, 9),
        kind=choice("colour", ["black", "blue"], "black"),
    )


def test_the_bundle_carries_a_picture_and_a_stable_text(explorer):
    bundle = explorer._repr_mimebundle_()
    assert b64decode(bundle["image/png"]) == explorer.picture.value
    assert bundle["text/plain"] == "Bars. The bar is 3 high & <black>."
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == explorer.model_id


def test_the_bundle_of_an_equal_explorer_is_equal_but_for_its_id(explorer):
    other = Explorer(
        "Bars",
        Bar,
        draw,
        describe,
        size=slider("height", 3, 1, 9),
        kind=choice("colour", ["black", "blue"], "black"),
    )
    one, two = explorer._repr_mimebundle_(), other._repr_mimebundle_()
    view = "application/vnd.jupyter.widget-view+json"
    assert one.pop(view) != two.pop(view)
    assert one == two


def test_the_bundle_holds_no_state(explorer):
    allowed = {"text/plain", "image/png", "application/vnd.jupyter.widget-view+json"}
    assert set(explorer._repr_mimebundle_()) <= allowed
    view = explorer._repr_mimebundle_()["application/vnd.jupyter.widget-view+json"]
    assert set(view) == {"version_major", "version_minor", "model_id"}


def test_every_control_has_a_description(explorer):
    assert [control.description for control in explorer.controls.values()] == ["height", "colour"]


def test_moving_a_control_changes_picture_and_words(explorer):
    for control, value in ((explorer.controls["size"], 4), (explorer.controls["kind"], "blue")):
        picture, sentence = bytes(explorer.picture.value), explorer.sentence.value
        control.value = value
        assert bytes(explorer.picture.value).startswith(PNG)
        assert bytes(explorer.picture.value) != picture
        assert explorer.sentence.value != sentence
    assert explorer.settings == {"size": 4, "kind": "blue"}
    assert repr(explorer) == "Bars. The bar is 4 high & <blue>."


def test_a_move_computes_draws_and_describes_once():
    calls = []

    def counted(function):
        def call(*args, **settings):
            calls.append(function)
            return function(*args, **settings)

        return call

    made = Explorer(
        "Bars", counted(Bar), counted(draw), counted(describe), size=slider("height", 3, 1, 9),
        kind=choice("colour", ["black", "blue"], "black"),
    )  # fmt: skip
    calls.clear()
    made.controls["size"].value = 4
    assert calls == [Bar, draw, describe]


def test_the_text_stands_in_for_the_picture_where_none_can_be_shown(explorer):
    explorer.controls["size"].value = 9
    assert repr(explorer) == "Bars. The bar is 9 high & <black>."
    assert explorer._repr_mimebundle_()["text/plain"] == repr(explorer)


def test_words_are_shown_as_text_and_not_read_as_markup(explorer):
    assert " &amp; " in explorer.sentence.value
    assert "&lt;black&gt;" in explorer.sentence.value


def test_controls_picture_and_sentence_stand_in_that_order(explorer):
    controls = list(explorer.controls.values())
    assert list(explorer.children) == [*controls, explorer.picture, explorer.sentence]


def test_sliders_work_from_the_keyboard_and_report_every_step():
    made = slider("query", 5, 0, 63, 3)
    assert isinstance(made, ipywidgets.IntSlider)  # ArrowRight adds a step
    assert (made.value, made.min, made.max, made.step) == (5, 0, 63, 3)
    assert made.continuous_update
    named = choice("view", [("one", 1), ("two", 2)], 2)
    assert isinstance(named, ipywidgets.SelectionSlider)
    assert (named.value, named.description) == (2, "view")


def test_a_figure_is_drawn_outside_pyplot():
    figure = new_figure(3, 2)
    assert isinstance(figure, Figure)
    assert pyplot.get_fignums() == []
    assert tuple(figure.get_size_inches()) == (3, 2)


def test_a_picture_is_opaque_white_and_the_same_each_time():
    first, second = to_png(draw(Bar(3, "black"))), to_png(draw(Bar(3, "black")))
    assert first == second
    pixels = imread(BytesIO(first))
    assert np.array_equal(pixels[0, 0], [1, 1, 1, 1])
    assert pixels[..., 3].min() == 1
