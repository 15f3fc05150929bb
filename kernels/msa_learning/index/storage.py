"""Files of trained index branches: safetensors in fp16, each with a header and a checksum.

The header says for which model the branches are. `load_index()` reads the ones that ship with the
package, whose checksums are in the package's own list.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError
from safetensors import torch as safetensors_torch

from msa_learning.index.branch import new_branches
from msa_learning.whole_files import write_whole
from msa_ref import data

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

FORMAT = "msa_ref index branches 1"
MODEL = "SmolLM2-135M-Instruct"
FILES = ("index_0.safetensors", "index_1.safetensors")
SHIPPED = tuple(f"smollm2_{name}" for name in FILES)
LENGTH_BYTES = 8  # before the header of a safetensors file: the header's length


def save_index(branches: nn.ModuleList, folder: Path, *, step: int, note: str = "") -> None:
    """Write the branches in fp16 as FILES of the folder, an equal share of the layers to each.

    Each file is written whole or not at all. `step` is how many steps they have learned: files of
    different steps do not load together.
    """
    share = -(-len(branches) // len(FILES))
    state = branches.state_dict()
    for number, name in enumerate(FILES):
        layers = range(number * share, min((number + 1) * share, len(branches)))
        tensors = {
            f"layers.{name}": tensor.half().cpu().contiguous()
            for name, tensor in state.items()
            if int(name.split(".")[0]) in layers
        }
        header = {"format": FORMAT, "model": MODEL, "layers": f"{layers.start}-{layers.stop - 1}"}
        header |= {"step": str(step), "note": note}
        header["sha256"] = content_digest(header, tensors)
        write_whole(folder / name, safetensors_torch.save(tensors, header))


def load_index(
    folder: Path | None = None,
    *,
    layers: int = 30,
    width: int = 576,
    num_kv_heads: int = 3,
    index_dim: int = 64,
) -> nn.ModuleList:
    """Trained branches in float32 from a training's folder; the package's own unless given.

    A file that is missing, damaged, of another format, shape or step than the rest: an error that
    names the file.
    """
    branches = new_branches(layers, width, num_kv_heads, index_dim, seed=0)
    wanted = {f"layers.{name}": tensor.shape for name, tensor in branches.state_dict().items()}
    found, steps = {}, set()
    for name in SHIPPED if folder is None else FILES:
        path = Path(name) if folder is None else Path(folder, name)
        header, tensors = read_file(path, wanted, shipped=folder is None)
        found |= tensors
        steps.add(header.get("step"))
    if len(steps) > 1:
        raise ValueError(f"{folder}: got index files of steps {sorted(steps)}, takes one step's")
    missing = sorted(set(wanted) - set(found))
    if missing:
        raise ValueError(
            f"{folder}: got none with {missing[0]}, takes files of all {layers} layers"
        )
    state = {name.removeprefix("layers."): tensor.float() for name, tensor in found.items()}
    branches.load_state_dict(state)
    return branches


def read_file(
    path: Path, wanted: dict[str, torch.Size], *, shipped: bool
) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Header and tensors of one file, each tensor of the name and shape wanted.

    The checksum of a shipped file is in the package's list, that of any other in its header.
    """
    if not shipped and not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file; train one with `python -m msa_learning.train`"
        )
    content = data.read_file(path.name) if shipped else path.read_bytes()
    try:
        tensors = safetensors_torch.load(content)
        length = int.from_bytes(content[:LENGTH_BYTES], "little")
        header = json.loads(content[LENGTH_BYTES : LENGTH_BYTES + length])
        header = header.get("__metadata__", {})
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{path}: got no whole safetensors file ({error})") from error
    if header.get("format") != FORMAT or header.get("model") != MODEL:
        got = header.get("format", "no format"), header.get("model", "no model")
        raise ValueError(f"{path}: got {got[0]} of {got[1]}, takes {FORMAT} of {MODEL}")
    digest = header.pop("sha256", None)
    if not shipped and digest != content_digest(header, tensors):
        raise ValueError(f"{path}: got other contents than its checksum says; train it again")
    for name, tensor in tensors.items():
        if wanted.get(name) != tensor.shape:
            takes = f"shape {tuple(wanted[name])}" if name in wanted else "no such tensor"
            raise ValueError(f"{path}: got {name} of shape {tuple(tensor.shape)}, takes {takes}")
        if not tensor.isfinite().all():
            raise ValueError(f"{path}: got numbers in {name} that are not finite")
    return header, tensors


def content_digest(header: dict[str, str], tensors: dict[str, Tensor]) -> str:
    """SHA-256 of a header and of every tensor's name, dtype, shape and bytes."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
