"""What an index would select in one text, again and again while it learns: lesson 09's scrubber."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from msa_learning.attention import select
from msa_learning.evaluate import recall
from msa_learning.models.smollm2 import AttentionInput, SmolLM2, attend_dense, index_lanes

LAYERS = (0, 11, 18)  # those whose attention the earlier lessons show
BLOCK_SIZE, TOP_K = 32, 8
DUE = (0, 5, 10, 20, 35, 60, 100, 180, 320, 560, 1000, 1800, 3200)


def is_due(step: int) -> bool:
    """Whether a snapshot is taken before this step: ever more rarely, as learning slows."""
    return step in DUE


class Snapshots:
    """Selections of LAYERS on `tokens`, kept in `folder` so that a resumed run has them all."""

    def __init__(self, model: SmolLM2, tokens: np.ndarray, folder: Path):
        self.folder, self.inputs = folder, {}
        device = model.token_embd.weight.device

        def attend(inputs: AttentionInput):
            if inputs.layer in LAYERS:
                self.inputs[inputs.layer] = inputs
            return attend_dense(inputs)

        with torch.no_grad():
            model(torch.from_numpy(tokens.astype(np.int64))[None].to(device), attend)
        size = {"block_size": BLOCK_SIZE}
        self.num_keys = len(tokens)
        self.mass = {n: recall.block_mass(i.q, i.k, **size) for n, i in self.inputs.items()}

    @torch.no_grad()
    def add(self, branches: torch.nn.ModuleList, step: int, stage: str) -> None:
        """Store what the branches choose now."""
        chosen, recalls = [], []
        for layer in LAYERS:
            index_q, index_k = index_lanes(branches, self.inputs[layer])
            ids = select.select_blocks(index_q, index_k, block_size=BLOCK_SIZE, top_k=TOP_K)
            sizes = {"num_keys": self.num_keys, "block_size": BLOCK_SIZE}
            found = recall.measure(ids, self.mass[layer], **sizes)
            chosen.append(self.pack(ids))
            recalls.append((found.score.item(), found.block.item()))
        arrays = {"chosen": np.stack(chosen), "recalls": np.array(recalls, np.float32)}
        np.savez(self.folder / f"snapshot_{step:06d}.npz", stage=stage, **arrays)

    def save(self, path: Path) -> None:
        """Join the snapshots in one file."""
        files = sorted(self.folder.glob("snapshot_*.npz"))
        taken = [np.load(file) for file in files]
        recalls = np.stack([one["recalls"] for one in taken])
        sizes = {"num_keys": self.num_keys, "block_size": BLOCK_SIZE, "top_k": TOP_K}
        ideal = [self.pack(select.best_blocks(self.mass[layer], **sizes)) for layer in LAYERS]
        np.savez_compressed(
            path,
            steps=np.array([int(file.stem.split("_")[1]) for file in files], np.int32),
            stage=np.array([str(one["stage"]) for one in taken]),
            layers=np.array(LAYERS, np.int32),
            chosen=np.stack([one["chosen"] for one in taken]),
            ideal=np.stack(ideal),
            score_recall=recalls[..., 0],
            block_recall=recalls[..., 1],
            block_size=BLOCK_SIZE,
            top_k=TOP_K,
        )

    def pack(self, selection: torch.Tensor) -> np.ndarray:
        """Eight blocks a byte, the first in the highest bit; `np.unpackbits` undoes it."""
        blocks = recall.selection_mask(selection, -(-self.num_keys // BLOCK_SIZE))
        return np.packbits(blocks[0].cpu().numpy(), axis=-1)
