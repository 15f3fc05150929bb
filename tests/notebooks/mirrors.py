"""Compares code shown in a lesson with the package's own, as syntax trees.

What counts is what is computed. Docstrings, comments, annotations, `contracts.check_...` lines and
the modules that names are reached through do not.
"""

import ast
import difflib
import functools
from pathlib import Path

import msa_ref

PACKAGE = Path(msa_ref.__file__).parent
MARK = "# mirrors: "
MODULES = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
LEARNING = PACKAGE.parent / "kernels" / "msa_learning"
Function = ast.FunctionDef


@functools.cache
def module_tree(name):
    """Syntax tree of msa_ref.<name>."""
    return file_tree(PACKAGE / f"{name}.py")


@functools.cache
def file_tree(path):
    """Syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def module_names(tree):
    """Names bound to modules of the package at a file's top: `paged` for `cache as paged`."""
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return {
        alias.asname or alias.name
        for node in imports
        if node.module == "msa_ref"
        for alias in node.names
        if alias.name in MODULES
    }


MODULE_NAMES = MODULES.union(*(module_names(module_tree(name)) for name in MODULES))


def find(dotted):
    """The function, class or method of `msa_ref.module.name` or `msa_ref.module.Class.name`.

    Below msa_learning a module's folder stands before it, as in
    `msa_learning.attention.index_loss.index_kl`.
    """
    package, module, *names = dotted.split(".")
    path = PACKAGE / f"{module}.py"
    if package == "msa_learning" and names:
        path = LEARNING / module / f"{names.pop(0)}.py"
    if package not in ("msa_ref", "msa_learning") or not path.exists() or not names:
        raise LookupError(f"{dotted}: takes msa_ref.module.function or msa_ref.module.Class.method")
    node = file_tree(path)
    for name in names:
        found = [
            child
            for child in node.body
            if isinstance(child, Function | ast.ClassDef) and child.name == name
        ]
        if not found:
            raise LookupError(f"{dotted}: the package has none")
        node = found[0]
    return node


def shown(source):
    """The dotted name and the one function or class of a cell that begins with the mark."""
    dotted = source.splitlines()[0].removeprefix(MARK).strip()
    body = ast.parse(source).body
    if len(body) != 1 or not isinstance(body[0], Function | ast.ClassDef):
        raise ValueError(f"{dotted}: a mirror cell holds one `def` or `class` and nothing else")
    return dotted, body[0]


def bound_names(function):
    """Names that a function's arguments, assignments and inner functions bind, at any depth."""
    bound = set()
    for node in ast.walk(function):
        if isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
    return bound


def is_contract(node):
    """True for `contracts.check_...(...)`, alone or assigned."""
    if not isinstance(node, ast.Expr | ast.Assign) or not isinstance(node.value, ast.Call):
        return False
    called = node.value.func
    return (
        isinstance(called, ast.Attribute)
        and called.attr.startswith("check_")
        and isinstance(called.value, ast.Name)
        and called.value.id == "contracts"
    )


class _Bare(ast.NodeTransformer):
    """Strips what does not count."""

    def __init__(self, prefixes):
        self.prefixes = prefixes

    def visit_FunctionDef(self, node):
        node.returns = None
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:]
        node.body = [statement for statement in node.body if not is_contract(statement)]
        return self.generic_visit(node)

    def visit_arg(self, node):
        node.annotation = None
        return node

    def visit_AnnAssign(self, node):
        if node.value is None:
            return None
        return self.visit(ast.Assign([node.target], node.value))

    def visit_Attribute(self, node):
        self.generic_visit(node)
        owner = node.value
        if isinstance(owner, ast.Name) and owner.id in self.prefixes:
            return ast.Name(node.attr, node.ctx)
        return node


def bare(function):
    """The function's code without what does not count, in one layout."""
    copy = ast.parse(ast.unparse(function)).body[0]
    prefixes = (MODULE_NAMES | {"msa_ref"}) - bound_names(copy)
    tree = _Bare(prefixes).visit(copy)
    return ast.unparse(ast.fix_missing_locations(tree))


def methods(node):
    """Ends of the dotted names that a cell shows: "" of a function, `.name` of each method."""
    if isinstance(node, Function):
        return [""]
    return [f".{child.name}" for child in node.body if isinstance(child, Function)]


def code(node):
    """`bare` of a function, or of a class's methods one after the other, its constructor aside."""
    if isinstance(node, Function):
        return bare(node)
    found = [child for child in node.body if isinstance(child, Function)]
    return "\n\n".join(bare(child) for child in found if child.name != "__init__")


def difference(source):
    """Lines in which a mirror cell differs from the package; empty where it is equal."""
    dotted, function = shown(source)
    found = find(dotted)
    if type(found) is not type(function):
        raise LookupError(f"{dotted}: is a {type(found).__name__}, shown otherwise")
    package, lesson = (code(node).splitlines() for node in (found, function))
    return "\n".join(difflib.unified_diff(package, lesson, "package", "lesson", lineterm=""))
