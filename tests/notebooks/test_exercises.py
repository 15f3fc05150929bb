"""Exercises: stubs come from the solutions, solutions pass, known wrong answers are named."""

import copy
import importlib
import io
import re
import subprocess
import sys
from contextlib import redirect_stdout
from functools import cache, wraps

import course
import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

TITLE = re.compile(r"### (\d+\.\d) \S.*")
HEADER = re.compile(r"\*?(warm-up|core|stretch)( · \d+ minutes?)( · importance [1-5] of 5)\*?")
CHECKS = re.compile(r"^from (msa_course\.\w+\.checks) import ", flags=re.MULTILINE)
LEVELS = ["warm-up", "core", "stretch"]
# An object is changed in place, or None is one of the right answers.
RETURN_NOTHING = {"append", "take_back", "15.3", "16.2", "16.3", "17.2"}

lessons = pytest.mark.parametrize("path", course.LESSONS, ids=course.name)
OLD = [path for path in course.LESSONS if course.is_old(path)]
NEW = [path for path in course.LESSONS if not course.is_old(path)]
old = pytest.mark.parametrize("path", OLD, ids=course.name)

new = pytest.mark.parametrize("path", NEW, ids=course.name)


def numbers(path):
    """What a lesson's exercises are called: 4.1, 4.2 and 4.3, or by the functions asked for."""
    if course.is_old(path):
        return [f"{int(course.number(path))}.{n}" for n in (1, 2, 3)]
    return list(exercise_cells(solutions_of(path)))


def solutions_of(path):
    return path.parent / "solutions" / path.name


def exercise_cells(path):
    """Source of the exercise cells of a notebook by number."""
    cells = course.lessons_tool().exercise_cells(course.read(path))
    return {line.removeprefix("# exercise ").strip(): cell.source for line, cell in cells.items()}


EXERCISES = [(path, number) for path in course.LESSONS for number in numbers(path)]
exercises = pytest.mark.parametrize(
    ("path", "number"), EXERCISES, ids=[number for _, number in EXERCISES]
)


def check_cells(path, number):
    """Cells of a notebook that call this exercise's check."""
    call = f"check_{number.replace('.', '_')}("
    return [cell for cell in course.code_cells(course.read(path)) if call in cell.source]


def check_of(number):
    path = next(path for path, other in EXERCISES if other == number)
    cells = course.code_cells(course.read(path))
    (name,) = {name for cell in cells for name in CHECKS.findall(cell.source)}
    module = importlib.import_module(name)
    return getattr(module, f"check_{number.replace('.', '_')}")


def wrong_answers(path):
    return importlib.import_module(f"wrong_answers.{course.slug(path)}").WRONG


@cache
def solved(path):
    """What the cells of the solutions notebook leave behind, and what they print."""
    names, printed = {}, io.StringIO()
    with redirect_stdout(printed):
        for cell in course.code_cells(course.read(solutions_of(path))):
            exec(cell.source, names)
    return names, printed.getvalue()


def solution(path, number):
    """The function or kernel that solves the exercise."""
    (cell,) = check_cells(solutions_of(path), number)
    (name,) = re.findall(r"^check_\w+\((\w+)\)", cell.source, flags=re.MULTILINE)
    return solved(path)[0][name]


def is_kernel(function):
    return hasattr(function, "__getitem__")


class Launched:
    """What is launched as a kernel is: `launch(grid)` gives the function that runs."""

    def __init__(self, launch):
        self.launch = launch
        self.__name__ = launch.__name__

    def __getitem__(self, grid):
        return self.launch(grid)


def kernel_of(function):
    """A Python function as a kernel: launched on any grid, it runs once."""

    @wraps(function)
    def launch(grid):
        return function

    return Launched(launch)


def overwriting(function):
    """The same function, but it leaves other numbers in every array that it was given."""

    @wraps(function)
    def run(*arguments):
        result = copy.deepcopy(function(*arguments))
        for array in arrays_in(arguments):
            array[...] = 1
        return result

    def launch(grid):
        def run_kernel(*tensors, **constants):
            before = copy.deepcopy(tensors)
            function[grid](*tensors, **constants)
            for tensor, old in zip(tensors, before):
                if hasattr(tensor, "shape") and np.array_equal(tensor, old, equal_nan=True):
                    tensor[...] = 1

        return run_kernel

    return Launched(launch) if is_kernel(function) else run


def arrays_in(values):
    """Arrays and tensors among the values and in lists, tuples and dicts among them."""
    for value in values:
        if isinstance(value, list | tuple | dict):
            yield from arrays_in(value.values() if isinstance(value, dict) else value)
        elif hasattr(value, "__array__") and not isinstance(value, np.generic):
            yield value


def refusal(number, answer):
    """The one line with which the check refuses the answer."""
    with pytest.raises(AssertionError, match=rf"^Exercise {re.escape(number)}: ") as caught:
        check_of(number).strict(answer)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(scope="module")
def shell():
    yield InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}))
    InteractiveShell.clear_instance()


@old
def test_every_lesson_has_three_exercises(path):
    assert list(exercise_cells(path)) == numbers(path)
    assert list(exercise_cells(solutions_of(path))) == numbers(path)
    titles = [TITLE.fullmatch(line) for line in course.prose(course.read(path)).splitlines()]
    assert [title[1] for title in titles if title] == numbers(path)


@new
def test_the_reader_writes_on_the_main_line_and_three_exercises_end_the_lesson(path):
    assert list(exercise_cells(path)) == numbers(path)
    lines = course.prose(course.read(path)).splitlines()
    ends = [
        line.partition(":")[0] for line in lines if re.match(r"### (Try|Reason|Design): ", line)
    ]
    assert ends == ["### Try", "### Reason", "### Design"] or course.number(path) == "00"
    turns = sum(line.startswith("#### Your turn: ") for line in lines)
    assert len(numbers(path)) == turns + len(ends)


@new
def test_an_exercise_is_called_by_its_function(path):
    for number, source in exercise_cells(path).items():
        assert f"\ndef {number}(" in source
    assert set(numbers(path)) == set(wrong_answers(path))


def test_no_two_exercises_ask_for_one_function():
    named = [number for _, number in EXERCISES]
    assert len(set(named)) == len(named)


@old
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


@exercises
def test_a_solution_that_overwrites_its_inputs_passes(path, number, capsys):
    check_of(number)(overwriting(solution(path, number)))
    assert capsys.readouterr().out == f"Exercise {number}: solved\n"


@exercises
@pytest.mark.parametrize("error", [KeyError("lost"), NotImplementedError("not on this machine")])
def test_an_error_of_the_answer_is_told_in_one_line(path, number, error):
    def broken(*arguments, **constants):
        raise error

    answer = kernel_of(broken) if is_kernel(solution(path, number)) else broken
    line = refusal(number, answer)
    assert f"broken raised {type(error).__name__}: {error}" in line
    assert "raise error" in line or is_kernel(answer)


@exercises
def test_an_answer_that_returns_nothing_is_told_so(path, number):
    def forgotten(*arguments, **constants):
        pass

    if is_kernel(solution(path, number)):
        assert "never written" in refusal(number, kernel_of(forgotten))
        assert "@triton.jit" in refusal(number, forgotten)
    elif number in RETURN_NOTHING:
        refusal(number, forgotten)
    else:
        assert "forgotten returned None" in refusal(number, forgotten)


@exercises
@pytest.mark.parametrize("odd", ["a text", object(), [[1, 2], 3], {}, np.zeros((2, 0, 3))])
def test_an_answer_of_another_kind_is_refused_in_one_line(path, number, odd):
    def answer(*arguments):
        return odd

    refusal(number, kernel_of(answer) if is_kernel(solution(path, number)) else answer)


@exercises
def test_in_a_notebook_a_wrong_answer_prints_one_line(path, number, shell):
    (wrong, _), *_ = wrong_answers(path)[number]
    shell.push({"check": check_of(number), "answer": wrong})
    with capture_output() as printed:
        shell.run_cell("check(answer)")
    lines = [line for line in (printed.stdout + printed.stderr).splitlines() if line.strip()]
    assert len(lines) == 1, printed.stdout
    assert lines[0].startswith(f"Exercise {number}: ")


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
            check_of(number).strict(*answers)
        assert fragment in str(caught.value), f"{names}: {caught.value}"


# The maker of stubs.


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
