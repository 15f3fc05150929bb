"""The README's table and the lessons' own lines about time say what the record says."""

import json
import math

import course
import pytest

MAX_SECONDS = 15
TOOL = course.lessons_tool()


@pytest.fixture(scope="module")
def record():
    return json.loads(TOOL.RECORD.read_text(encoding="utf-8"))


def test_every_lesson_was_measured_and_is_quick_enough(record):
    assert list(record["seconds"]) == [path.stem for path in course.LESSONS]
    assert max(record["seconds"].values()) <= MAX_SECONDS


def test_the_table_is_made_of_the_lessons_and_the_record(record):
    (table,) = TOOL.TABLE.findall(TOOL.README.read_text(encoding="utf-8"))
    assert table == TOOL.lesson_table(record)


@pytest.mark.parametrize("path", course.LESSONS, ids=course.name)
def test_a_lesson_says_the_seconds_that_were_measured(path, record):
    _, _, seconds, _ = TOOL.opening(path)
    assert seconds == math.ceil(record["seconds"][path.stem])


def test_the_tree_names_every_file_of_the_package():
    readme = TOOL.README.read_text(encoding="utf-8")
    for path in [*(course.ROOT / "msa_ref").glob("*.py"), course.NOTEBOOKS / "lessons.py"]:
        if path.name != "__init__.py":
            assert f" {path.name} " in readme, path.name
