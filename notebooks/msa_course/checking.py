"""Checks of the lessons' exercises: one module a lesson, one `check_N_M` an exercise.

A check runs the reader's function on random and awkward inputs and names the property that fails
on the smallest failing one. The first line of its docstring says what the function gives.
"""

from __future__ import annotations

import functools
import linecache
import reprlib
import traceback
from collections.abc import Callable

from msa_course.one_line import OneLine


class WrongAnswerError(OneLine, AssertionError):
    """What is wrong with an answer."""


def exercise(number: str, *, none: bool = False) -> Callable:
    """Decorator of a check: prints one sentence, "solved", "not solved yet" or what is wrong.

    So a lesson with a wrong answer runs to its end. `check.strict(function)` raises
    WrongAnswerError instead. The check gets the answer as a function that works on copies, so that
    its own arrays stay as they are. `none=True` where an answer may return None.
    """

    def decorate(check):
        expected = f"; expected: {check.__doc__.splitlines()[0]}"

        @functools.wraps(check)
        def strict(function):
            answer = _Answer(function, none)
            try:
                check(answer)
            except _UnusableError as error:
                raised = error.__cause__
                if isinstance(raised, NotImplementedError) and _is_stub(raised, number):
                    print(f"Exercise {number}: not solved yet")
                    return
                message, cause = f"{error}{expected}", raised
            except AssertionError as error:
                message, cause = str(error), None
            except Exception as error:  # the check cannot work with what came back
                message, cause = f"{answer.returned()}{expected}", error
            else:
                print(f"Exercise {number}: solved")
                return
            raise WrongAnswerError(f"Exercise {number}: {message}".replace("\n", " ")) from cause

        @functools.wraps(check)
        def checked(function):
            try:
                strict(function)
            except WrongAnswerError as error:
                print(error)

        checked.strict = strict
        return checked

    return decorate


def expect(holds: bool, message: str) -> None:
    """Raise AssertionError with the message unless it holds."""
    if not holds:
        raise AssertionError(message)


def _is_stub(error: NotImplementedError, number: str) -> bool:
    return str(error).startswith(f"Exercise {number}: ")


class _UnusableError(Exception):
    """An answer that gave nothing to check; the error that it raised, if any, is the cause."""


class _Answer:
    """The reader's function, called on copies of its arrays, or the reader's Triton kernel.

    A kernel, launched as `answer[grid](...)`, gets the tensors themselves: it writes into one.
    """

    def __init__(self, function: Callable, none: bool):
        self.function = function
        self.none = none
        self.name = getattr(function, "__name__", repr(function))
        self.result = None

    def __call__(self, *arguments):
        if not callable(self.function):
            raise _UnusableError(f"got {self.name}, which is no function")
        self.result = self._run(self.function, *map(_copied, arguments))
        if self.result is None and not self.none:
            raise _UnusableError(f"{self.name} returned None, perhaps a `return` is missing")
        return self.result

    def __getitem__(self, grid):
        if not hasattr(self.function, "__getitem__"):
            raise _UnusableError(
                f"{self.name} is no Triton kernel, perhaps `@triton.jit` is missing"
            )
        return functools.partial(self._run, self.function[grid])

    def _run(self, function, *arguments, **constants):
        try:
            return function(*arguments, **constants)
        except Exception as error:
            root = error
            while root.__cause__ is not None:  # Triton's interpreter wraps what a kernel raises
                root = root.__cause__
            what = "".join(traceback.format_exception_only(root)).strip()
            raise _UnusableError(f"{self.name} raised {what}{self._line(root)}") from root

    def _line(self, error) -> str:
        """The line of the reader's function that raised, where its source is known."""
        file = getattr(getattr(self.function, "__code__", None), "co_filename", None)
        frames = traceback.extract_tb(error.__traceback__)
        lines = [linecache.getline(file, at.lineno).strip() for at in frames if at.filename == file]
        return f", in `{lines[-1]}`" if lines and lines[-1] else ""

    def returned(self) -> str:
        """What came back last, in a few words."""
        if hasattr(self.result, "shape"):
            return f"{self.name} returned an array of shape {tuple(self.result.shape)}"
        kind = type(self.result).__name__
        return f"{self.name} returned {reprlib.repr(self.result)} ({kind})"


def _copied(value):
    """The value with every array in it copied; what is no array, list, tuple or dict is kept."""
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_copied, value))
    if hasattr(value, "__array__") and hasattr(value, "shape"):
        return value.clone() if hasattr(value, "clone") else value.copy()
    return value
