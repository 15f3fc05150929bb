"""`pytest --shapes`, with which `make test` runs the tests of msa_ref, finds wrong annotations."""

import importlib
from pathlib import Path

import numpy as np
import pytest
import shape_hook

from msa_ref import blocks


def test_annotations_are_checked_with_the_option_alone(request):
    """Without it the package's own checks are the first to see a wrong type."""
    with pytest.raises(TypeError) as caught:
        blocks.num_blocks("23", 5)
    checked = "Type-check error" in str(caught.value)
    assert checked == request.config.getoption("--shapes")


PLANTED = {
    "nothing": ("", ""),
    "dimension": ('" {num_blocks}+1"', '" {num_blocks}"'),
    "number of dimensions": (
        'selection: Int[np.ndarray, "T k"]',
        'selection: Int[np.ndarray, "k"]',
    ),
    "equal dimensions": ('Int[np.ndarray, "T k"]', 'Int[np.ndarray, "T T"]'),
    "dtype": ('selection: Int[np.ndarray, "T k"]', 'selection: Int8[np.ndarray, "T k"]'),
    "type": ("num_blocks: int", "num_blocks: str"),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_a_wrong_annotation_is_found(kind, tmp_path, monkeypatch):
    right, wrong = PLANTED[kind]
    source = Path(blocks.__file__).read_text(encoding="utf-8")
    assert right in source
    package = "planted_" + kind.replace(" ", "_")
    folder = tmp_path / package
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "blocks.py").write_text(source.replace(right, wrong), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    shape_hook.install(package)
    planted = importlib.import_module(f"{package}.blocks")
    selection = np.array([[0, -1], [0, 1], [1, 2]])
    if kind == "nothing":
        planted.invert_selection(selection, 3)
    else:
        with pytest.raises(TypeError, match="Type-check error"):
            planted.invert_selection(selection, 3)
