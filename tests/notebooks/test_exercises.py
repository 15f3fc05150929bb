"""Exercises: stubs come from the solutions, solutions pass, known wrong answers are named."""

import importlib
import io
import re
import subprocess
import sys
from contextlib import redirect_stdout
from functools import cache

import course
import pytest

TITLE = re.compile(r"### (\d+\.\d) \S.*")
HEADER = re.compile(r"\*?(warm-up|core|stretch)( · \d+ minutes?)( · importance [1-5] of 5)\*?")
CHECKS = re.compile(r"^from (msa_course\.\w+\.checks) import ", flags=re.MULTILINE)
LEVELS = ["warm-up", "core", "stretch"]

lessons = pytest.mark.parametrize("path", course.LESSONS, ids=course.name)


def numbers(path):
    """Exercise numbers of a lesson: 4.1, 4.2 and 4.3 for lesson 04."""
    return [f"{int(course.number(path))}.{n}" for n in (1, 2, 3)]


EXERCISES = [(path, number) for path in course.LESSONS for number in numbers(path)]
exercises = pytest.mark.parametrize(
    ("path", "number"), EXERCISES, ids=[number for _, number in EXERCISES]
)


def solutions_of(path):
    return path.parent / "solutions" / path.name


def exercise_cells(path):
    """Source of the exercise cells of a notebook by number."""
    cells = course.lessons_tool().exercise_cells(course.read(path))
    return {line.removeprefix("# exercise ").strip(): cell.source for line, cell in cells.items()}


def check_cells(path, number):
    """Cells of a notebook that call this exercise's check."""
    call = f"check_{number.replace('.', '_')}("
    return [cell for cell in course.code_cells(course.read(path)) if call in cell.source]


def check_of(number):
    lesson, n = number.split(".")
    (path,) = [path for path in course.LESSONS if int(course.number(path)) == int(lesson)]
    cells = course.code_cells(course.read(path))
    (name,) = {name for cell in cells for name in CHECKS.findall(cell.source)}
    module = importlib.import_module(name)
    return getattr(module, f"check_{lesson}_{n}")


def wrong_answers(path):
    return importlib.import_module(f"wrong_answers.lesson_{course.number(path)}").WRONG


@cache
def solved(path):
    """What the cells of the solutions notebook leave behind, and what they print."""
    names, printed = {}, io.StringIO()
    with redirect_stdout(printed):
        for cell in course.code_cells(course.read(solutions_of(path))):
            exec(cell.source, names)
    return names, printed.getvalue()


@lessons
def test_every_lesson_has_three_exercises(path):
    assert list(exercise_cells(path)) == numbers(path)
    assert list(exercise_cells(solutions_of(path))) == numbers(path)
    titles = [TITLE.fullmatch(line) for line in course.prose(course.read(path)).splitlines()]
    assert [title[1] for title in titles if title] == numbers(path)


@lessons
def test_the_headers_say_level_minutes_and_importance(path):
    lines = course.prose(course.read(path)).splitlines()
    headers = [HEADER.fullmatch(line.strip()) for line in lines]
    assert [header[1] for header in headers if header] == LEVELS


@exercises
def test_the_stub_is_what_the_solution_makes(path, number):
    solution = exercise_cells(solutions_of(path))[number]
    assert exercise_cells(path)[number] == course.lessons_tool().stub(solution)


@exercises
def test_the_stub_is_not_solved_and_the_check_says_so(path, number):
    names = dict(solved(path)[0])
    stub = exercise_cells(path)[number]
    assert f'"Exercise {number}: ' in stub.partition("raise NotImplementedError(")[2]
    exec(stub, names)
    (cell,) = check_cells(path, number)
    (call,) = [line for line in cell.source.splitlines() if line.startswith("check_")]
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(call, names)
    assert printed.getvalue() == f"Exercise {number}: not solved yet\n"
    assert f"Exercise {number}: not solved yet\n" in "".join(course.texts(cell))


@exercises
def test_the_solution_passes_its_check(path, number):
    assert f"Exercise {number}: solved\n" in solved(path)[1]
    (cell,) = check_cells(solutions_of(path), number)
    assert f"Exercise {number}: solved\n" in "".join(course.texts(cell))


@lessons
def test_two_wrong_answers_or_more_are_known_for_each_exercise(path):
    known = wrong_answers(path)
    assert list(known) == numbers(path)
    assert min(map(len, known.values())) >= 2


@exercises
def test_wrong_answers_are_refused_by_name(path, number):
    for answer, fragment in wrong_answers(path)[number]:
        answers = answer if isinstance(answer, tuple) else (answer,)
        names = ", ".join(function.__name__ for function in answers)
        assert len(fragment) >= 4, f"{names}: the fragment says too little"
        with pytest.raises(AssertionError) as caught:
            check_of(number)(*answers)
        assert fragment in str(caught.value), f"{names}: {caught.value}"


# The checks' own frame, and the maker of stubs.


def test_a_stub_keeps_signature_and_docstring_and_loses_the_body():
    solution = '''# exercise 9.1
def share(part, whole=1.0):
    """Share of the whole; "none" is 0."""
    return part / whole
'''
    stub = course.lessons_tool().stub(solution)
    assert stub.splitlines()[:3] == solution.splitlines()[:3]
    assert "return" not in stub
    names = {}
    exec(stub, names)
    with pytest.raises(NotImplementedError, match=re.escape("Exercise 9.1: Share of the whole;")):
        names["share"](1)


def test_a_stub_is_laid_out_as_the_formatter_would():
    for length in (45, 54, 55, 56, 57, 70):
        solution = f'''# exercise 9.1\ndef f(x):\n    """{"n" * length}."""\n    return x'''
        stub = course.lessons_tool().stub(solution)
        done = subprocess.run(
            [sys.executable, "-m", "ruff", "format", "--stdin-filename", "notebooks/stub.py", "-"],
            input=f"{stub}\n",
            capture_output=True,
            text=True,
            check=True,
            cwd=course.ROOT,
        )
        assert done.stdout == f"{stub}\n"


def test_a_check_prints_what_became_of_the_answer(capsys):
    from msa_course.checking import exercise, expect

    @exercise("9.1")
    def check_9_1(answer):
        expect(answer(2) == 4, "twice 2 is 4")

    def unsolved(x):
        raise NotImplementedError

    check_9_1(unsolved)
    check_9_1(lambda x: 2 * x)
    assert capsys.readouterr().out == "Exercise 9.1: not solved yet\nExercise 9.1: solved\n"
    with pytest.raises(AssertionError, match="twice 2 is 4"):
        check_9_1(lambda x: x)
