"""One run that teaches a frozen SmolLM2 its index: configs, steps, recall, resuming.

Warm-up on the dense model first. Where an index starts from the model, every layer has two of them:
one learns freely and one is led by a head of the model. The layer keeps that which serves the model
better, and what is kept goes on to learn on what it selects itself. `train.py` drives it.
"""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from msa_learning.corpus import data
from msa_learning.evaluate.recall import RecallOfLayers
from msa_learning.index import index_branch
from msa_learning.index.learners import SparseLearning, WarmUp
from msa_learning.index.start import hold_leader, start_from_model
from msa_learning.models.smollm2 import SmolLM2, SparseAttention, lm_losses
from msa_learning.train import checkpoints

if TYPE_CHECKING:
    from jaxtyping import Int

RAMP = 20  # steps until the learning rate is full
MARGIN = 5e-4  # nats a token that a layer's led index must save to be kept
NORM_SHARE = 1 / 3  # the norms' learning rate, by AdamW, over that of the projections, by Muon
DECAY_SHARE = 0.6  # the share of a stage's steps over which it falls to nothing


@dataclasses.dataclass(frozen=True)
class Config:
    """What a run is, beside its length: enough to repeat it."""

    start: str = "model"  # the model's own queries and keys; or "random"
    batch_tokens: int = 16_384
    lengths: tuple[int, ...] = (4096, 1024, 8192, 2048)  # in turn, a batch of each
    block_sizes: tuple[int, ...] = (128, 32, 64)
    budgets: tuple[int, ...] = (1024, 256, 2048, 512)
    learning_rate: float = 3e-2
    sparse_learning_rate: float = 2e-3
    warm_up_share: float = 0.9  # of the steps; the rest learns on its own selection
    code_share: float = 0.45
    prose_share: float = 0.20
    drill_share: float = 0.35
    recall_length: int = 4096
    recall_block: int = 128
    recall_top_k: int = 8
    recall_every: int = 200
    keeping_batches: int = 4  # to decide which of its two indices each layer keeps
    save_every: int = 200


SHORT = {"recall_every": 25, "keeping_batches": 1, "save_every": 25}
CONFIGS = {
    "index": Config(),
    # Short runs, to see how far one differs from the next and what a part of the recipe is worth.
    "warm": Config(warm_up_share=1.0, **SHORT),
    "random": Config(start="random", warm_up_share=1.0, **SHORT),
    "cold": Config(start="random", warm_up_share=0.0, sparse_learning_rate=3e-2, **SHORT),
    "smoke": Config(
        batch_tokens=256,
        lengths=(256, 128),
        block_sizes=(16, 32),
        budgets=(64, 128),
        recall_length=512,
        recall_block=32,
        recall_top_k=4,
        recall_every=2,
        keeping_batches=1,
        save_every=2,
    ),
}


class Training:
    """One run: the frozen model, the branches that learn, and where it stands.

    `branches` are the index; `led` the other one of the warm-up, empty if the start is random.
    """

    def __init__(self, model: SmolLM2, tokens: dict, config: Config, *, seed: int, steps: int):
        self.model, self.tokens, self.config, self.seed = model, tokens, config, seed
        self.device = model.token_embd.weight.device
        self.branches = self.new_branches()
        self.led = self.new_branches(led=True) if config.start == "model" else nn.ModuleList()
        self.costs: list[float] = []  # of the led index, layer by layer, once it was judged
        self.optimizers = new_optimizers(nn.ModuleList([self.branches, self.led]))
        self.step, self.steps, self.seconds, self.trained_tokens = 0, steps, 0.0, 0
        self.warm_up_steps = round(steps * config.warm_up_share)
        _, self.held_out = data.held_out_texts(tokens, per_set=1, length=config.recall_length)

    def new_branches(self, *, led: bool = False) -> nn.ModuleList:
        """The branches as a run of this seed starts with."""
        sizes = self.model.sizes
        shape = sizes.layers, sizes.width, sizes.num_kv_heads, sizes.head_dim
        branches = index_branch.new_branches(*shape, seed=self.seed).to(self.device)
        if self.config.start == "model":
            ids = self.draw(np.random.default_rng([self.seed]), min(self.config.lengths))
            ids = torch.from_numpy(ids).to(self.device)
            leaders = start_from_model(branches, self.model, ids, power=2 if led else 1)
            if led:
                for branch, group in zip(branches, leaders):
                    hold_leader(branch, group)
        return branches

    def stage(self) -> str:
        """Of the next step: "warm-up" or "sparse"."""
        return "warm-up" if self.step < self.warm_up_steps else "sparse"

    def learning_rate(self) -> float:
        """The rate of the next step: a ramp up, flat, and down to nothing within each stage."""
        if self.stage() == "warm-up":
            rate, at, of = self.config.learning_rate, self.step, self.warm_up_steps
        else:
            rate = self.config.sparse_learning_rate
            at, of = self.step - self.warm_up_steps, self.steps - self.warm_up_steps
        return rate * min((at + 1) / RAMP, 1.0, (of - at) / max(1, of * DECAY_SHARE))

    def draw(self, rng: np.random.Generator, length: int) -> Int[np.ndarray, "n length"]:
        """A batch of the config's mix of texts."""
        config = self.config
        shares = {
            "train_code": config.code_share,
            "train_prose": config.prose_share,
            "train_drills": config.drill_share,
        }
        count = max(1, config.batch_tokens // length)
        return data.draw_batch(self.tokens, shares, rng, count=count, length=length)

    def take_step(self) -> dict:
        """Draw a batch, let every layer's index learn from it, and say how it went.

        What is drawn depends on the seed and the step alone, so a resumed run draws the same.
        """
        config, started = self.config, time.perf_counter()
        length = config.lengths[self.step % len(config.lengths)]
        rng = np.random.default_rng([self.seed, self.step])
        ids = self.draw(rng, length)
        line = {"step": self.step, "length": length, "stage": self.stage()}
        learner = WarmUp(self.branches, self.led) if self.led else WarmUp(self.branches)
        if self.stage() == "sparse":
            block_size = config.block_sizes[self.step % len(config.block_sizes)]
            budget = int(rng.choice(config.budgets))
            top_k = max(1, budget // block_size)
            learner = SparseLearning(self.branches, block_size=block_size, top_k=top_k)
            line |= {"block_size": block_size, "top_k": top_k}
        rate = self.learning_rate()
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        with torch.no_grad():
            self.model(torch.from_numpy(ids), learner)
        for optimizer, share in zip(self.optimizers, (1, NORM_SHARE)):
            optimizer.param_groups[0]["lr"] = rate * share
            optimizer.step()
        losses = torch.stack(learner.losses)
        line |= {"kl": losses.mean().item(), "learning_rate": rate}
        self.step += 1
        self.seconds += time.perf_counter() - started
        self.trained_tokens += ids.size
        line["tokens_per_second"] = ids.size / (time.perf_counter() - started)
        return line

    def keep_better(self) -> None:
        """Give a layer its led index where that makes the model clearly better; note the costs.

        The KL counts every head and every row alike. The model does not: with a lower KL an index
        may serve it worse. So the model judges, on texts of the mix, one layer at a time; what
        several exchanges cost together is not measured.
        """
        if not self.led:
            return
        config, started = self.config, time.perf_counter()
        rng = np.random.default_rng([self.seed, self.steps])
        batches = [self.draw(rng, config.recall_length) for _ in range(config.keeping_batches)]
        sizes = {"block_size": config.recall_block, "top_k": config.recall_top_k}
        costs = cost_of_exchange(self.model, self.branches, self.led, batches, **sizes)
        self.costs = [round(cost, 6) for cost in costs]
        self.take_led()
        self.seconds += time.perf_counter() - started

    def led_layers(self) -> list[int]:
        """The layers that keep their led index."""
        return [layer for layer, cost in enumerate(self.costs) if cost < -MARGIN]

    def take_led(self) -> None:
        """Put the led branches in the places that they won."""
        for layer in self.led_layers():
            self.branches[layer] = self.led[layer]

    def measure_recall(self) -> dict:
        """Score and block recall of every layer on held-out text, one stretch of each set."""
        ids = torch.from_numpy(self.held_out).to(self.device)
        sizes = {"block_size": self.config.recall_block, "top_k": self.config.recall_top_k}
        found = RecallOfLayers(self.branches, **sizes)
        with torch.no_grad():
            self.model(ids, found)
        score, block = torch.stack(found.scores), torch.stack(found.blocks)
        return {
            "score_recall": [round(x, 4) for x in score.tolist()],
            "block_recall": [round(x, 4) for x in block.tolist()],
        }

    def description(self) -> dict:
        """What a run must share with a checkpoint to go on from it: plain lists and numbers."""
        config = json.loads(json.dumps(dataclasses.asdict(self.config)))
        return config | {"seed": self.seed, "steps": self.steps}

    def state(self) -> dict:
        """All that a resumed run needs."""
        return {
            "config": self.description(),
            "step": self.step,
            "seconds": self.seconds,
            "trained_tokens": self.trained_tokens,
            "costs": self.costs,
            "branches": self.branches.state_dict(),
            "led": self.led.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint of a run with the same config, seed and steps.

        One of another run, or of another version of this code: ValueError, and nothing changes.
        """
        state = checkpoints.load(path, config=self.description(), device=str(self.device))
        if state.keys() != self.state().keys():
            raise ValueError(f"{path}: got one of another version; train into another folder")
        for name in ("costs", "step", "seconds", "trained_tokens"):
            setattr(self, name, state[name])
        self.take_led()
        self.branches.load_state_dict(state["branches"])
        self.led.load_state_dict(state["led"])
        for optimizer, stored in zip(self.optimizers, state["optimizers"]):
            optimizer.load_state_dict(stored)


def new_optimizers(branches: nn.ModuleList) -> list[torch.optim.Optimizer]:
    """Muon for the projections, AdamW for the norms.

    Muon makes every direction of a step count alike, also those that few tokens ask for: in a third
    of the steps it gets where AdamW does (docs/log.md).
    """
    parameters = [p for p in branches.parameters() if p.requires_grad]
    matrices, vectors = ([p for p in parameters if p.ndim == n] for n in (2, 1))
    plain = {"lr": 0.0, "weight_decay": 0.0}
    return [
        torch.optim.Muon(matrices, **plain, momentum=0.9, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(vectors, **plain, betas=(0.9, 0.95)),
    ]


@torch.no_grad()
def cost_of_exchange(
    model: SmolLM2,
    branches: nn.ModuleList,
    others: nn.ModuleList,
    batches: list[Int[np.ndarray, "n T"]],
    *,
    block_size: int,
    top_k: int,
) -> list[float]:
    """Nats a token that each of `others` alone would add to the LM loss, in its layer's place.

    All other layers keep their branches and are sparse too: layers make up for each other's misses,
    so one that is sparse alone tells too little.
    """
    device = model.token_embd.weight.device
    texts = [torch.from_numpy(ids).to(device) for ids in batches]

    def loss(branches: list) -> float:
        sparse = SparseAttention(branches, block_size=block_size, top_k=top_k)
        return torch.cat([lm_losses(model, ids, sparse) for ids in texts]).mean().item()

    own = list(branches)
    before = loss(own)
    return [
        loss([*own[:layer], other, *own[layer + 1 :]]) - before
        for layer, other in enumerate(others)
    ]
