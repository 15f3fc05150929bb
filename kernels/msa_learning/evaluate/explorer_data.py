"""What the explorer shows: one text, and for some layers every query's blocks by index and mass.

python -m msa_learning.evaluate.explorer_data --tokens build/tokens --out build/smollm2_explorer.npz
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn

from msa_learning.attention import select
from msa_learning.corpus import data
from msa_learning.evaluate import recall
from msa_learning.index import index_branch
from msa_learning.models.smollm2 import AttentionInput, SmolLM2, attend_dense, index_lanes
from msa_ref import smollm2

BLOCK_SIZE = 32
LAYERS = (0, 4, 8, 11, 14, 18, 22, 28)
# Held-out text of three kinds, so many tokens of each from its beginning, joined by nothing.
PARTS = {"held_topics": 768, "held_prose": 384, "held_code": 384}
NAMES = ("Python's documentation", "the King James Bible", "Python's standard library")
IN_FUTURE = 255


def look_inside(
    model: SmolLM2, branches: nn.ModuleList, ids: np.ndarray, layers=LAYERS
) -> dict[str, np.ndarray]:
    """`rank` and `mass_rank` uint8 [L,Hkv,T,nb], `mass` float16: arrays of the given layers.

    A rank is a block's place in the order of the index's scores, or of the dense mass: the own
    block is 0, IN_FUTURE stands for a block in the future. A budget of k chooses rank < k.
    """
    kept: dict[int, list] = {}
    num_blocks = -(-len(ids) // BLOCK_SIZE)

    def ranks(scores):
        sizes = {"block_size": BLOCK_SIZE, "num_keys": len(ids)}
        ranked = np.full(scores.shape[1:], IN_FUTURE, np.uint8)
        for top_k in range(num_blocks, 0, -1):
            chosen = select.best_blocks(scores, top_k=top_k, **sizes)
            mask = recall.selection_mask(chosen, num_blocks)[0].cpu().numpy()
            ranked[mask] = top_k - 1
        return ranked

    def attend(inputs: AttentionInput):
        if inputs.layer in layers:
            index = select.block_scores(*index_lanes(branches, inputs), block_size=BLOCK_SIZE)
            mass = recall.block_mass(inputs.q, inputs.k, block_size=BLOCK_SIZE)
            halves = mass[0].cpu().numpy().astype(np.float16)
            kept[inputs.layer] = [ranks(index), ranks(mass), halves]
        return attend_dense(inputs)

    device = model.token_embd.weight.device
    with torch.no_grad():
        model(torch.from_numpy(ids.astype(np.int64))[None].to(device), attend)
    arrays = zip(*(kept[layer] for layer in layers))
    return {name: np.stack(a) for name, a in zip(("rank", "mass_rank", "mass"), arrays)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=Path, required=True)
    parser.add_argument("--index", type=Path, help="folder of index_0/1.safetensors; else shipped")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    tokens, _ = data.load_tokens(arguments.tokens)
    source = smollm2.SmolLM2()
    folder = arguments.index
    paths = folder and [folder / f"index_{number}.safetensors" for number in (0, 1)]
    branches = index_branch.load_index(paths).requires_grad_(False)
    ids = np.concatenate([tokens[name][:count] for name, count in PARTS.items()])
    np.savez_compressed(
        arguments.out,
        words=np.array(source.words(ids)),
        parts=np.array(NAMES),
        part_starts=np.cumsum([0, *PARTS.values()])[:-1].astype(np.int32),
        layers=np.array(LAYERS, np.int32),
        block_size=BLOCK_SIZE,
        **look_inside(SmolLM2.from_gguf(source), branches, ids),
    )


if __name__ == "__main__":
    main()
