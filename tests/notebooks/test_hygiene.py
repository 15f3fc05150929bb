"""What every stored notebook keeps: cells run in order, outputs compared, no trace of a machine."""

import ast
import getpass
import io
import re
import socket
import statistics
import subprocess
import sys
import tokenize

import course
import pytest
from nbconvert import ScriptExporter

MAX_BYTES = 1_500_000
MIN_COMPARED = 0.60
MAX_MEDIAN_LINES = 6
MAX_LINES = 40
FIGURES = range(4, 9)
EXPLORERS = range(1, 3)

SETUP = ["from msa_course.setup import setup", "rng = setup(seed=0)"]
SETUP_IN_TORCH = [SETUP[0], 'rng = setup(seed=0, needs=("torch",))']
SETUP_IN_TRITON = [SETUP[0], "rng = setup(seed=0, interpret=True)"]
TITLE = re.compile(r"# (\d\d) · (\S.*)")
MINUTES = re.compile(r"(\d+) minutes to read · (\d+) seconds to run · no GPU needed")

HEADINGS = [
    "You will be able to",
    "The picture",
    "By hand",
    "From formula to code",
    "Build it",
    "Break it",
    "Same as the package",
    "Play",
    "Differs from the paper",
    "Exercises",
    "What we learned",
    "Next",
]
# The door to the course teaches no piece of the package.
HEADINGS_OF_00 = ["You will be able to", "The picture", "Exercises", "What we learned", "Next"]

MAX_WORDS = 3000
PARTS = {"question", "picture", "stub", "break", "play", "recall"}
PARTS_OF_00 = {"question", "picture", "play", "recall"}

NETWORK = {
    "aiohttp", "ftplib", "http", "httpx", "huggingface_hub", "pip", "requests", "smtplib", "socket",
    "subprocess", "telnetlib", "urllib", "urllib3", "webbrowser", "wget",
}  # fmt: skip

OF_A_MACHINE = {
    "an address": re.compile(r"\b0x[0-9a-fA-F]{6,}\b"),
    "an absolute path": re.compile(
        r"(?<![\w.:/])/(home|root|Users|tmp|usr|opt|var|mnt|private|work|content)/\S|[A-Z]:\\\w"
    ),
    "a user at a host": re.compile(r"\b[\w.-]+@[\w-]+[:.]\S"),
}

every = pytest.mark.parametrize("path", course.LESSONS + course.SOLUTIONS, ids=course.name)
lessons = pytest.mark.parametrize("path", course.LESSONS, ids=course.name)
taught = pytest.mark.parametrize("path", course.LESSONS[1:], ids=course.name)
OLD = [path for path in course.LESSONS if course.is_old(path)]
NEW = [path for path in course.LESSONS if not course.is_old(path)]
old = pytest.mark.parametrize("path", OLD, ids=course.name)
new = pytest.mark.parametrize("path", NEW, ids=course.name)


def machine_names():
    """Names of this host and this user that are no ordinary words."""
    names = {socket.gethostname(), getpass.getuser()}
    return [name for name in names if len(name) > 3 and re.search(r"[\d._-]", name)]


def output_texts(notebook):
    """Every text in the outputs, traceback and markup included, pictures left out."""
    for cell in course.code_cells(notebook):
        for output in cell.outputs:
            yield output.get("text", "")
            for kind, value in output.get("data", {}).items():
                if kind.startswith("text/"):
                    yield value


def trees(notebook):
    """Syntax trees of the code cells; magics and shell lines are none and raise SyntaxError."""
    return [ast.parse(cell.source) for cell in course.code_cells(notebook)]


def imported(tree):
    """First names of the modules a cell imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.split(".")[0]


def headings(notebook, mark="##"):
    lines = course.prose(notebook).splitlines()
    return [line.removeprefix(f"{mark} ").strip() for line in lines if line.startswith(f"{mark} ")]


def has_comment(source):
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = [token.string for token in tokens if token.type == tokenize.COMMENT]
    return any(comment != course.UNCOMPARED_COMMENT for comment in comments)


def test_the_lessons_are_there_each_with_its_solutions():
    assert [path.name for path in course.LESSONS] == course.lessons_tool().names()
    assert [path.name for path in course.SOLUTIONS] == [path.name for path in course.LESSONS]


@every
def test_cells_were_run_once_and_in_order(path):
    counts = [cell.execution_count for cell in course.code_cells(course.read(path))]
    assert counts == list(range(1, len(counts) + 1))


@lessons
def test_enough_cells_are_compared(path):
    cells = course.code_cells(course.read(path))
    compared = [cell for cell in cells if course.is_compared(cell)]
    print(f"{course.name(path)}: {len(compared)} of {len(cells)} cells compared")
    bare = [cell.source.splitlines()[0] for cell in cells if not course.is_compared(cell)]
    assert len(compared) >= MIN_COMPARED * len(cells), f"not compared: {bare}"


@every
def test_an_ignored_output_has_its_reason(path):
    for cell in course.code_cells(course.read(path)):
        assert not course.is_ignored(cell) or has_comment(cell.source), cell.source


@every
def test_no_cell_escapes_the_comparison(path):
    for cell in course.code_cells(course.read(path)):
        tags = cell.metadata.get("tags", [])
        assert not {"nbval-skip", "nbval-raises-exception", "raises-exception"} & set(tags)
        assert "NBVAL_SKIP" not in cell.source
        assert "NBVAL_RAISES_EXCEPTION" not in cell.source


@every
def test_no_widget_state_is_stored(path):
    assert "widgets" not in course.read(path).metadata


@every
def test_outputs_hold_nothing_of_a_machine(path):
    for text in output_texts(course.read(path)):
        for what, pattern in OF_A_MACHINE.items():
            found = pattern.search(text)
            assert not found, f"{what}: {found.group()}"
        for name in machine_names():
            assert not re.search(rf"\b{re.escape(name)}\b", text), f"the name {name}"


@every
def test_no_output_is_an_error_or_a_warning(path):
    for cell in course.code_cells(course.read(path)):
        for output in cell.outputs:
            assert output.output_type != "error", cell.source
            assert output.get("name") != "stderr", output.text


@every
def test_the_file_is_small_and_of_the_agreed_kind(path):
    assert path.stat().st_size < MAX_BYTES
    notebook = course.read(path)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.kernelspec.display_name == "Python 3 (ipykernel)"
    assert notebook.metadata.language_info == course.lessons_tool().LANGUAGE
    cell_ids = [cell.id for cell in notebook.cells]
    assert len(set(cell_ids)) == len(cell_ids)


def test_a_lesson_converts_to_a_python_file():
    _, resources = ScriptExporter().from_filename(str(course.LESSONS[0]))
    assert resources["output_extension"] == ".py"


def wanted_setup(path):
    """The set-up cell of a notebook, without blank lines."""
    if "triton" in course.needs(path):
        return SETUP_IN_TRITON
    return SETUP_IN_TORCH if "torch" in course.needs(path) else SETUP


@every
def test_the_set_up_cell_is_the_same_everywhere(path):
    lines = course.code_cells(course.read(path))[0].source.splitlines()
    assert [line for line in lines if line] == wanted_setup(path)


def test_lessons_that_do_not_ask_for_torch_import_without_it():
    paths = [path for path in course.LESSONS + course.SOLUTIONS if wanted_setup(path) == SETUP]
    imports = {
        ast.unparse(node)
        for path in paths
        for tree in trees(course.read(path))
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    hidden = "import sys; sys.modules.update(torch=None, triton=None)"
    code = "\n".join([hidden, *sorted(imports)])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@every
def test_cells_are_plain_python_without_network(path):
    for tree in trees(course.read(path)):
        assert not NETWORK & set(imported(tree)), ast.unparse(tree)


@lessons
def test_cells_are_short(path):
    lines = [course.num_lines(cell) for cell in course.code_cells(course.read(path))]
    assert statistics.median(lines) <= MAX_MEDIAN_LINES
    assert max(lines) <= MAX_LINES


@old
def test_the_lesson_has_its_headings_in_order(path):
    wanted = HEADINGS if course.number(path) != "00" else HEADINGS_OF_00
    found = headings(course.read(path))
    assert [heading for heading in found if heading in wanted] == wanted, found


@new
def test_the_lesson_has_its_parts(path):
    found = set().union(*map(course.tags, course.read(path).cells))
    assert (PARTS_OF_00 if course.number(path) == "00" else PARTS) <= found


@new
def test_the_lesson_is_not_long(path):
    assert len(course.prose(course.read(path)).split()) <= MAX_WORDS


@new
def test_cells_have_ids_that_can_be_read(path):
    for cell in course.read(path).cells:
        assert not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){0,1}.*", cell.id), cell.id


@new
def test_other_lessons_are_linked_by_name(path):
    number = re.search(r"\blessons? \d\d\b(?! of)", course.prose(course.read(path)))
    assert not number, number


@lessons
def test_the_lesson_opens_with_title_promise_and_times(path):
    opening = course.read(path).cells[0]
    assert opening.cell_type == "markdown"
    lines = [line for line in opening.source.splitlines() if line.strip()]
    assert TITLE.fullmatch(lines[0])[1] == course.number(path)
    assert any(MINUTES.fullmatch(line.strip()) for line in lines), opening.source


@old
def test_the_lesson_says_how_it_differs_in_words_and_what_to_recall(path):
    if course.number(path) != "00":
        assert "**In words.**" in course.prose(course.read(path))
    assert "Recall" in headings(course.read(path), "###")


@taught
def test_the_lesson_has_its_figures_and_explorers(path):
    figures, explorers = course.pictures(course.read(path))
    assert figures in FIGURES
    assert explorers in EXPLORERS
