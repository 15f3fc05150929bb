"""Checkpoints of a training run: written whole, checked when read, the newest found again."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import torch

from msa_learning.whole_files import write_whole

DIGEST_BYTES = hashlib.sha256().digest_size


def step_of(path: Path) -> int:
    """The number in a name like step_000200.pt or snapshot_000200.npz."""
    return int(path.stem.rpartition("_")[2])


def save(folder: Path, step: int, state: dict) -> Path:
    """Write `state`, its SHA-256 behind it, as the checkpoint of `step`, and drop older ones.

    A killed run leaves either the whole file or none that `latest` would find.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step_{step:06d}.pt"
    file = io.BytesIO()
    torch.save(state, file)
    content = file.getvalue()
    write_whole(path, content + hashlib.sha256(content).digest())
    for other in folder.glob("step_*.pt"):
        if step_of(other) < step:
            other.unlink()
    return path


def latest(folder: Path) -> Path | None:
    """The checkpoint with the most steps, None if there is none."""
    return max(folder.glob("step_*.pt"), key=step_of, default=None)


def planned_steps(folder: Path) -> int | None:
    """How many steps the run in `folder` is to take in all, None without a checkpoint."""
    path = latest(folder)
    return None if path is None else load(path, config={}, device="cpu")["config"]["steps"]


def load(path: Path, *, config: dict, device: str) -> dict:
    """The state of a checkpoint. Damaged, foreign, or of another config: ValueError.

    Only tensors and plain values are read: a file cannot run code.
    """
    content = path.read_bytes()
    content, digest = content[:-DIGEST_BYTES], content[-DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        raise ValueError(f"{path}: got no whole checkpoint, its checksum differs; delete it")
    try:
        state = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
        written = state["config"]
    except Exception as error:
        raise ValueError(f"{path}: got no checkpoint of this training ({error})") from error
    for name, value in config.items():
        if written.get(name) != value:
            raise ValueError(
                f"{path}: got a run with {name} {written.get(name)}, takes one with {value}; "
                "train into another folder"
            )
    return state
