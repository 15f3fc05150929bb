"""The comparison bites: a stored output changed by one digit turns the run red."""

import re
import shutil
import subprocess
import sys

import course
import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook

KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)"}}


def run_nbval(path):
    """Exit code and output of the same comparison that `make test` runs, on one notebook."""
    command = [sys.executable, "-m", "pytest", "@tests/nbval.args", str(path)]
    command += ["-q", "-p", "no:cacheprovider", f"--rootdir={path.parent}"]
    done = subprocess.run(command, cwd=course.ROOT, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def change_one_digit(text):
    """The text with its last digit changed by one."""
    last = list(re.finditer(r"\d", text))[-1]
    return text[: last.start()] + str((int(last[0]) + 1) % 10) + text[last.end() :]


def outputs_with_digits(notebook):
    """(output, key holder, key) of every compared output text with a digit in it."""
    for cell in course.code_cells(notebook):
        if course.is_compared(cell):
            for output in cell.outputs:
                holder, key = (output, "text") if "text" in output else (output.data, "text/plain")
                if not course.REPR_OF_PICTURE.fullmatch(holder[key]) and re.search(
                    r"\d", holder[key]
                ):
                    yield holder, key


def small_notebook():
    """A notebook with a printed and a shown number, run, and a cell that is not compared."""
    cells = [
        ("print('mass kept:', 0.953)", nbformat.v4.new_output("stream", text="mass kept: 0.953\n")),
        (
            "[17, 4]",
            nbformat.v4.new_output("execute_result", {"text/plain": "[17, 4]"}, execution_count=2),
        ),
    ]
    notebook = new_notebook(metadata=KERNEL)
    for count, (source, output) in enumerate(cells, start=1):
        notebook.cells.append(new_code_cell(source, execution_count=count, outputs=[output]))
    return notebook


@pytest.fixture
def store(tmp_path):
    def write(notebook):
        path = tmp_path / "canary.ipynb"
        nbformat.write(notebook, path)
        return path

    return write


def test_an_unchanged_notebook_passes(store):
    code, text = run_nbval(store(small_notebook()))
    assert code == 0, text
    assert "2 passed" in text


@pytest.mark.parametrize(("cell", "holder", "key"), [(0, None, "text"), (1, "data", "text/plain")])
def test_one_changed_digit_fails(store, cell, holder, key):
    notebook = small_notebook()
    output = notebook.cells[cell].outputs[0]
    place = output[holder] if holder else output
    place[key] = change_one_digit(place[key])
    code, text = run_nbval(store(notebook))
    assert code == 1, text
    assert "1 failed, 1 passed" in text


def test_a_missing_output_fails(store):
    notebook = small_notebook()
    notebook.cells[0].outputs = []
    assert run_nbval(store(notebook))[0] == 1


def test_a_warning_that_is_not_stored_fails(store):
    notebook = small_notebook()
    notebook.cells[0].source += "; import warnings; warnings.warn('careful')"
    code, text = run_nbval(store(notebook))
    assert code == 1, text
    assert "1 failed, 1 passed" in text
    assert "stderr" in text


@pytest.fixture
def run_twice(store, tmp_path):
    """Runs a notebook of (source, printed line) as lessons run, each cell twice."""
    shutil.copy(course.NOTEBOOKS / "conftest.py", tmp_path)

    def run(*cells):
        notebook = new_notebook(metadata=KERNEL)
        for count, (source, printed) in enumerate(cells, start=1):
            output = nbformat.v4.new_output("stream", text=f"{printed}\n")
            notebook.cells.append(new_code_cell(source, execution_count=count, outputs=[output]))
        return run_nbval(store(notebook))

    return run


def test_cells_that_can_run_again_pass(run_twice):
    start = "import numpy as np\nrng = np.random.default_rng(0)\nprint(rng.integers(99))"
    draws = np.random.default_rng(0).integers(99, size=3)
    draw = "print(rng.integers(99))"
    code, text = run_twice((start, draws[0]), (draw, draws[1]), (draw, draws[2]))
    assert code == 0, text
    assert "6 passed" in text


def test_a_lesson_that_relies_on_the_working_directory_fails(run_twice):
    beside_it = "from pathlib import Path\nprint(Path('canary.ipynb').exists())"
    code, text = run_twice((beside_it, True))
    assert code == 1, text
    assert "2 failed" in text


def test_cells_that_cannot_run_again_fail(run_twice):
    start = ("x, names = 1, {1}\nprint(x)", 1)
    changes_its_input, stops = ("x += 1\nprint(x)", 2), ("names.remove(1)\nprint(len(names))", 0)
    code, text = run_twice(start, changes_its_input, stops)
    assert code == 1, text
    assert "2 failed, 4 passed" in text
    assert text.count("second run") >= 2


def test_a_cell_stored_without_a_run_is_what_hygiene_is_for(store):
    """nbval lets it pass, whatever it computes; the counts 1..n of test_hygiene do not."""
    notebook = small_notebook()
    notebook.cells[0].execution_count = None
    notebook.cells[0].outputs = []
    assert run_nbval(store(notebook))[0] == 0


@pytest.mark.parametrize("path", course.LESSONS[:1], ids=course.name)
def test_one_changed_digit_in_a_lesson_fails(store, path):
    code, text = run_nbval(store(course.load(path)))
    assert code == 0, text
    notebook = course.load(path)
    holder, key = list(outputs_with_digits(notebook))[-1]
    holder[key] = change_one_digit(holder[key])
    code, text = run_nbval(store(notebook))
    assert code == 1, text
    assert "1 failed" in text
