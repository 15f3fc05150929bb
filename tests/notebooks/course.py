"""The lessons as the gates see them: their files, cells and outputs."""

import importlib.util
import re
from functools import cache
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "notebooks"

LESSONS = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
SOLUTIONS = sorted((NOTEBOOKS / "solutions").glob("[0-9][0-9]_*.ipynb"))
NUM_LESSONS = len(LESSONS)
# Lessons in their first form, held to headings; all others are held to the tags of their cells.
IN_THE_OLD_FORM = {
    "start_here", "what_a_million_tokens_cost", "dense_attention", "attention_is_mostly_empty",
    "blocks", "index_branch", "choosing_k", "exact_on_what_was_chosen",
    "teaching_the_index", "triton_on_the_cpu", "index_score_and_top_k", "block_sparse_prefill",
    "sparse_decode", "measured", "the_family_album",
}  # fmt: skip

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
UNCOMPARED_TAGS = {"nbval-ignore-output"}
UNCOMPARED_COMMENT = "# NBVAL_IGNORE_OUTPUT"

# What a figure, its parts or a picture print of themselves says nothing about what they show.
REPR_OF_PICTURE = re.compile(
    r"<(Figure|Axes|IPython\.core\.display\.Image|matplotlib\.)[^\n]*>\s*"
    r"|Figure: [^\n]*|\(an explorer: [^\n]*"
)


@cache
def read(path):
    """The notebook at this path; not to be changed (`load` gives one that may be)."""
    return load(path)


def load(path):
    """A notebook of its own, which the caller may change."""
    return nbformat.read(path, as_version=4)


def name(path):
    """A notebook's name in messages and test ids: 04_blocks, or solutions/04_blocks."""
    return str(path.relative_to(NOTEBOOKS).with_suffix(""))


def number(path):
    """A lesson's two digits."""
    return path.name[:2]


def slug(path):
    """A lesson's name without its number."""
    return path.stem[3:]


def is_old(path):
    """True for a lesson in its first form."""
    return slug(path) in IN_THE_OLD_FORM


def needs(path):
    """What a lesson needs beside NumPy, matplotlib and Jupyter: torch, triton."""
    return set(read(NOTEBOOKS / path.name).metadata.msa.needs)


def tags(cell):
    """The tags of a cell."""
    return set(cell.metadata.get("tags", []))


def code_cells(notebook):
    """Code cells that hold any code."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def prose(notebook):
    """All markdown of a notebook, in order."""
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    return "\n\n".join(cells)


def num_lines(cell):
    """Lines of a cell that are not blank."""
    return sum(bool(line.strip()) for line in cell.source.splitlines())


def is_ignored(cell):
    """True where nbval is told not to compare the output."""
    comments = {line.strip() for line in cell.source.splitlines()}
    return bool(tags(cell) & UNCOMPARED_TAGS) or UNCOMPARED_COMMENT in comments


def texts(cell):
    """Output texts that strict nbval compares and that say something."""
    for output in cell.outputs:
        if output.output_type == "stream":
            text = output.text
        elif output.output_type in ("execute_result", "display_data"):
            text = output.data.get("text/plain", "")
            if REPR_OF_PICTURE.fullmatch(text):
                continue
        else:
            continue
        if text.strip():
            yield text


def is_compared(cell):
    """True where a change in what the cell computes can turn the run red."""
    return not is_ignored(cell) and any(texts(cell))


def pictures(notebook):
    """(figures, explorers): PNG outputs, without and with something live over them."""
    bundles = [output.get("data", {}) for cell in code_cells(notebook) for output in cell.outputs]
    live = sum("data-explorer" in bundle.get("text/html", "") for bundle in bundles)
    data = [
        output.data
        for cell in code_cells(notebook)
        for output in cell.outputs
        if output.output_type in ("execute_result", "display_data") and "image/png" in output.data
    ]
    explorers = live + sum(WIDGET_VIEW in bundle for bundle in data)
    return len(data) - explorers, explorers


@cache
def lessons_tool():
    """The module notebooks/lessons.py, which is a script and no package."""
    spec = importlib.util.spec_from_file_location("lessons", NOTEBOOKS / "lessons.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
