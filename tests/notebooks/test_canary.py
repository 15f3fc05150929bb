"""The comparison bites: what `make test` does to lessons is done here to faulty notebooks."""

import re
import shutil
import subprocess
import sys

import course
import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)"}}
PRINTS = "print('mass kept:', 0.953)"

# (source, stored output, whether it passes) of cells that run once, as those of a solution do.
ONCE = {
    "an unchanged line": (PRINTS, "mass kept: 0.953\n", True),
    "an unchanged result": ("[17, 4]", {"text/plain": "[17, 4]"}, True),
    "one digit of a line": (PRINTS, "mass kept: 0.954\n", False),
    "one digit of a result": ("[17, 4]", {"text/plain": "[17, 5]"}, False),
    "a missing output": (PRINTS, None, False),
    "a warning that is not stored": (
        PRINTS + "; import warnings; warnings.warn('careful')", "mass kept: 0.953\n", False,
    ),
}  # fmt: skip

DRAW = "print(rng.integers(99))"
DRAWS = [f"{draw}\n" for draw in np.random.default_rng(0).integers(99, size=3)]
# The same of a lesson's cells, which run twice: (source, output, passes at first, passes again).
TWICE = {
    "a generator is made": (
        "import numpy as np\nrng = np.random.default_rng(0)\n" + DRAW, DRAWS[0], True, True,
    ),
    "a generator is used": (DRAW, DRAWS[1], True, True),
    "a generator is used on": (DRAW, DRAWS[2], True, True),
    "names are made": ("x, names = 1, {1}\nprint(x)", "1\n", True, True),
    "an input is changed": ("x += 1\nprint(x)", "2\n", True, False),
    "a second run stops": ("names.remove(1)\nprint(len(names))", "0\n", True, False),
    "a file beside the lesson": (
        "from pathlib import Path\nprint(Path('twice.ipynb').exists())", "True\n", False, False,
    ),
}  # fmt: skip


def store(path, cells):
    """Writes a notebook of (source, stored output), every cell as if it had been run."""
    notebook = new_notebook(metadata=KERNEL)
    for count, (source, output) in enumerate(cells, start=1):
        outputs = []
        if isinstance(output, str):
            outputs = [new_output("stream", text=output)]
        elif output:
            outputs = [new_output("execute_result", output, execution_count=count)]
        notebook.cells.append(new_code_cell(source, execution_count=count, outputs=outputs))
    nbformat.write(notebook, path)


def change_last_digit(notebook):
    """Changes by one the last digit that is compared; the number of its code cell."""
    for number, cell in reversed(list(enumerate(course.code_cells(notebook)))):
        for output in cell.outputs if course.is_compared(cell) else ():
            holder, key = (output, "text") if "text" in output else (output.data, "text/plain")
            digits = list(re.finditer(r"\d", holder[key]))
            if digits and not course.REPR_OF_PICTURE.fullmatch(holder[key]):
                at, digit = digits[-1].start(), int(digits[-1][0])
                holder[key] = holder[key][:at] + str((digit + 1) % 10) + holder[key][at + 1 :]
                return number
    raise AssertionError("the lesson prints no digit")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What nbval says of each cell, by "notebook.ipynb::Cell N", all in one run of it."""
    folder = tmp_path_factory.mktemp("canary")
    shutil.copy(course.NOTEBOOKS / "conftest.py", folder)
    (folder / "solutions").mkdir()
    store(folder / "twice.ipynb", [cell[:2] for cell in TWICE.values()])
    store(folder / "solutions" / "once.ipynb", [cell[:2] for cell in ONCE.values()])
    unrun = new_notebook(metadata=KERNEL, cells=[new_code_cell(PRINTS)])
    nbformat.write(unrun, folder / "solutions" / "unrun.ipynb")
    lesson = course.load(course.LESSONS[0])
    changed = change_last_digit(lesson)
    nbformat.write(lesson, folder / "solutions" / "lesson.ipynb")

    command = [sys.executable, "-m", "pytest", "@tests/nbval.args", str(folder), "-q", "-rA"]
    command += ["-p", "no:cacheprovider", f"--rootdir={folder}"]
    done = subprocess.run(command, cwd=course.ROOT, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    pattern = r"^(PASSED|FAILED) \S*?(\w+\.ipynb::Cell \d+(?: again)?)"
    found = re.findall(pattern, done.stdout, re.MULTILINE)
    return {cell: outcome == "PASSED" for outcome, cell in found}, changed


@pytest.mark.parametrize("name", ONCE)
def test_cells_that_run_once(outcomes, name):
    found, _ = outcomes
    number = list(ONCE).index(name)
    assert found[f"once.ipynb::Cell {number}"] == ONCE[name][-1]
    assert f"once.ipynb::Cell {number} again" not in found


@pytest.mark.parametrize("name", TWICE)
def test_cells_that_run_twice(outcomes, name):
    found, _ = outcomes
    cell = f"twice.ipynb::Cell {list(TWICE).index(name)}"
    assert (found[cell], found[f"{cell} again"]) == TWICE[name][-2:]


def test_a_cell_stored_without_a_run_is_what_hygiene_is_for(outcomes):
    """nbval lets it pass, whatever it computes; the counts 1..n of test_hygiene do not."""
    assert outcomes[0]["unrun.ipynb::Cell 0"]


def test_one_changed_digit_in_a_lesson_fails(outcomes):
    found, changed = outcomes
    failed = [cell for cell, passed in found.items() if "lesson.ipynb" in cell and not passed]
    assert failed == [f"lesson.ipynb::Cell {changed}"]
