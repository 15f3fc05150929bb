"""The package's shape: which module may import which, how long files are, what an import loads."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import msa_ref

ROOT = Path(msa_ref.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
FAMILY = sorted((ROOT / "family").glob("*.py"))
KERNELS = sorted((ROOT.parent / "kernels" / "msa_kernels").glob("*.py"))
MAX_LINES = 300
MAX_KERNEL_LINES = 200
MAX_FAMILY_LINES = 149

# Data flows one way: a module imports only from lower steps.
STEPS = [
    {"checks"},
    {"config"},
    {"contracts"},
    {"blocks"},
    {"dense", "scoring", "selection"},
    {"sparse"},
    {"cache"},
    {"layer"},
]
STEP = {name: step for step, names in enumerate(STEPS) for name in names}
CORE = set(STEP)
# Beside and above the core: what each part may import of the package besides itself.
TOP = {
    "systems_cost": {"checks"},
    "cost": {"checks", "config", "systems_cost"},
    "smollm2": CORE,
    "data": CORE | {"smollm2"},  # the scripts beside the data, which capture and measure
    "family": CORE | {"cost"},
    "lesson": {"checks", "config", "viz"},
    "learning": CORE | {"cost", "data", "smollm2"},
    "exercises": CORE | {"cost", "systems_cost", "family", "data", "learning"},
    "viz": CORE | {"cost", "systems_cost", "family", "data"},
}
# The names that `from msa_ref import M3` reaches come from these modules.
REEXPORTED = set(msa_ref.__all__) - CORE - set(TOP)
# What each part may import from outside; every other part has numpy alone.
IN_TRITON = {"torch", "triton", "msa_kernels"}
OUTSIDE = {
    "viz": {"numpy", "matplotlib", "ipywidgets"},
    "smollm2": {"numpy", "gguf", "tokenizers"},
    "learning": {"numpy", "torch", "safetensors", "msa_kernels"},
    "exercises": {"numpy"} | IN_TRITON,
}


def part_of(path):
    """First name below msa_ref: `viz` for viz/palette.py, `dense` for dense.py."""
    return path.relative_to(ROOT).with_suffix("").parts[0]


def run_time_imports(tree):
    """Import statements outside `if TYPE_CHECKING:`, each with whether it is at module level."""
    pending = [(tree, True)]
    while pending:
        node, at_top = pending.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node, at_top
        inside = at_top and not isinstance(node, ast.FunctionDef | ast.Lambda)
        pending += [(child, inside) for child in ast.iter_child_nodes(node)]


def imported_names(node):
    """Dotted names an import statement reaches: `msa_ref.dense` for `from msa_ref import dense`."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if node.module == "msa_ref":
        return [f"msa_ref.{alias.name}" for alias in node.names]
    return [node.module]


def imports(path):
    """(dotted name, at module level) of every run-time import of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [
        (name, at_top) for node, at_top in run_time_imports(tree) for name in imported_names(node)
    ]


def ids(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_imports_follow_the_arrows(path):
    part = part_of(path)
    if part == "__init__":
        allowed = CORE | {"cost"}
    elif part in STEP:
        allowed = {name for name in CORE if STEP[name] < STEP[part]}
    else:
        assert part in TOP, f"{part}: say in TOP what it may import"
        allowed = TOP[part] | {part}
        allowed |= REEXPORTED if allowed >= CORE else set()
    for name, _ in imports(path):
        if name.startswith("msa_ref."):
            assert name.split(".")[1] in allowed, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_only_numpy_comes_from_outside(path):
    allowed = OUTSIDE.get(part_of(path), {"numpy"}) | {"msa_ref"} | set(sys.stdlib_module_names)
    for name, _ in imports(path):
        assert name.split(".")[0] in allowed, f"{path.name} imports {name}"


@pytest.mark.parametrize(
    ("part", "inside"), [("exercises", IN_TRITON), ("learning", {"msa_kernels"})]
)
def test_what_runs_on_a_gpu_is_imported_only_inside_functions(part, inside):
    for path in (ROOT / part).glob("*.py"):
        for name, at_top in imports(path):
            assert not at_top or name.split(".")[0] not in inside, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", KERNELS, ids=lambda path: path.stem)
def test_the_kernels_import_only_sizes_and_checks_of_the_reference(path):
    for name, _ in imports(path):
        allowed = {"msa_ref.config", "msa_ref.contracts", "msa_ref.cost"}
        assert not name.startswith("msa_ref") or name in allowed, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", KERNELS, ids=lambda path: path.stem)
def test_kernel_files_stay_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_KERNEL_LINES


@pytest.mark.parametrize("path", FAMILY, ids=lambda path: path.stem)
def test_family_files_stay_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_FAMILY_LINES


def test_lesson_imports_viz_only_inside_its_function():
    found = imports(ROOT / "lesson.py")
    assert ("msa_ref.viz", False) in found
    assert not [name for name, at_top in found if at_top and name.startswith("msa_ref.viz")]


def test_the_scan_sees_every_kind_of_import():
    source = """
import torch.nn
from msa_ref import dense as d
from msa_ref.viz.palette import HIDDEN
if TYPE_CHECKING:
    import jaxtyping
def f():
    from matplotlib import pyplot
"""
    found = {
        (name, at_top)
        for node, at_top in run_time_imports(ast.parse(source))
        for name in imported_names(node)
    }
    assert found == {
        ("torch.nn", True),
        ("msa_ref.dense", True),
        ("msa_ref.viz.palette", True),
        ("matplotlib", False),
    }


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_files_stay_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


def test_nothing_is_left_to_do():
    marks = ["TO" + "DO", "FIX" + "ME", "X" * 3]
    project = ROOT.parent
    folders = ("msa_ref", "tests", "notebooks", "docs")
    for folder in folders:
        for path in (project / folder).rglob("*"):
            if path.suffix in {".py", ".md", ".ipynb"} and ".ipynb_checkpoints" not in path.parts:
                text = path.read_text(encoding="utf-8")
                # Pictures are base64, in which any three letters turn up.
                lines = [line for line in text.splitlines() if len(line) < 1000]
                found = [line for line in lines for mark in marks if mark in line]
                assert not found, f"{path.relative_to(project)}: {found[0]}"


def run_python(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize(
    "module", ["msa_ref", "msa_ref.lesson", "msa_ref.exercises", "msa_ref.data"]
)
def test_an_import_loads_no_heavy_library(module):
    loaded = run_python(f"import {module}, sys; print(*sys.modules)").split()
    heavy = {"torch", "triton", "matplotlib", "ipywidgets", "jaxtyping", "gguf", "tokenizers"}
    heavy |= {"safetensors", "msa_ref.learning"}
    assert not heavy & set(loaded)


def test_an_import_is_quick():
    """At most 0.3 s over numpy alone, of processor time: a busy machine does not count."""
    code = (
        "import time, numpy\nstart = time.process_time()\nimport msa_ref\n"
        "print(time.process_time() - start)"
    )
    assert min(float(run_python(code)) for _ in range(3)) <= 0.3
