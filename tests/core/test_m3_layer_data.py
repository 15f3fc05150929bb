"""The small golden case inside the package is one of the golden files, and says so."""

from importlib.resources import files
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parents[1] / "goldens" / "m3_decode_float32_s0.npz"


def arrays(source):
    with source.open("rb") as stored:
        return dict(np.load(stored))


def test_its_arrays_are_those_of_the_golden_file():
    small, golden = arrays(files("msa_ref") / "data" / "m3_layer.npz"), arrays(GOLDEN)
    origin = str(small.pop("origin"))
    assert GOLDEN.name in origin
    assert "transformers 5.23.0" in origin
    assert {name for name in golden if name.startswith("w.")} < set(small)
    for name, array in small.items():
        np.testing.assert_array_equal(array, golden[name])
