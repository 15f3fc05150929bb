"""What an index would select in one text at several steps of its training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from msa_learning.attention.selection import Budget, best_blocks, selection_mask
from msa_learning.evaluate import recall
from msa_learning.index.branch import index_selector
from msa_learning.models.smollm2 import AttentionInput, SmolLM2, attend_dense
from msa_learning.train.checkpoints import step_of

LAYERS = (0, 11, 18)  # those whose attention the earlier lessons show
BUDGET = Budget(block_size=32, top_k=8)
DUE = (0, 5, 10, 20, 35, 60, 100, 180, 320, 560, 1000, 1800, 3200)


def is_due(step: int) -> bool:
    """Whether a snapshot is taken before this step: the later, the farther apart."""
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
        self.num_keys = len(tokens)
        self.mass = {
            layer: recall.block_mass(inputs.q, inputs.k, block_size=BUDGET.block_size)
            for layer, inputs in self.inputs.items()
        }

    @torch.no_grad()
    def add(self, branches: torch.nn.ModuleList, step: int, stage: str) -> None:
        """Store what the branches select now."""
        chosen, recalls = [], []
        select = index_selector(branches)
        for layer in LAYERS:
            ids = select(self.inputs[layer], BUDGET)
            sizes = {"num_keys": self.num_keys, "block_size": BUDGET.block_size}
            found = recall.measure(ids, self.mass[layer], **sizes)
            chosen.append(self.pack(ids))
            recalls.append((found.score.item(), found.block.item()))
        arrays = {"chosen": np.stack(chosen), "recalls": np.array(recalls, np.float32)}
        np.savez(self.folder / f"snapshot_{step:06d}.npz", stage=stage, **arrays)

    def save(self, path: Path) -> None:
        """Join the snapshots in one file."""
        files = sorted(self.folder.glob("snapshot_*.npz"), key=step_of)
        taken = [np.load(file) for file in files]
        recalls = np.stack([one["recalls"] for one in taken])
        sizes = BUDGET._asdict() | {"num_keys": self.num_keys}
        ideal = [self.pack(best_blocks(self.mass[layer], **sizes)) for layer in LAYERS]
        np.savez_compressed(
            path,
            steps=np.array([step_of(file) for file in files], np.int32),
            stage=np.array([str(one["stage"]) for one in taken]),
            layers=np.array(LAYERS, np.int32),
            chosen=np.stack([one["chosen"] for one in taken]),
            ideal=np.stack(ideal),
            score_recall=recalls[..., 0],
            block_recall=recalls[..., 1],
            **BUDGET._asdict(),
        )

    def pack(self, selection: torch.Tensor) -> np.ndarray:
        """Eight blocks a byte, the first in the highest bit; `np.unpackbits` undoes it."""
        blocks = selection_mask(selection, -(-self.num_keys // BUDGET.block_size))
        return np.packbits(blocks[0].cpu().numpy(), axis=-1)
