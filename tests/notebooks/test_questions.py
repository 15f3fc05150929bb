"""What a reader must be able to answer after a lesson is answered in it, where the list says."""

import re
from pathlib import Path

import course
import pytest

NUM_QUESTIONS = 8
PAGE = Path(__file__).with_name("questions.md")
LINE = re.compile(r"- (?P<question>[^|]+\?) \| (?P<cell>[\w-]+) \| (?P<text>.+)")

NEW = [path for path in course.LESSONS if not course.is_old(path)]


def questions():
    """Lines of the page by the lesson whose heading they follow."""
    parts = re.split(r"^## (\w+)\n", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {
        lesson: [line for line in part.splitlines() if line.startswith("- ")]
        for lesson, part in zip(parts[1::2], parts[2::2])
    }


def test_every_lesson_has_its_questions():
    assert list(questions()) == [course.slug(path) for path in NEW]
    assert {len(lines) for lines in questions().values()} == {NUM_QUESTIONS}


@pytest.mark.parametrize("path", NEW, ids=course.name)
def test_the_cell_that_is_named_answers(path):
    cells = {cell.id: cell for cell in course.read(path).cells}
    for line in questions()[course.slug(path)]:
        found = LINE.fullmatch(line)
        assert found, line
        cell = cells[found["cell"]]
        said = cell.source if cell.cell_type == "markdown" else "".join(course.texts(cell))
        assert found["text"] in said, line
