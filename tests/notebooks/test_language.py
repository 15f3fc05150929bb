"""Phrases that readers stumbled over stay away, and every link out of the course is on one page."""

import re
from pathlib import Path

import course
import pytest

PHRASES = Path(__file__).with_name("phrases.txt").read_text(encoding="utf-8").splitlines()
LINKS = course.ROOT / "docs" / "links.md"
PAGES = [
    *(path for path in course.LESSONS + course.SOLUTIONS if not course.is_old(path)),
    course.ROOT / "README.md",
    *sorted(path for path in (course.ROOT / "docs").glob("*.md") if path.name != "log.md"),
]


def text_of(path):
    return (
        course.prose(course.read(path))
        if path.suffix == ".ipynb"
        else path.read_text(encoding="utf-8")
    )


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_no_phrase_is_one_that_readers_stumbled_over(path):
    words = " ".join(text_of(path).split())
    found = [phrase for phrase in PHRASES if phrase in words]
    assert not found, found


def test_every_link_out_of_the_course_is_on_one_page_with_what_it_is():
    listed = dict(
        re.findall(r"^- <(https?://\S+)> : (.+)$", LINKS.read_text("utf-8"), re.MULTILINE)
    )
    assert all(listed.values())
    linked = set()
    for path in course.LESSONS:
        if not course.is_old(path):
            linked |= set(re.findall(r"\]\((https?://[^)\s]+)\)", text_of(path)))
    assert linked == set(listed)
