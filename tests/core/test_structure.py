"""The project's shape: what each package may import, how long files are, what an import loads."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import msa_ref

PROJECT = Path(msa_ref.__file__).parents[1]
PACKAGES = {
    "msa_ref": PROJECT / "msa_ref",
    "msa_kernels": PROJECT / "kernels" / "msa_kernels",
    "msa_learning": PROJECT / "kernels" / "msa_learning",
    "msa_course": PROJECT / "notebooks" / "msa_course",
}
STANDARD = set(sys.stdlib_module_names)
MAX_LINES = 300
MAX_KERNEL_LINES = 200
MAX_FIGURES_LINES = 350

# Inside msa_ref data flows one way: a module imports only from earlier steps.
STEPS = [
    {"checks"},
    {"config"},
    {"contracts"},
    {"blocks"},
    {"dense", "scoring", "selection"},
    {"sparse"},
    {"cache"},
    {"layer"},
    {"systems_cost"},
    {"cost"},
    {"smollm2", "data"},
    {"family"},
]
STEP = {name: step for step, names in enumerate(STEPS) for name in names}

# Inside msa_learning a folder imports only from itself and from those before it.
ROOMS = ["attention", "models", "index", "corpus", "evaluate", "train"]
# Files beside the folders, which import nothing of the package.
NEUTRAL = {"__init__", "arguments", "documentation", "whole_files"}


def files(package):
    return sorted(PACKAGES[package].rglob("*.py"))


FILES = [path for package in PACKAGES for path in files(package)]
KERNELS = files("msa_kernels")


def ids(path):
    return str(path.relative_to(PROJECT))


def import_statements(tree, *, annotations=False):
    """Import statements, each with whether it is at module level.

    Those under `if TYPE_CHECKING:` never run: they count only with `annotations`.
    """
    pending = [(tree, True)]
    while pending:
        node, at_top = pending.pop()
        type_only = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if type_only and not annotations:
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node, at_top
        inside = at_top and not isinstance(node, ast.FunctionDef | ast.Lambda)
        pending += [(child, inside) for child in ast.iter_child_nodes(node)]


def imported_names(node):
    """Dotted names an import statement reaches: `msa_ref.dense` for `from msa_ref import dense`."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if node.module.startswith("msa_"):
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return [node.module]


def imports(path, *, annotations=False):
    """(dotted name, at module level) of every import of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [
        (name, at_top)
        for node, at_top in import_statements(tree, annotations=annotations)
        for name in imported_names(node)
    ]


def outside(package):
    """What a package imports that is neither Python's own nor its own."""
    found = {name.split(".")[0] for path in files(package) for name, _ in imports(path)}
    return found - STANDARD - {package}


def test_the_reference_imports_numpy_and_itself():
    """Its small language model reads a GGUF file, if it is asked to, with two libraries more."""
    assert outside("msa_ref") == {"numpy", "gguf", "tokenizers"}
    for path in files("msa_ref"):
        if path.stem != "smollm2":
            assert not {name for name, _ in imports(path)} & {"gguf", "tokenizers"}, path


def test_the_kernels_import_torch_triton_and_sizes_of_the_reference():
    assert outside("msa_kernels") == {"torch", "triton", "msa_ref"}
    reached = {name for path in KERNELS for name, _ in imports(path) if name.startswith("msa_ref")}
    assert {".".join(name.split(".")[:2]) for name in reached} <= {"msa_ref.config", "msa_ref.cost"}


def test_learning_imports_torch_and_the_two_packages_below():
    wanted = {"numpy", "torch", "safetensors", "msa_ref", "msa_kernels"}
    assert outside("msa_learning") <= wanted


def test_the_course_imports_whatever_it_shows():
    below = {"msa_ref", "msa_kernels", "msa_learning"}
    shown = {"numpy", "torch", "triton", "matplotlib", "ipywidgets", "anywidget", "traitlets"}
    shown |= {"IPython", "PIL", "packaging"}  # which those bring along
    shown |= {"ipywidgets", "anywidget", "traitlets"}
    assert outside("msa_course") <= shown | below


@pytest.mark.parametrize("path", files("msa_ref"), ids=ids)
def test_inside_the_reference_imports_follow_the_arrows(path):
    part = path.relative_to(PACKAGES["msa_ref"]).with_suffix("").parts[0]
    for name, _ in imports(path, annotations=True):
        top, _, reached = name.partition(".")
        reached = reached.split(".")[0]
        if top != "msa_ref" or part == "__init__" or reached == part:
            continue
        if reached in STEP:
            assert STEP[reached] < STEP[part], f"{path.name} imports {name}"
        else:  # what the package exports: its sizes, and attention whole
            assert reached in msa_ref.__all__, f"{path.name} imports {name}"
            assert STEP[part] > STEP["sparse"], f"{path.name} imports {name}"


@pytest.mark.parametrize("path", files("msa_learning"), ids=ids)
def test_inside_learning_a_room_looks_only_to_the_left(path):
    room = path.relative_to(PACKAGES["msa_learning"]).with_suffix("").parts[0]
    allowed = set() if room in NEUTRAL else NEUTRAL | set(ROOMS[: ROOMS.index(room) + 1])
    for name, _ in imports(path):
        top, _, reached = name.partition(".")
        if top == "msa_learning":
            assert reached.split(".")[0] in allowed, f"{path.name} imports {name}"


@pytest.mark.parametrize("package", ["msa_learning", "msa_course"])
def test_what_runs_on_a_gpu_is_imported_only_inside_functions(package):
    """Triton, which macOS and Windows lack, is never taken for given; nor torch, in the course."""
    late = {"triton", "msa_kernels"}
    if package == "msa_course":
        late |= {"torch"}
    for path in files(package):
        for name, at_top in imports(path):
            assert not at_top or name.split(".")[0] not in late, f"{path.name} imports {name}"


@pytest.mark.parametrize("annotations", [False, True])
def test_the_scan_sees_every_kind_of_import(annotations):
    source = """
import torch.nn
from msa_ref import dense as d
from msa_course.palette import HIDDEN
if TYPE_CHECKING:
    import jaxtyping
def f():
    from matplotlib import pyplot
"""
    found = {
        (name, at_top)
        for node, at_top in import_statements(ast.parse(source), annotations=annotations)
        for name in imported_names(node)
    }
    typing_only = {("jaxtyping", True)} if annotations else set()
    assert found == typing_only | {
        ("torch.nn", True),
        ("msa_ref.dense", True),
        ("msa_course.palette.HIDDEN", True),
        ("matplotlib", False),
    }


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_files_stay_short(path):
    limit = MAX_KERNEL_LINES if path in KERNELS else MAX_LINES
    if path.name == "figures.py":  # of a lesson, one below the other
        limit = MAX_FIGURES_LINES
    assert len(path.read_text(encoding="utf-8").splitlines()) <= limit


def test_nothing_is_left_to_do():
    marks = ["TO" + "DO", "FIX" + "ME", "X" * 3]
    for folder in ("msa_ref", "kernels", "tests", "notebooks", "docs"):
        for path in (PROJECT / folder).rglob("*"):
            if path.suffix in {".py", ".md", ".ipynb"} and ".ipynb_checkpoints" not in path.parts:
                text = path.read_text(encoding="utf-8")
                # Pictures are base64, in which any three letters turn up.
                lines = [line for line in text.splitlines() if len(line) < 1000]
                found = [line for line in lines for mark in marks if mark in line]
                assert not found, f"{path.relative_to(PROJECT)}: {found[0]}"


def run_python(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize(
    "module", ["msa_ref", "msa_course.setup", "msa_course.checking", "msa_ref.data"]
)
def test_an_import_loads_no_heavy_library(module):
    loaded = run_python(f"import {module}, sys; print(*sys.modules)").split()
    heavy = {"torch", "triton", "matplotlib", "ipywidgets", "jaxtyping", "gguf", "tokenizers"}
    assert not heavy & set(loaded)


def test_an_import_is_quick():
    """At most 0.3 s over numpy alone, of processor time: a busy machine does not count."""
    code = (
        "import time, numpy\nstart = time.process_time()\nimport msa_ref\n"
        "print(time.process_time() - start)"
    )
    assert min(float(run_python(code)) for _ in range(3)) <= 0.3
