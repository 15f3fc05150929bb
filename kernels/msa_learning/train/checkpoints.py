"""Checkpoints of a training run: whole or not there, and the newest found again."""

from __future__ import annotations

import os
from pathlib import Path

import torch

PATTERN = "step_*.pt"


def save(folder: Path, step: int, state: dict) -> Path:
    """Write `state` as the checkpoint of `step` and drop the older ones.

    Written beside its place and moved there when it is on disk, so a killed run leaves either
    the whole file or none that `latest` would find.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step_{step:06d}.pt"
    half = path.with_suffix(".half")
    with half.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(half, path)
    for older in folder.glob(PATTERN):
        if older < path:
            older.unlink()
    return path


def latest(folder: Path) -> Path | None:
    """The checkpoint with the most steps, None if there is none."""
    return max(folder.glob(PATTERN), default=None)


def planned_steps(folder: Path) -> int | None:
    """How many steps the run in `folder` is to take in all, None without a checkpoint."""
    path = latest(folder)
    return None if path is None else load(path, config={}, device="cpu")["config"]["steps"]


def load(path: Path, *, config: dict, device: str) -> dict:
    """The state of a checkpoint. Cut short, foreign, or of another config: ValueError."""
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        written = state["config"]
    except Exception as error:
        raise ValueError(f"{path}: got no whole checkpoint of this training ({error})") from error
    for name, value in config.items():
        if written.get(name) != value:
            raise ValueError(
                f"{path}: got a run with {name} {written.get(name)}, takes one with {value}; "
                "train into another folder"
            )
    return state
