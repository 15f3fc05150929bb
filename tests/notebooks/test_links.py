"""Links lead somewhere, and the lessons are chained in order."""

import re

import course
import pytest

DOCUMENTS = [
    *course.LESSONS,
    *course.SOLUTIONS,
    course.ROOT / "README.md",
    *sorted((course.ROOT / "docs").rglob("*.md")),
]
TARGET = re.compile(r"\]\(([^)\s]+)(?:\s\"[^\"]*\")?\)|(?:src|href|srcset)=\"([^\"]+)\"")
PLACE = re.compile(r"lesson (\d+) of (\d+)")
CODE = re.compile(r"```.*?```|`[^`\n]+`", flags=re.DOTALL)


def text_of(path):
    if path.suffix == ".ipynb":
        return course.prose(course.read(path))
    return path.read_text(encoding="utf-8")


def targets(text):
    """Where the links and pictures of a markdown text lead, code left out."""
    found = TARGET.findall(CODE.sub("", text))
    return [markdown or markup for markdown, markup in found]


def slug(heading):
    """A heading's anchor as GitHub makes it."""
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")


def anchors(path):
    lines = text_of(path).splitlines()
    return {slug(line.lstrip("#")) for line in lines if re.match(r"#{1,6} ", line)}


def broken(path, text):
    """Links of a text in this file that lead nowhere; those out of the project are not followed."""
    for target in targets(text):
        if re.match(r"https?://|mailto:", target):
            continue
        place, _, anchor = target.partition("#")
        file = (path.parent / place).resolve() if place else path
        found = file.is_relative_to(course.ROOT) and file.exists() and not place.startswith("/")
        # JupyterLab's anchors and GitHub's differ, so lessons are linked to as whole files.
        if found and anchor:
            found = file.suffix == ".md" and anchor in anchors(file)
        if not found:
            yield target


def chain(path):
    """(place, total, target of the link `previous`, target of the link `next`) in the opening."""
    lines = course.read(path).cells[0].source.splitlines()
    (line,) = [line for line in lines if PLACE.search(line)]
    place, total = PLACE.search(line).groups()
    links = dict(re.findall(r"\[([^\]]+)\]\(([^)]+)\)", line))
    return int(place), int(total), links.get("previous"), links.get("next")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(course.ROOT)))
def test_every_link_leads_to_a_file(path):
    assert list(broken(path, text_of(path))) == []


@pytest.mark.parametrize("path", course.LESSONS, ids=course.name)
def test_the_lessons_are_chained(path):
    names = [None, *(lesson.name for lesson in course.LESSONS), None]
    place = names.index(path.name)
    assert chain(path) == (place, course.NUM_LESSONS, names[place - 1], names[place + 1])


@pytest.mark.parametrize("path", course.LESSONS[:-1], ids=course.name)
def test_a_lesson_ends_with_the_link_to_the_next(path):
    after = course.LESSONS[course.LESSONS.index(path) + 1]
    ending = course.prose(course.read(path)).partition("\n## Next")[2]
    assert after.name in targets(ending)


@pytest.mark.parametrize("path", course.LESSONS, ids=course.name)
def test_a_lesson_leads_to_its_solutions_and_back(path):
    assert f"solutions/{path.name}" in targets(text_of(path))
    assert f"../{path.name}" in targets(text_of(path.parent / "solutions" / path.name))


def test_broken_links_are_found():
    page = course.ROOT / "docs" / "page.md"
    good = "[a](authoring.md) [b](notation.md#notation) [c](https://example.org) `[d](no.md)`"
    assert list(broken(page, good)) == []
    for bad in ("[a](no.md)", "[b](notation.md#no)", "[c](/etc/hosts)", '<img src="no.png">'):
        assert len(list(broken(page, bad))) == 1, bad
