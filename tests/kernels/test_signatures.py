"""Functions of the kernels and of their benchmark: few parameters, unique names, types."""

import ast
from collections import Counter
from pathlib import Path

import pytest

import msa_kernels

PACKAGE = Path(msa_kernels.__file__).parent
BENCH = PACKAGE.parent / "bench"
MAX_JIT_PARAMETERS, MAX_HOST_PARAMETERS = 20, 10


def functions(folder):
    """(file, node) of every function of a folder's files, methods and inner ones too."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                yield path, node


def parameters(node):
    return [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]


def is_jit(node):
    return any(ast.unparse(one).startswith("triton.jit") for one in node.decorator_list)


def launched_names():
    """Names of what is called as `name[grid](...)`."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Subscript):
                yield ast.unparse(node.func.value)


IN_PACKAGE, IN_BENCH = list(functions(PACKAGE)), list(functions(BENCH))
JIT = [(path, node) for path, node in IN_PACKAGE if is_jit(node)]
HOST = [(path, node) for path, node in IN_PACKAGE if not is_jit(node)]
LAUNCHED = sorted(set(launched_names()))


def ids(pair):
    return f"{pair[0].stem}.{pair[1].name}" if isinstance(pair, tuple) else None


@pytest.mark.parametrize("one", IN_PACKAGE + IN_BENCH, ids=ids)
def test_no_function_has_many_parameters(one):
    _, node = one
    most = MAX_JIT_PARAMETERS if is_jit(node) else MAX_HOST_PARAMETERS
    assert len(parameters(node)) <= most


@pytest.mark.parametrize("name", LAUNCHED)
def test_a_launched_kernel_has_a_name_of_its_own_a_docstring_and_a_line_of_shapes(name):
    """Profilers show the bare name."""
    assert name.endswith("_kernel")
    [(path, node)] = [(path, node) for path, node in JIT if node.name == name]
    assert ast.get_docstring(node)
    lines = path.read_text(encoding="utf-8").splitlines()
    first = lines[node.body[0].end_lineno].strip()
    assert first.startswith("# ")
    assert "[" in first or "Inputs as" in first


def test_only_launched_functions_end_in_kernel_and_no_two_share_a_name():
    names = Counter(node.name for _, node in JIT)
    assert max(names.values()) == 1
    assert sorted(name for name in names if name.endswith("_kernel")) == LAUNCHED
    assert len(LAUNCHED) == 15


def test_every_product_has_the_precision_of_its_launch():
    """The default of tl.dot is TF32, which the interpreter does not round to."""
    products = [
        (ids(one), ast.unparse(call))
        for one in JIT
        for call in ast.walk(one[1])
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "tl.dot"
    ]
    assert len(products) >= len(LAUNCHED)
    assert [one for one in products if not one[1].endswith("input_precision=PRECISION)")] == []


@pytest.mark.parametrize("one", HOST, ids=ids)
def test_host_functions_have_types(one):
    _, node = one
    if node.name.startswith("__") and node.name != "__init__":
        return
    assert node.returns or node.name == "__init__"
    bare = [one.arg for one in parameters(node) if not one.annotation and one.arg != "self"]
    assert not bare
