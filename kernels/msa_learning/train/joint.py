"""The trunk learns too: sparse attention with LM loss and KL, against a dense control.

Every run sees the same batches in the same order and starts from the same trunk. They are short,
one seed each; kept are LM loss and KL of every step, and LM loss on held-out text before and after.

python -m msa_learning.train.joint --tokens build/tokens --index build/i --out build/i/joint.json
"""

from __future__ import annotations

import copy
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from msa_learning.arguments import new_parser
from msa_learning.attention.selection import Budget
from msa_learning.corpus.tokens import draw_batch, held_out_texts, load_tokens
from msa_learning.evaluate.block_scorers import learned_scorer
from msa_learning.evaluate.make_record import JOINT_RUNS
from msa_learning.evaluate.recall import RecallByLayer
from msa_learning.index.branch import index_selector, new_branches
from msa_learning.index.distilling_attention import JointDistillation
from msa_learning.index.storage import load_index
from msa_learning.models.smollm2 import SmolLM2, SparseAttention, attend_dense, lm_losses
from msa_ref import smollm2

if TYPE_CHECKING:
    import argparse

    from jaxtyping import Int

BUDGET = Budget(block_size=128, top_k=8)
LENGTH, BATCH = 4096, 2
TEXTS_AT_ONCE = 4  # of the held-out ones
TRUNK_RATE, INDEX_RATE, RAMP = 3e-5, 3e-4, 10
SHARES = {"train_code": 0.7, "train_prose": 0.3}


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
        ids = draw_batch(tokens, SHARES, rng, count=BATCH, length=LENGTH)
        ids = torch.from_numpy(ids).to(device)
        attend = attend_dense
        if run:
            attend = JointDistillation(branches, BUDGET, detach=run["detach"])
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
def held_out(
    model: SmolLM2, branches: nn.ModuleList, texts: Int[np.ndarray, "n T"], *, sparse: bool
) -> list[float]:
    """LM loss of each held-out text, with the attention that the run trains."""
    device = model.token_embd.weight.device
    attend = attend_dense
    if sparse:
        attend = SparseAttention(index_selector(branches), BUDGET)
    parts = torch.from_numpy(texts).to(device).split(TEXTS_AT_ONCE)
    with mixed(device):
        losses = torch.cat([lm_losses(model, ids, attend) for ids in parts])
    return [round(loss, 5) for loss in losses.tolist()]


@torch.no_grad()
def recall_of(model: SmolLM2, branches: nn.ModuleList, texts: Int[np.ndarray, "n T"]) -> float:
    """Score recall on held-out text, mean over layers."""
    hook = RecallByLayer({"learned": learned_scorer(branches)}, [BUDGET])
    ids = torch.from_numpy(texts[:4]).to(model.token_embd.weight.device)
    with mixed(ids.device):
        model(ids, hook)
    scores = [found.score.mean() for found in hook.found["learned", BUDGET]]
    return round(torch.stack(scores).mean().item(), 4)


def run_all(
    source: smollm2.SmolLM2,
    tokens: dict,
    index: Path | None,
    *,
    steps: int,
    names: list[str],
    out: Path,
    device: str,
) -> None:
    """Every run in turn, each from the same trunk; `out` is written after each."""
    _, texts = held_out_texts(tokens, per_set=4, length=LENGTH)
    trunk, results = SmolLM2.from_gguf(source), []
    for name in names:
        started, run = time.perf_counter(), JOINT_RUNS[name]
        model = copy.deepcopy(trunk).to(device)
        sizes = model.sizes
        shape = {"layers": sizes.layers, "width": sizes.width}
        shape |= {"num_kv_heads": sizes.num_kv_heads, "index_dim": sizes.head_dim}
        untrained = run and not run["warm"]
        branches = new_branches(**shape, seed=0) if untrained else load_index(index, **shape)
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


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = new_parser(__doc__, "tokens", "index", "weights", "out")
    made.add_argument("--steps", type=int, default=100)
    made.add_argument("--runs", nargs="+", choices=JOINT_RUNS, default=list(JOINT_RUNS))
    return made


def main() -> None:
    """Run the experiments that were asked for."""
    arguments = parser().parse_args()
    torch.set_float32_matmul_precision("high")
    tokens, _ = load_tokens(arguments.tokens)
    run_all(
        smollm2.SmolLM2(arguments.weights),
        tokens,
        arguments.index,
        steps=arguments.steps,
        names=arguments.runs,
        out=arguments.out,
        device="cuda" if torch.cuda.is_available() else "cpu",
    )


if __name__ == "__main__":
    main()
