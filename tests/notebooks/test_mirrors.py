"""The code that lessons show is the package's code, and all of the package's code is shown."""

import ast

import course
import mirrors
import pytest

TAUGHT_MODULES = ["dense", "blocks", "scoring", "selection", "sparse", "cache", "layer"]

# Not taught on their own: constructors, records of results, and every other double underscore.
TAUGHT_DUNDERS = {"__call__"}


def mirror_cells():
    for path in course.LESSONS:
        for cell in course.code_cells(course.read(path)):
            if cell.source.startswith(mirrors.MARK):
                dotted = cell.source.splitlines()[0].removeprefix(mirrors.MARK).strip()
                yield pytest.param(cell.source, id=f"{course.number(path)}-{dotted}")


def is_taught(name):
    return not name.startswith("_") or name in TAUGHT_DUNDERS


def is_record(node):
    return any(ast.unparse(base) == "NamedTuple" for base in node.bases)


def taught_names():
    """Dotted names of the public functions and methods that some lesson must show."""
    for module in TAUGHT_MODULES:
        for node in mirrors.module_tree(module).body:
            if isinstance(node, ast.FunctionDef) and is_taught(node.name):
                yield f"msa_ref.{module}.{node.name}"
            if isinstance(node, ast.ClassDef) and is_taught(node.name) and not is_record(node):
                methods = [child for child in node.body if isinstance(child, ast.FunctionDef)]
                for method in methods:
                    if is_taught(method.name):
                        yield f"msa_ref.{module}.{node.name}.{method.name}"


@pytest.mark.parametrize("source", list(mirror_cells()))
def test_what_is_shown_is_what_runs(source):
    assert mirrors.difference(source) == ""


@pytest.mark.parametrize("dotted", list(taught_names()))
def test_every_public_piece_is_shown_in_some_lesson(dotted):
    cells = [mirrors.shown(param.values[0]) for param in mirror_cells()]
    shown = {name + end for name, node in cells for end in mirrors.methods(node)}
    assert dotted in shown


def test_the_list_of_pieces_reaches_functions_methods_and_the_call():
    names = set(taught_names())
    assert {
        "msa_ref.dense.softmax_lse",
        "msa_ref.cache.PagedCache.append",
        "msa_ref.layer.M3Attention.__call__",
    } <= names
    assert not [name for name in names if "Output" in name or "__init__" in name]


# The comparer itself: what it forgives, and what it must not.

CELL = """# mirrors: msa_ref.sparse.attend_tile
def attend_tile(q, k_block, v_block, *, distance, scale):
    scores = q @ k_block.T * scale
    # only a query's local block needs the mask
    visible = np.arange(len(k_block)) <= distance[:, None]
    weights, lse = softmax_lse(np.where(visible, scores, -np.inf))
    finite = np.isfinite(v_block)
    out = weights @ np.where(finite, v_block, 0)
    if not finite.all():
        out[..., visible @ ~finite] = np.nan
    return out, lse
"""


def test_docstring_comments_annotations_and_module_names_do_not_count():
    assert mirrors.difference(CELL) == ""
    for prefix in ("dense.", "msa_ref.dense."):
        assert mirrors.difference(CELL.replace("softmax_lse(", f"{prefix}softmax_lse(")) == ""


def test_contract_lines_do_not_count_alone_or_assigned():
    cell = """# mirrors: msa_ref.dense.attention
def attention(q, k, v, *, scale=None, causal=True):
    weights, lse = attention_weights(q, k, scale=scale, causal=causal)
    return group_matmul(weights, v), lse
"""
    assert mirrors.difference(cell) == ""
    checked = cell.replace("    weights,", "    contracts.check_sizes(scale=1)\n    weights,")
    assert mirrors.difference(checked) == ""


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("<=", "<"),
        ("* scale", "+ scale"),
        ("-np.inf", "np.inf"),
        ("-np.inf", "-1e6"),
        ("    scores = q @ k_block.T * scale\n", ""),
        ("return out, lse", "return lse, out"),
        ("distance, scale):", "distance, scale=1.0):"),
        ("*, distance", "distance"),
        ("softmax_lse(", "softmax("),
        ("def attend_tile(", "def attend("),
    ],
)
def test_any_change_of_what_is_computed_is_found(right, wrong):
    changed = CELL.replace(right, wrong, 1)
    assert changed != CELL
    assert mirrors.difference(changed) != ""


def test_the_difference_shows_the_line():
    dropped = CELL.replace("    scores = q @ k_block.T * scale\n", "")
    assert "-    scores = q @ k_block.T * scale" in mirrors.difference(dropped)


def test_a_module_name_is_no_prefix_where_an_argument_has_it():
    # In this method `cache` is an argument: cache.length and length are different things.
    right = mirrors.bare(mirrors.find("msa_ref.layer.M3Attention.__call__"))
    assert "cache.length" in right
    assert "paged.attention" not in right


@pytest.mark.parametrize(
    "dotted",
    ["msa_ref.dense.nothing", "numpy.array", "msa_ref.nowhere.f"],
)
def test_a_mirror_of_nothing_is_refused(dotted):
    with pytest.raises(LookupError):
        mirrors.difference(f"{mirrors.MARK}{dotted}\ndef f():\n    pass\n")


def test_a_class_is_compared_method_by_method_its_constructor_aside():
    package = ast.unparse(mirrors.find("msa_ref.cache.PagedCache"))
    cell = f"{mirrors.MARK}msa_ref.cache.PagedCache\n{package}"
    assert mirrors.difference(cell) == ""
    assert mirrors.difference(cell.replace("self.capacity = capacity", "pass")) == ""
    for right, wrong in (("slot == 0", "slot == 1"), ("def load_block", "def load_page")):
        assert mirrors.difference(cell.replace(right, wrong))


def test_a_piece_of_learning_is_found_by_its_dotted_name():
    found = mirrors.find("msa_learning.attention.index_loss.attention_target")
    assert found.name == "attention_target"
    with pytest.raises(LookupError):
        mirrors.find("msa_learning.nowhere.teacher")


def test_a_mirror_cell_holds_one_function():
    with pytest.raises(ValueError, match="one `def`"):
        mirrors.shown(CELL + "print(1)\n")
