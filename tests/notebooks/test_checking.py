"""The frame that all checks of exercises share: what it says, and what it hands to an answer."""

import numpy as np
import pytest

from msa_course.checking import exercise, expect


@exercise("9.1")
def check_double(double):
    """`double(x)` is twice x."""
    x = np.arange(3.0)
    got = double(x)
    expect(got.shape == (3,), f"got shape {got.shape}, takes (3,)")
    expect(np.array_equal(got, 2 * x), f"got {got},\ntakes {2 * x}")


def refusal(answer):
    with pytest.raises(AssertionError) as caught:
        check_double.strict(answer)
    return str(caught.value)


def test_a_right_answer_is_solved(capsys):
    check_double(lambda x: 2 * x)
    assert capsys.readouterr().out == "Exercise 9.1: solved\n"


def test_a_right_answer_in_place_is_solved(capsys):
    def double(x):
        x *= 2
        return x

    check_double(double)
    assert capsys.readouterr().out == "Exercise 9.1: solved\n"


def test_the_stub_is_not_solved_yet(capsys):
    def double(x):
        raise NotImplementedError("Exercise 9.1: Twice x")

    check_double(double)
    assert capsys.readouterr().out == "Exercise 9.1: not solved yet\n"


@pytest.mark.parametrize("message", ["", "no GPU", "Exercise 9.11: Half of x"])
def test_any_other_unwritten_code_is_an_error_of_the_answer(message):
    def double(x):
        raise NotImplementedError(message)

    assert refusal(double).startswith("Exercise 9.1: double raised NotImplementedError")


def test_a_wrong_answer_is_told_in_one_line_and_stops_nothing(capsys):
    line = "Exercise 9.1: got [0. 1. 2.], takes [0. 2. 4.]"
    assert refusal(lambda x: x) == line
    check_double(lambda x: x)
    assert capsys.readouterr().out == f"{line}\n"


def test_an_error_names_the_line_that_raised_and_what_was_expected():
    def double(x):
        return x["two"]

    line = refusal(double)
    assert line.startswith("Exercise 9.1: double raised IndexError: ")
    assert line.endswith(', in `return x["two"]`; expected: `double(x)` is twice x.')


def test_an_assertion_of_the_reader_is_an_error_of_the_answer():
    def double(x):
        assert len(x) == 4, "four numbers"

    assert "double raised AssertionError: four numbers" in refusal(double)


def test_a_forgotten_return_is_named():
    def double(x):
        2 * x

    assert refusal(double) == (
        "Exercise 9.1: double returned None, perhaps a `return` is missing; "
        "expected: `double(x)` is twice x."
    )


def test_what_the_check_cannot_work_with_is_shown():
    line = refusal(lambda x: [2 * number for number in range(3)])
    assert "returned [0, 2, 4] (list); expected: `double(x)` is twice x." in line


def test_what_is_no_function_is_named():
    assert refusal(4) == (
        "Exercise 9.1: got 4, which is no function; expected: `double(x)` is twice x."
    )


def test_an_error_keeps_its_cause_for_the_debugger():
    def double(x):
        raise KeyError("lost")

    with pytest.raises(AssertionError) as caught:
        check_double.strict(double)
    assert isinstance(caught.value.__cause__, KeyError)


def test_lists_tuples_and_dicts_of_arrays_are_copied():
    inputs = [np.zeros(2)], (np.zeros(2), 1), {"a": np.zeros(2)}, np.zeros(2)

    @exercise("9.1")
    def check(overwrite):
        """`overwrite(...)` is 1."""
        expect(overwrite(*inputs) == 1, "got something else")
        in_a_list, in_a_tuple, in_a_dict, alone = inputs
        for array in (in_a_list[0], in_a_tuple[0], in_a_dict["a"], alone):
            expect(not array.any(), "the check's own array was changed")

    def overwrite(in_a_list, in_a_tuple, in_a_dict, alone):
        for array in (in_a_list[0], in_a_tuple[0], in_a_dict["a"], alone):
            array += 1
        return 1

    check(overwrite)
