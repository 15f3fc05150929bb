"""The README's table and the lessons' own lines about time say what the record says."""

import json
import math
import re
import subprocess
import sys

import course
import pytest

MAX_SECONDS, MAX_SECONDS_IN_TORCH = 15, 25
TOOL = course.lessons_tool()


@pytest.fixture(scope="module")
def record():
    return json.loads(TOOL.RECORD.read_text(encoding="utf-8"))


def test_every_lesson_was_measured_and_is_quick_enough(record):
    assert list(record["seconds"]) == [path.stem for path in course.LESSONS]
    for path in course.LESSONS:
        limit = MAX_SECONDS_IN_TORCH if course.needs(path) else MAX_SECONDS
        assert record["seconds"][path.stem] <= limit, path.stem


def test_the_readme_shows_the_gpu_record():
    bench = course.ROOT / "kernels" / "bench"
    measured = course.ROOT / "msa_ref" / "data" / "measured" / "h200.json"
    printed = subprocess.run(
        [sys.executable, bench / "table.py", measured], capture_output=True, text=True, check=True
    ).stdout
    readme = TOOL.README.read_text(encoding="utf-8")
    shown = readme.partition("<!-- measured -->\n")[2].partition("\n<!-- /measured -->")[0]
    assert shown == printed.strip()


def test_the_table_is_made_of_the_lessons_and_the_record(record):
    (table,) = TOOL.TABLE.findall(TOOL.README.read_text(encoding="utf-8"))
    assert table == TOOL.lesson_table(record)


@pytest.mark.parametrize("path", course.LESSONS, ids=course.name)
def test_a_lesson_says_the_seconds_that_were_measured(path, record):
    _, _, seconds, _ = TOOL.opening(path)
    assert seconds == math.ceil(record["seconds"][path.stem])


def test_the_tree_names_the_files_of_the_package_and_the_docs():
    readme = TOOL.README.read_text(encoding="utf-8")
    named = set(re.findall(r"^  (\S+\.(?:py|md)) ", readme, flags=re.MULTILINE))
    files = [*(course.ROOT / "msa_ref").glob("[!_]*.py"), *(course.ROOT / "docs").glob("*.md")]
    scripts = {"lessons.py", "mutation.py", "oldest.py"}
    assert named == {path.name for path in files} | scripts
