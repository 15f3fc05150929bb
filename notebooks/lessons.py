"""Run the lessons and store their outputs, write their stubs, pages and times.

python notebooks/lessons.py run [NN ...]      execute in place: lessons, then solutions
python notebooks/lessons.py stubs             write the stubs from the solutions
python notebooks/lessons.py number            rename all lessons by their places in ORDER, with
                                              titles, links to them, and the lines that chain them
python notebooks/lessons.py html [--out DIR]  execute copies and write one page a lesson
python notebooks/lessons.py times [NN ...]    measure copies; write the record, the lessons' own
                                              lines about it, and the README's table
"""

import argparse
import ast
import json
import math
import os
import platform
import re
import time
from datetime import date
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
RECORD = HERE.parent / "msa_ref" / "data" / "measured" / "lessons.json"
README = HERE.parent / "README.md"

ORDER = (
    "the_news",
    "dense_attention",
    "attention_is_mostly_empty",
    "which_blocks_would_you_read",
    "what_a_million_tokens_cost",
    "blocks",
    "index_branch",
    "choosing_k",
    "exact_on_what_was_chosen",
    "two_orders_of_work",
    "the_whole_layer",
    "teaching_the_index",
    "triton_on_the_cpu",
    "index_score_and_top_k",
    "block_sparse_prefill",
    "sparse_decode",
    "measured",
    "the_family_album",
)

LINE_LENGTH = 100
REPEATS = 3
# What a kernel says of itself, without its version, which differs between machines; tools that
# convert a notebook go by it.
LANGUAGE = {
    "codemirror_mode": {"name": "ipython", "version": 3},
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "nbconvert_exporter": "python",
    "pygments_lexer": "ipython3",
}
TITLE = re.compile(r"^# \d\d · (.+)$", flags=re.MULTILINE)
TIMES = re.compile(r"(\d+) minutes to read · (\d+) seconds? to run")
LINK = re.compile(r'(href="(?:\.\./|solutions/)?\d\d_\w+)\.ipynb"')
TABLE = re.compile(r"(?<=<!-- lessons -->\n).*?(?=<!-- /lessons -->)", flags=re.DOTALL)


def names():
    """The lessons' files, in the course's order, which alone gives each its number."""
    return [f"{number:02d}_{slug}.ipynb" for number, slug in enumerate(ORDER)]


def lesson_paths(numbers=()):
    """The lessons in order; those of the given numbers alone if there are any."""
    found = sorted(HERE.glob("[0-9][0-9]_*.ipynb"))
    return [path for path in found if not numbers or path.name[:2] in numbers]


def solution_paths(numbers=()):
    """The solutions in order; those of the given numbers alone if there are any."""
    found = sorted(HERE.glob("solutions/[0-9][0-9]_*.ipynb"))
    return [path for path in found if not numbers or path.name[:2] in numbers]


def execute(notebook, folder):
    """Run every cell in a fresh kernel; outputs are stored in the notebook, widget state is not."""
    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(
        notebook,
        timeout=300,
        store_widget_state=False,
        coalesce_streams=True,  # or a busy machine stores one printed line as two outputs
        resources=resources,
        extra_arguments=["--IPKernelApp.log_level=ERROR"],  # not that its sockets are unencrypted
    )
    client.execute()
    notebook.metadata.pop("widgets", None)
    notebook.metadata.language_info = LANGUAGE
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)


def run(numbers):
    """Execute lessons and solutions and store what they print and draw."""
    for path in [*lesson_paths(numbers), *solution_paths(numbers)]:
        notebook = nbformat.read(path, as_version=4)
        execute(notebook, path.parent)
        nbformat.write(notebook, path)
        print(f"run: {path.relative_to(HERE)}")


def stub(source: str) -> str:
    """The exercise cell of a solution cell: signature and docstring kept, the body left to do."""
    lines = source.splitlines()
    function = next(node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
    docstring = function.body[0]
    number = lines[0].removeprefix("# exercise ").strip()
    task = ast.get_docstring(function).splitlines()[0].rstrip(".").replace('"', "'")
    kept = "\n".join(lines[: docstring.end_lineno])
    message = f'"Exercise {number}: {task}"'
    left_to_do = f"    raise NotImplementedError({message})"
    if len(left_to_do) > LINE_LENGTH:  # laid out as the formatter would
        left_to_do = f"    raise NotImplementedError(\n        {message}\n    )"
    return f"{kept}\n{left_to_do}"


def exercise_cells(notebook):
    """Cells that begin with `# exercise N.M`, by that line."""
    cells = [cell for cell in notebook.cells if cell.source.startswith("# exercise ")]
    return {cell.source.splitlines()[0]: cell for cell in cells}


def write_stubs():
    """Make every lesson's exercise cells from the solutions; say which files changed."""
    for lesson in lesson_paths():
        solution = HERE / "solutions" / lesson.name
        if not solution.exists():
            continue
        notebook = nbformat.read(lesson, as_version=4)
        before = nbformat.writes(notebook)
        solved = exercise_cells(nbformat.read(solution, as_version=4))
        for first_line, cell in exercise_cells(notebook).items():
            cell.source = stub(solved[first_line].source)
        if nbformat.writes(notebook) != before:
            nbformat.write(notebook, lesson)
            print(f"stubs written: {lesson.name}")


def number():
    """Give every lesson the number of its place: its files, its titles, and all links to it."""
    numbered = dict(zip(ORDER, names()))
    for folder in (HERE, HERE / "solutions"):
        for path in folder.glob("[0-9][0-9]_*.ipynb"):
            path.rename(folder / numbered[path.stem[3:]])
    file_name = re.compile(rf"\b\d\d_({'|'.join(ORDER)})\.ipynb")
    root = HERE.parent
    linking = [root / "README.md", root / "Makefile", *root.glob("docs/**/*.md")]
    for path in [*linking, *lesson_paths(), *solution_paths()]:
        text = path.read_text(encoding="utf-8")
        linked = file_name.sub(lambda found: numbered[found[1]], text)
        if linked != text:
            path.write_text(linked, encoding="utf-8")
    for place, path in enumerate(lesson_paths()):
        for one in (path, HERE / "solutions" / path.name):
            notebook = nbformat.read(one, as_version=4)
            opening = notebook.cells[0]
            lines = re.sub(r"\d\d(?= · )", f"{place:02d}", opening.source, count=1).splitlines()
            opening.source = "\n".join(
                chain(place) if re.search(r"lesson \d+ of \d+", line) else line for line in lines
            )
            nbformat.write(notebook, one)


def chain(place):
    """The line that leads from the lesson at this place to those before and after it."""
    names_of_all = names()
    parts = [f"lesson {place + 1} of {len(ORDER)}"]
    if place:
        parts.insert(0, f"[previous]({names_of_all[place - 1]})")
    if place + 1 < len(ORDER):
        parts.append(f"[next]({names_of_all[place + 1]})")
    else:
        parts.append(f"[back to the start]({names_of_all[0]})")
    return " · ".join(parts)


def render_html(out: Path):
    """Execute a copy of every notebook and write it as a page (formulas need a network)."""
    from nbconvert import HTMLExporter

    # Not embed_images: it closes every <details> before its answer. Outputs are embedded anyway.
    exporter = HTMLExporter()
    for path in [*lesson_paths(), *solution_paths()]:
        notebook = nbformat.read(path, as_version=4)
        execute(notebook, path.parent)
        html, _ = exporter.from_notebook_node(notebook)
        page = out / path.relative_to(HERE).with_suffix(".html")
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(LINK.sub(r'\1.html"', html), encoding="utf-8")
        print(f"rendered: {page}", flush=True)


def opening(path):
    """(title, minutes to read, seconds to run, first thing a reader will be able to do)."""
    cells = nbformat.read(path, as_version=4).cells
    minutes, seconds = map(int, TIMES.search(cells[0].source).groups())
    promises = next(cell.source for cell in cells if "## You will be able to" in cell.source)
    first = next(line for line in promises.splitlines() if line.startswith("- "))
    able = first.removeprefix("- ").replace("**", "").rstrip(".;")
    return TITLE.search(cells[0].source)[1], minutes, seconds, able


def lesson_table(record):
    """The README's table of lessons, as markdown."""
    rows = ["| lesson | you will be able to | minutes | seconds |", "|---|---|---:|---:|"]
    for path in lesson_paths():
        title, minutes, _, able = opening(path)
        link = f"[{path.name[:2]} {title}](notebooks/{path.name})"
        rows.append(f"| {link} | {able} | {minutes} | {record['seconds'][path.stem]} |")
    return "\n".join(rows) + "\n"


def seconds_of_a_run(path):
    """How long a copy of the lesson takes, kernel start included."""
    notebook = nbformat.read(path, as_version=4)
    start = time.perf_counter()
    execute(notebook, HERE)
    return time.perf_counter() - start


def write_times(numbers):
    """Write down how long every lesson takes: the quickest of a few runs, lest others disturb it.

    With numbers those lessons alone are measured; the record keeps the others.
    """
    seconds = {}
    if numbers:
        seconds = json.loads(RECORD.read_text(encoding="utf-8"))["seconds"]
    for path in lesson_paths(numbers):
        seconds[path.stem] = round(min(seconds_of_a_run(path) for _ in range(REPEATS)), 1)
        print(f"{path.stem}: {seconds[path.stem]} s", flush=True)
        store_seconds(path, math.ceil(seconds[path.stem]))
    record = {
        "what": "seconds to run each lesson, kernel start included: the quickest of a few runs",
        "made_by": "python notebooks/lessons.py times",
        "date": date.today().isoformat(),
        "runs": REPEATS,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "seconds": dict(sorted(seconds.items())),
    }
    RECORD.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    readme = README.read_text(encoding="utf-8")
    README.write_text(TABLE.sub(lambda _: lesson_table(record), readme), encoding="utf-8")


def store_seconds(path, seconds):
    """Make a lesson's own line say how long it runs."""
    notebook = nbformat.read(path, as_version=4)
    line = rf"\1 minutes to read · {seconds} seconds to run"
    changed = TIMES.sub(line, notebook.cells[0].source, count=1)
    if changed != notebook.cells[0].source:
        notebook.cells[0].source = changed
        nbformat.write(notebook, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("verb", choices=["run", "stubs", "number", "html", "times"])
    parser.add_argument("numbers", nargs="*", help="lesson numbers for run and times, such as 04")
    parser.add_argument("--out", type=Path, default=Path("build/lessons"))
    arguments = parser.parse_args()
    if arguments.verb == "run":
        run(arguments.numbers)
    elif arguments.verb == "stubs":
        write_stubs()
    elif arguments.verb == "number":
        number()
    elif arguments.verb == "html":
        render_html(arguments.out)
    else:
        write_times(arguments.numbers)


if __name__ == "__main__":
    main()
