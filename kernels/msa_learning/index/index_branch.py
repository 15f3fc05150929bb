"""The index branch of one layer: the only new weights, which score keys for the sparse attention.

Also the file format of trained branches: safetensors in fp16 with a header that says for which
model they are. `load_index()` reads the ones that ship with the package.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from msa_learning.attention.layer import Indexer
from msa_ref.checks import check_sizes

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

FORMAT = "msa_ref index branches 1"
MODEL = "SmolLM2-135M-Instruct"
INIT_STD = 0.02
FILES = ("smollm2_index_0.safetensors", "smollm2_index_1.safetensors")


def rotate(x: Float[Tensor, "B H T d"], angles: Float[Tensor, "T d/2"]):
    """RoPE on neighbouring channels (0 with 1, 2 with 3, ...), as the GGUF file stores q and k."""
    cos, sin = angles.cos(), angles.sin()
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1)
    return turned.flatten(-2).to(x.dtype)


class IndexBranch(Indexer):
    """One index query head for every KV group and one index key head that all groups share.

    From hidden [B,T,width], the input of the layer's own q projection: projection, Gemma RMSNorm,
    then RoPE as the layer's q and k have it. Computes in float32 whatever the model's dtype, and
    leaves it to the caller to detach.
    """

    def __init__(self, width: int, num_kv_heads: int, index_dim: int):
        check_sizes(width=width, num_kv_heads=num_kv_heads, index_dim=index_dim)
        super().__init__(width, num_kv_heads, index_dim)

    def forward(self, hidden: Float[Tensor, "B T width"], angles: Float[Tensor, "T di/2"]):
        """index_q [B,Hkv,T,di] and index_k [B,1,T,di]."""
        return self.lanes(hidden.float(), lambda heads: rotate(heads, angles))


def new_branches(layers: int, width: int, num_kv_heads: int, index_dim: int, *, seed: int):
    """Untrained branches, one a layer, the same for the same seed on every device."""
    generator = torch.Generator().manual_seed(seed)
    branches = nn.ModuleList(IndexBranch(width, num_kv_heads, index_dim) for _ in range(layers))
    for name, weight in branches.named_parameters():
        if "proj" in name:
            nn.init.normal_(weight, std=INIT_STD, generator=generator)
    return branches


def save_index(branches: nn.ModuleList, paths: Iterable[Path], note: str = "") -> None:
    """Write the branches in fp16, an equal share of the layers to each path."""
    paths = list(paths)
    share = -(-len(branches) // len(paths))
    state = branches.state_dict()
    for number, path in enumerate(paths):
        layers = range(number * share, min((number + 1) * share, len(branches)))
        kept = {
            f"layers.{name}": tensor.half().cpu().contiguous()
            for name, tensor in state.items()
            if int(name.split(".")[0]) in layers
        }
        header = {"format": FORMAT, "model": MODEL, "layers": f"{layers.start}-{layers.stop - 1}"}
        save_file(kept, path, header | ({"note": note} if note else {}))


def load_index(
    paths: Iterable[Path] | None = None,
    *,
    layers: int = 30,
    width: int = 576,
    num_kv_heads: int = 3,
    index_dim: int = 64,
) -> nn.ModuleList:
    """Trained branches from the given files, float32; from the package's own unless given.

    A file that is missing, cut short, not one of these, or of another shape: an error that names
    the file.
    """
    if paths is None:
        paths = [files("msa_ref.data") / name for name in FILES]
    branches = new_branches(layers, width, num_kv_heads, index_dim, seed=0)
    wanted = {f"layers.{name}": tensor.shape for name, tensor in branches.state_dict().items()}
    found = {}
    for path in map(Path, paths):
        found |= read_file(path, wanted)
    missing = sorted(set(wanted) - set(found))
    if missing:
        raise ValueError(f"paths: got none with {missing[0]}, takes files of all {layers} layers")
    state = {name.removeprefix("layers."): tensor.float() for name, tensor in found.items()}
    branches.load_state_dict(state)
    return branches


def read_file(path: Path, wanted: dict[str, torch.Size]) -> dict[str, Tensor]:
    """The tensors of one file, each of the name and shape wanted."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; train one with msa_learning.train.train")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path}: got no whole safetensors file ({error})") from error
    if header.get("format") != FORMAT or header.get("model") != MODEL:
        got = header.get("format", "no format"), header.get("model", "no model")
        raise ValueError(f"{path}: got {got[0]} of {got[1]}, takes {FORMAT} of {MODEL}")
    for name, tensor in tensors.items():
        if wanted.get(name) != tensor.shape:
            takes = f"shape {tuple(wanted[name])}" if name in wanted else "no such tensor"
            raise ValueError(f"{path}: got {name} of shape {tuple(tensor.shape)}, takes {takes}")
        if not tensor.isfinite().all():
            raise ValueError(f"{path}: got numbers in {name} that are not finite")
    return tensors
