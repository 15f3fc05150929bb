"""Run the lessons and store their outputs, write their exercise stubs, render them to HTML.

python notebooks/lessons.py run [NN ...]      execute in place: lessons, then solutions
python notebooks/lessons.py stubs             write the stubs from the solutions
python notebooks/lessons.py html [--out DIR]  execute copies and write one page a lesson
"""

import argparse
import ast
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent


def paths(numbers=()):
    """Lessons, then solutions, in order; those of the given numbers alone if there are any."""
    found = sorted(HERE.glob("[0-9][0-9]_*.ipynb")) + sorted(HERE.glob("solutions/[0-9]*.ipynb"))
    return [path for path in found if not numbers or path.name[:2] in numbers]


def execute(notebook, folder):
    """Run every cell in a fresh kernel; outputs are stored in the notebook, widget state is not."""
    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=300, store_widget_state=False, resources=resources)
    client.execute()
    notebook.metadata.pop("widgets", None)
    notebook.metadata.language_info = {"name": "python"}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)


def stub(source: str) -> str:
    """The exercise cell of a solution cell: signature and docstring kept, the body left to do."""
    lines = source.splitlines()
    function = next(node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
    docstring = function.body[0]
    number = lines[0].removeprefix("# exercise ").strip()
    task = ast.get_docstring(function).splitlines()[0].rstrip(".").replace('"', "'")
    kept = lines[: docstring.end_lineno]
    return "\n".join([*kept, f'    raise NotImplementedError("Exercise {number}: {task}")'])


def exercise_cells(notebook):
    """Cells that begin with `# exercise N.M`, by that line."""
    cells = [cell for cell in notebook.cells if cell.source.startswith("# exercise ")]
    return {cell.source.splitlines()[0]: cell for cell in cells}


def write_stubs():
    """Make every lesson's exercise cells from the solutions; say which files changed."""
    for lesson in paths():
        solution = HERE / "solutions" / lesson.name
        if lesson.parent != HERE or not solution.exists():
            continue
        notebook = nbformat.read(lesson, as_version=4)
        before = nbformat.writes(notebook)
        solved = exercise_cells(nbformat.read(solution, as_version=4))
        for first_line, cell in exercise_cells(notebook).items():
            cell.source = stub(solved[first_line].source)
        if nbformat.writes(notebook) != before:
            nbformat.write(notebook, lesson)
            print(f"stubs written: {lesson.name}")


def render_html(out: Path):
    """Execute a copy of every lesson and write it as a page that needs no network for its text."""
    from nbconvert import HTMLExporter

    out.mkdir(parents=True, exist_ok=True)
    exporter = HTMLExporter(embed_images=True)
    for path in paths():
        if path.parent != HERE:
            continue
        notebook = nbformat.read(path, as_version=4)
        execute(notebook, HERE)
        page, _ = exporter.from_notebook_node(notebook)
        (out / path.with_suffix(".html").name).write_text(page, encoding="utf-8")
        print(f"rendered: {path.stem}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("verb", choices=["run", "stubs", "html"])
    parser.add_argument("numbers", nargs="*", help="lesson numbers, such as 04")
    parser.add_argument("--out", type=Path, default=Path("build/lessons"))
    arguments = parser.parse_args()
    if arguments.verb == "stubs":
        write_stubs()
    elif arguments.verb == "html":
        render_html(arguments.out)
    else:
        for path in paths(arguments.numbers):
            notebook = nbformat.read(path, as_version=4)
            execute(notebook, path.parent)
            nbformat.write(notebook, path)
            print(f"run: {path.relative_to(HERE)}")


if __name__ == "__main__":
    main()
