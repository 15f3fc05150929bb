"""Every explorer of the course: pure arrays, and a picture and a sentence that follow them."""

import ast
import copy
import importlib.util
import itertools
import pickle
import pkgutil
import re
import subprocess
import sys
from dataclasses import fields, is_dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import AxesImage, FigureImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.text import Text

import msa_course
from msa_course import palette

BROWSER = Path(__file__).parents[1] / "browser"
# Moves that show nothing from the opening setting: a prefill has bf16 index keys alone, and both
# counts give the same rounded costs at a million tokens.
OPENINGS = {
    ("measured", "index_dtype"): {"case": -1},
    ("cost_dial", "count"): {"context": 0},
}


def modules_with(function):
    """Names of the course's modules that define this function at the top."""
    found = []
    for module in pkgutil.walk_packages(msa_course.__path__, "msa_course."):
        spec = importlib.util.find_spec(module.name)
        with open(spec.origin, encoding="utf-8") as source:
            names = {getattr(node, "name", None) for node in ast.parse(source.read()).body}
        if function in names:
            found.append(module.name)
    return found


def is_live(name):
    """True for an explorer that runs in the browser alone, which tests/browser moves."""
    with open(importlib.util.find_spec(name).origin, encoding="utf-8") as source:
        return "show_live" in source.read()


ALL = [name for name in modules_with("explorer") if name != "msa_course.explorer"]
EXPLORERS = [name for name in ALL if not is_live(name)]
LIVE = [name for name in ALL if is_live(name)]
COMPUTES = modules_with("compute")
MAX_BYTES = 12_000  # of a live explorer's own code


@pytest.fixture(autouse=True)
def style():
    palette.use_style()


@cache
def shell(name):
    palette.use_style()
    return importlib.import_module(name).explorer()


def short(name):
    return name.rpartition(".")[2].removesuffix("_figure")


def stops(control):
    """Every value that a control can take, in order."""
    if hasattr(control, "options"):
        labelled = isinstance(control.options[0], tuple) and isinstance(control.options[0][0], str)
        labelled = labelled and len(control.options[0]) == 2
        return [option[1] if labelled else option for option in control.options]
    return list(range(control.min, control.max + 1, control.step))


def opening(name, control):
    """The setting from which this control is moved."""
    made = shell(name)
    changed = OPENINGS.get((short(name), control), {})
    return made.settings | {
        other: stops(made.controls[other])[place] for other, place in changed.items()
    }


def equal(one, other):
    """Whether two states hold the same numbers, however they nest."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        floats = one.dtype.kind == "f"
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=floats)
    if is_dataclass(one):
        return all(equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other or (one != one and other != other)


def forget():
    """Empty every cache of the course, so that the next state is computed."""
    for name, module in list(sys.modules.items()):
        if name.startswith("msa_course."):
            for value in vars(module).values():
                if hasattr(value, "cache_clear") and value is not shell:
                    value.cache_clear()


def constants(module):
    """The module's data, by name."""
    return {name: value for name, value in vars(module).items() if name.strip("_").isupper()}


def artists(fig):
    """What the picture shows, as data: each artist's kind, place and colour."""
    shown = []
    for artist in fig.findobj():
        kind = type(artist).__name__
        if isinstance(artist, AxesImage | FigureImage):
            array = np.ma.filled(artist.get_array().astype(float), np.nan)
            shown.append((kind, array.tobytes(), tuple(artist.get_extent())))
        elif isinstance(artist, Line2D):
            shown.append((kind, np.asarray(artist.get_xydata(), float).tobytes()))
        elif isinstance(artist, Text):
            shown.append((kind, artist.get_text(), artist.get_position()))
        elif isinstance(artist, Patch):
            vertices = artist.get_patch_transform().transform(artist.get_path().vertices)
            shown.append((kind, vertices.tobytes(), artist.get_facecolor(), artist.get_hatch()))
        elif hasattr(artist, "get_offsets"):
            paths = [path.vertices.tobytes() for path in artist.get_paths()]
            shown.append((kind, paths, artist.get_facecolor().tolist()))
    return shown


def check_finite(fig):
    """Every axes has finite limits, every text a finite place, every rectangle a finite size."""
    for ax in fig.axes:
        assert np.isfinite([*ax.get_xlim(), *ax.get_ylim()]).all()
    for text in fig.findobj(Text):
        assert np.isfinite(text.get_position()).all(), text
        assert "nan" not in text.get_text().lower().split(), text
    for patch in fig.findobj(Rectangle):
        assert np.isfinite([patch.get_width(), patch.get_height()]).all(), patch


def extremes(name):
    """Four corners, in which every two neighbouring controls meet in each pair of their ends."""
    ends = {
        key: (stops(control)[0], stops(control)[-1])
        for key, control in shell(name).controls.items()
    }
    for evens, odds in itertools.product((0, 1), repeat=2):
        yield {
            key: end[odds if number % 2 else evens]
            for number, (key, end) in enumerate(ends.items())
        }


every_explorer = pytest.mark.parametrize("name", EXPLORERS, ids=short)


def test_every_lesson_has_an_explorer_and_each_computes_apart_from_its_drawing():
    lessons = {name.split(".")[1] for name in ALL}
    folders = {module.name for module in pkgutil.iter_modules(msa_course.__path__) if module.ispkg}
    assert lessons == folders
    for name in EXPLORERS:
        compute = shell(name).compute
        if isinstance(compute, partial):
            compute = compute.func
        assert compute.__module__ == name.removesuffix("_figure") in COMPUTES


@pytest.mark.parametrize("name", LIVE, ids=short)
def test_a_live_explorer_is_small_and_is_moved_in_a_browser(name):
    module = find_module(name)
    assert module.stat().st_size < MAX_BYTES
    code = module.read_text(encoding="utf-8")
    assert "export function render({ model, el })" in code
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|\bimport\b|innerHTML", code)
    assert (BROWSER / f"test_live_{short(name)}.py").exists()


def find_module(name):
    """The ES module of a live explorer, which lies beside its figure's."""
    return Path(importlib.util.find_spec(name).origin).with_name(f"{short(name)}.mjs")


@every_explorer
def test_computing_twice_gives_the_same_state_and_showing_it_changes_nothing(name):
    made = shell(name)
    module = importlib.import_module(name.removesuffix("_figure"))
    before = copy.deepcopy(constants(module))
    state = made.compute(**made.settings)
    kept = copy.deepcopy(state)
    made.draw(state)
    made.describe(state)
    assert equal(state, kept)
    forget()
    assert equal(made.compute(**made.settings), kept)
    assert equal(constants(module), before)


@every_explorer
def test_moving_any_control_changes_state_picture_and_sentence(name):
    made = shell(name)
    drawn = {}
    for control in made.controls:
        first = opening(name, control)
        values = stops(made.controls[control])
        place = values.index(first[control])
        other = values[place + 1 if place + 1 < len(values) else place - 1]
        before, after = (made.compute(**first | {control: v}) for v in (first[control], other))
        assert not equal(before, after), control
        assert made.describe(before) != made.describe(after), control
        shown = drawn.get(repr(first)) or drawn.setdefault(repr(first), artists(made.draw(before)))
        assert shown != artists(made.draw(after)), control


@every_explorer
def test_every_extreme_is_drawn_and_described(name):
    made = shell(name)
    for setting in extremes(name):
        state = made.compute(**setting)
        fig = made.draw(state)
        fig.draw_without_rendering()
        check_finite(fig)
        sentence = made.describe(state)
        assert sentence.endswith("."), setting
        assert "nan" not in sentence.lower().replace(".", " ").split(), setting


@every_explorer
def test_the_shell_shows_the_opening_state(name):
    made = shell(name)
    assert made.describe(made.compute(**made.settings)) in repr(made)
    assert bytes(made.picture.value).startswith(b"\x89PNG")
    assert all(control.description for control in made.controls.values())


WITHOUT_A_FRONT_END = """
import importlib, pickle, sys
from importlib.abc import MetaPathFinder

class Blocker(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in ("matplotlib", "ipywidgets", "IPython", "torch", "triton"):
            raise ModuleNotFoundError(f"{name} is blocked")

sys.meta_path.insert(0, Blocker())
cases = pickle.load(sys.stdin.buffer)
sentences = {}
for name, settings in cases.items():
    module = importlib.import_module(name)
    if settings is not None:
        sentences[name] = module.describe(module.compute(**settings))
sys.stdout.buffer.write(pickle.dumps(sentences))
"""


def test_every_state_is_computed_and_described_without_a_front_end():
    cases = dict.fromkeys(COMPUTES)
    sentences = {}
    for name in EXPLORERS:
        made = shell(name)
        cases[name.removesuffix("_figure")] = made.settings
        sentences[name.removesuffix("_figure")] = made.describe(made.compute(**made.settings))
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_A_FRONT_END],
        input=pickle.dumps(cases),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert pickle.loads(done.stdout) == sentences
