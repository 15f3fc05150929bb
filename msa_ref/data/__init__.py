"""Captured arrays that the lessons read: real attention of SmolLM2-135M over real text, and what
an index trained on it selects.

`README.md` in this folder says where they come from and under which licences.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from msa_ref.config import check_int

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int32, UInt8


CHECKSUMS = "checksums.json"


def read_file(name: str) -> bytes:
    """The bytes of a shipped file. ValueError unless they are those of its checksum.

    `python -m msa_ref.data.checksums` writes the list. Measured records are not in it: the commands
    that measure write them.
    """
    folder = files(__package__)
    known = json.loads((folder / CHECKSUMS).read_text(encoding="utf-8"))
    if name not in known:
        raise ValueError(f"name: got {name!r}, takes one of {sorted(known)}")
    content = (folder / name).read_bytes()
    if hashlib.sha256(content).hexdigest() != known[name]:
        raise ValueError(
            f"{folder / name}: got other contents than its checksum says; install again"
        )
    return content


def load_arrays(name: str) -> dict[str, np.ndarray]:
    """All arrays of a shipped .npz file."""
    with np.load(BytesIO(read_file(name))) as arrays:
        return dict(arrays)


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
    arrays = load_arrays(f"smollm2_layer_{layer:02d}.npz")
    return Capture(*(arrays[name].astype(np.float32) for name in Capture._fields))


def load_hidden() -> Float[np.ndarray, "T width"]:
    """What layer 18's projections read, one row per token of the text, float32: X of q = X W_q."""
    return load_arrays("smollm2_hidden_18.npz")["hidden"].astype(np.float32)


class IndexWeights(NamedTuple):
    """One layer's trained index branch, float32: projections as [out, in], norms by channel."""

    q_proj: Float[np.ndarray, "Hkv*di width"]
    k_proj: Float[np.ndarray, "di width"]
    q_norm: Float[np.ndarray, " di"]
    k_norm: Float[np.ndarray, " di"]


def load_index_weights(layer: int) -> IndexWeights:
    """The shipped index branch of one of SmolLM2's 30 layers. Any other layer raises ValueError."""
    check_int("layer", layer, 0)
    for name in ("smollm2_index_0.safetensors", "smollm2_index_1.safetensors"):
        content = read_file(name)
        start = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:start])
        if f"layers.{layer}.q_proj.weight" in header:
            entries = [header[f"layers.{layer}.{part}.weight"] for part in IndexWeights._fields]
            return IndexWeights(*(_half_floats(content, start, entry) for entry in entries))
    raise ValueError(f"layer: got {layer}, takes 0 to 29")


def _half_floats(content: bytes, start: int, entry: dict) -> np.ndarray:
    """An fp16 tensor of a safetensors file as float32; offsets count from the header's end."""
    first, stop = (start + offset for offset in entry["data_offsets"])
    values = np.frombuffer(content[first:stop], dtype="<f2").astype(np.float32)
    return values.reshape(entry["shape"])


def load_text() -> dict:
    """The captured `text`, its `words` (one string a token), the `layers` and the sources."""
    return json.loads(read_file("smollm2_text.json"))


def load_record(name: str) -> dict:
    """A measured record by name, such as "h200" or "learning". Others raise ValueError.

    Which script measured it, on what and when is in the record and in docs/measured/README.md.
    """
    folder = files(__package__) / "measured"
    names = sorted(path.name.removesuffix(".json") for path in folder.iterdir())
    if name not in names:
        raise ValueError(f"name: got {name!r}, takes one of {names}")
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


class IndexSnapshots(NamedTuple):
    """What a trained index would have selected in the captured text at n moments of its training.

    The layers are those of `captured_layers()`; `best` are the top_k blocks by attention mass. A
    recall is the mean over the groups and the rows that see more than top_k blocks.
    """

    steps: Int32[np.ndarray, " n"]
    stage: tuple[str, ...]
    layers: Int32[np.ndarray, " L"]
    chosen: Bool[np.ndarray, "n L Hkv T nb"]
    best: Bool[np.ndarray, "L Hkv T nb"]
    score_recall: Float[np.ndarray, "n L"]
    block_recall: Float[np.ndarray, "n L"]
    block_size: int
    top_k: int


class TextTrace(NamedTuple):
    """What the trained index ranks highest in one text, and what attention does.

    `rank` is a block's place in the index's order, the local block first; `mass_rank` the same by
    attention mass; both 255 in the future. So the blocks chosen at any k are those of rank < k.
    """

    words: tuple[str, ...]
    parts: tuple[str, ...]
    part_starts: Int32[np.ndarray, " P"]
    layers: Int32[np.ndarray, " L"]
    block_size: int
    rank: UInt8[np.ndarray, "L Hkv T nb"]
    mass_rank: UInt8[np.ndarray, "L Hkv T nb"]
    mass: Float[np.ndarray, "L Hkv T nb"]


def load_snapshots() -> IndexSnapshots:
    """The snapshots of a training run (smollm2_learning.npz)."""
    return unpack_snapshots(load_arrays("smollm2_learning.npz"))


def unpack_snapshots(arrays: Mapping[str, np.ndarray]) -> IndexSnapshots:
    """The snapshots from the arrays of their file, where eight blocks are one byte."""
    num_blocks = -(-arrays["chosen"].shape[-2] // int(arrays["block_size"]))
    chosen, best = (
        np.unpackbits(arrays[name], axis=-1)[..., :num_blocks].astype(bool)
        for name in ("chosen", "ideal")
    )
    return IndexSnapshots(
        arrays["steps"],
        tuple(map(str, arrays["stage"])),
        arrays["layers"],
        chosen,
        best,
        arrays["score_recall"],
        arrays["block_recall"],
        int(arrays["block_size"]),
        int(arrays["top_k"]),
    )


def load_text_trace() -> TextTrace:
    """The explorer's text with the trained index's ranks in it (smollm2_explorer.npz)."""
    return unpack_text_trace(load_arrays("smollm2_explorer.npz"))


def unpack_text_trace(arrays: Mapping[str, np.ndarray]) -> TextTrace:
    """A trace from the arrays of its file."""
    return TextTrace(
        tuple(map(str, arrays["words"])),
        tuple(map(str, arrays["parts"])),
        arrays["part_starts"],
        arrays["layers"],
        int(arrays["block_size"]),
        arrays["rank"],
        arrays["mass_rank"],
        arrays["mass"].astype(np.float32),
    )
