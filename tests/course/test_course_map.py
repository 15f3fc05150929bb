"""The course map: what each lesson lights, that nothing overlaps, and that the slider moves it."""

import itertools
from pathlib import Path

import pytest

import msa_ref
from msa_course.news import course_map, course_map_figure

PNG = b"\x89PNG\r\n\x1a\n"
LESSONS = range(len(course_map.LESSONS))
LAST = LESSONS[-1]


def say(*setting):
    """The explorer's sentence at this setting."""
    return course_map.describe(course_map.compute(*setting))


def lit(lesson):
    return {name for name, on in course_map.compute(lesson).lit.items() if on}


def test_the_first_lesson_lights_every_part():
    assert all(course_map.compute(0).lit.values())


def test_every_lesson_after_it_leaves_something_dark():
    assert all(not all(course_map.compute(lesson).lit.values()) for lesson in LESSONS[1:])


@pytest.mark.parametrize(
    ("lesson", "step"), [(5, "score"), (6, "select"), (7, "attend"), (8, "project")]
)
def test_a_lesson_that_builds_a_step_lights_it_and_what_it_reads_and_makes(lesson, step):
    ends = {name for flow in course_map.FLOWS for name in flow[:2] if step in flow[:2]}
    assert ends <= lit(lesson)


@pytest.mark.parametrize("lesson", LESSONS)
def test_names_on_the_map_carry_the_number_of_the_lesson_that_builds_them(lesson):
    parts = {**course_map.STEPS, **course_map.GROUND}
    numbered = [
        name for name, part in parts.items() if f"{lesson:02d}" in f"{part.name} {part.meaning}"
    ]
    assert len(numbered) == (0 if lesson == 0 else 1)
    assert set(numbered) <= lit(lesson)


def test_every_module_named_on_the_map_is_in_the_package():
    package = Path(msa_ref.__file__).parent
    steps = [part.meaning for part in course_map.STEPS.values()]
    ground = [part.name for part in course_map.GROUND.values()]
    for text in (*steps, *ground):
        assert (package / f"{text.split(' · ')[0]}.py").exists()


def test_every_lesson_of_the_map_is_a_notebook_with_that_title():
    notebooks = Path(__file__).parents[2] / "notebooks"
    for number, (title, _, _) in enumerate(course_map.LESSONS):
        found = list(notebooks.glob(f"{number:02d}_*.ipynb"))
        if found:
            assert f"# {number:02d} · {title}" in found[0].read_text(encoding="utf-8")


def test_no_two_boxes_touch_and_none_leaves_the_picture():
    boxes = []
    for parts, height in (
        (course_map.DATA, 0.8),
        (course_map.STEPS, 0.56),
        (course_map.GROUND, 0.56),
    ):
        boxes += [
            (
                part.x - part.width / 2,
                part.x + part.width / 2,
                part.y - height / 2,
                part.y + height / 2,
            )
            for part in parts.values()
        ]
    for left, right, low, high in boxes:
        assert 0 < left < right < course_map_figure.WIDTH
        assert 0 < low < high < 4
    for (a, b, c, d), (e, f, g, h) in itertools.combinations(boxes, 2):
        assert b < e or f < a or d < g or h < c


def test_words_name_the_lesson_and_its_steps():
    assert say(6) == (
        "Lesson 06, Choosing k, shows how the best shelves are chosen. Steps lit: select."
    )
    assert "Steps lit" not in say(4)
