"""Captured arrays that the lessons read: real attention of SmolLM2-135M over real text.

`README.md` in this folder says where they come from and under which licences.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from msa_ref.config import check_int

if TYPE_CHECKING:
    from jaxtyping import Float


class Capture(NamedTuple):
    """One layer's q [1,9,T,64] and k, v [1,3,T,64], as attention saw them (after RoPE)."""

    q: Float[np.ndarray, "1 Hq T d"]
    k: Float[np.ndarray, "1 Hkv T d"]
    v: Float[np.ndarray, "1 Hkv T d"]


def captured_layers() -> list[int]:
    """The layers whose attention is stored, ascending."""
    return load_text()["layers"]


def load_capture(layer: int) -> Capture:
    """q, k, v of one stored layer, float32. Any other layer raises ValueError."""
    check_int("layer", layer, 0)
    layers = captured_layers()
    if layer not in layers:
        raise ValueError(f"layer: got {layer}, takes one of {layers}")
    with (files(__package__) / f"smollm2_layer_{layer:02d}.npz").open("rb") as file:
        arrays = np.load(file)
        return Capture(*(arrays[name].astype(np.float32) for name in Capture._fields))


def load_text() -> dict:
    """The captured `text`, its `words` (one string a token), the `layers` and the sources."""
    return json.loads((files(__package__) / "smollm2_text.json").read_text(encoding="utf-8"))
