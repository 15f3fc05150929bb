"""One run that trains the index of a frozen SmolLM2: state, steps, recall, resuming.

Warm-up on the dense model first. Where an index starts from the model, every layer trains two: one
learns freely, the other is anchored at a head of the model. After the warm-up each layer adopts the
one that serves the model better, and it goes on to learn on what it selects itself. `run.py` drives
it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from msa_learning.attention.selection import Budget
from msa_learning.corpus.tokens import draw_batch, held_out_texts
from msa_learning.evaluate.block_scorers import learned_scorer
from msa_learning.evaluate.recall import RecallByLayer
from msa_learning.index.branch import index_selector, new_branches
from msa_learning.index.distilling_attention import DenseDistillation, SparseDistillation
from msa_learning.index.init_from_heads import freeze_anchor, init_from_heads
from msa_learning.models.smollm2 import SmolLM2, SparseAttention, lm_losses
from msa_learning.train import checkpoints
from msa_learning.train.schedule import SPARSE, Config, Step, schedule, warm_up_steps

if TYPE_CHECKING:
    from jaxtyping import Int

MIN_GAIN_NATS = 5e-4  # a token, that a layer's anchored index must save to be adopted
NORM_SHARE = 1 / 3  # the norms' learning rate, by AdamW, over that of the projections, by Muon
ANCHORED_POWER = 2  # of a head's score deviation, by which groups count in an anchored index's key


class Training:
    """One run: the frozen model, the branches that learn, and the steps it has taken.

    `branches` are the index that learns freely, in adopted layers the anchored one; `anchored` the
    other index of the warm-up, empty if the start is random.
    """

    def __init__(self, model: SmolLM2, tokens: dict, config: Config, *, seed: int, steps: int):
        self.model, self.tokens, self.config, self.seed = model, tokens, config, seed
        self.device = model.token_embd.weight.device
        self.run_id = os.urandom(4).hex()
        self.branches = self.new_index()
        anchored = config.start == "model"
        self.anchored = self.new_index(anchored=True) if anchored else nn.ModuleList()
        self.costs: list[float] = []  # of the anchored index by layer, once they are measured
        self.optimizers = new_optimizers(nn.ModuleList([self.branches, self.anchored]))
        self.step, self.steps, self.seconds, self.trained_tokens = 0, steps, 0.0, 0
        self.warm_up_steps = warm_up_steps(config, steps)
        self.recall_budget = Budget(config.recall_block, config.recall_top_k)
        _, self.held_out = held_out_texts(tokens, per_set=1, length=config.recall_length)

    def new_index(self, *, anchored: bool = False) -> nn.ModuleList:
        """The branches that a run of this seed starts with."""
        sizes = self.model.sizes
        shape = sizes.layers, sizes.width, sizes.num_kv_heads, sizes.head_dim
        branches = new_branches(*shape, seed=self.seed).to(self.device)
        if self.config.start == "model":
            ids = self.draw(np.random.default_rng([self.seed]), min(self.config.lengths))
            ids = torch.from_numpy(ids).to(self.device)
            power = ANCHORED_POWER if anchored else 1
            groups = init_from_heads(branches, self.model, ids, power=power)
            if anchored:
                for branch, group in zip(branches, groups):
                    freeze_anchor(branch, group)
        return branches

    def next_step(self) -> Step:
        """What the next step does."""
        return schedule(self.config, self.steps, self.step)

    def draw(self, rng: np.random.Generator, length: int) -> Int[np.ndarray, "n length"]:
        """A batch of the config's mix of texts."""
        config = self.config
        shares = {
            "train_code": config.code_share,
            "train_prose": config.prose_share,
            "train_drills": config.recall_task_share,
        }
        count = max(1, config.batch_tokens // length)
        return draw_batch(self.tokens, shares, rng, count=count, length=length)

    def take_step(self) -> dict:
        """Draw a batch, let every layer's index learn from it; a line for the log.

        What is drawn depends on the seed and the step alone, so a resumed run draws the same.
        """
        now, started = self.next_step(), time.perf_counter()
        rng = np.random.default_rng([self.seed, self.step])
        ids = self.draw(rng, now.length)
        line = {"step": self.step, "length": now.length, "stage": now.stage}
        if now.stage == SPARSE:
            top_k = max(1, int(rng.choice(self.config.budgets)) // now.block_size)
            budget = Budget(now.block_size, top_k)
            attend = SparseDistillation(self.branches, budget)
            line |= budget._asdict()
        else:
            attend = DenseDistillation(*filter(len, (self.branches, self.anchored)))
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        with torch.no_grad():
            self.model(torch.from_numpy(ids), attend)
        for optimizer, share in zip(self.optimizers, (1, NORM_SHARE)):
            optimizer.param_groups[0]["lr"] = now.rate * share
            optimizer.step()
        line |= {"kl": torch.stack(attend.losses).mean().item(), "learning_rate": now.rate}
        self.step += 1
        seconds = time.perf_counter() - started
        self.seconds += seconds
        self.trained_tokens += ids.size
        return line | {"tokens_per_second": ids.size / seconds}

    def choose_per_layer(self) -> None:
        """For each layer, adopt the anchored index if the sparse model is clearly better with it.

        That is where it lowers the LM loss by more than MIN_GAIN_NATS a token on texts of the
        training mix; the differences are stored in `costs`. The KL is no criterion: it weighs every
        head and every row alike, and an index of lower KL can serve the model worse. Each layer is
        tried alone; what several exchanges cost together is not measured.
        """
        if not self.anchored:
            return
        config, started = self.config, time.perf_counter()
        rng = np.random.default_rng([self.seed, self.steps])
        batches = [self.draw(rng, config.recall_length) for _ in range(config.choosing_batches)]
        costs = swap_costs(self.model, self.branches, self.anchored, batches, self.recall_budget)
        self.costs = [round(cost, 6) for cost in costs]
        self.adopt_anchored()
        self.seconds += time.perf_counter() - started

    def anchored_layers(self) -> list[int]:
        """The layers that adopt their anchored index."""
        return [layer for layer, cost in enumerate(self.costs) if cost < -MIN_GAIN_NATS]

    def adopt_anchored(self) -> None:
        """Replace the branches of these layers by the anchored ones."""
        for layer in self.anchored_layers():
            self.branches[layer] = self.anchored[layer]

    def measure_recall(self) -> dict:
        """Score and block recall of every layer on held-out text, one stretch of each set."""
        ids = torch.from_numpy(self.held_out).to(self.device)
        hook = RecallByLayer({"learned": learned_scorer(self.branches)}, [self.recall_budget])
        with torch.no_grad():
            self.model(ids, hook)
        found = hook.found["learned", self.recall_budget]
        return {
            "score_recall": [round(recall.score.mean().item(), 4) for recall in found],
            "block_recall": [round(recall.block.mean().item(), 4) for recall in found],
        }

    def description(self) -> dict:
        """What a run must share with a checkpoint to go on from it: plain lists and numbers."""
        config = json.loads(json.dumps(dataclasses.asdict(self.config)))
        return config | {"seed": self.seed, "steps": self.steps}

    def state(self) -> dict:
        """All that a resumed run needs."""
        return {
            "config": self.description(),
            "run_id": self.run_id,
            "step": self.step,
            "seconds": self.seconds,
            "trained_tokens": self.trained_tokens,
            "costs": self.costs,
            "branches": self.branches.state_dict(),
            "anchored": self.anchored.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint of a run with the same config, seed and steps.

        One of another run, or of another version of this code: ValueError, and nothing changes.
        """
        state = checkpoints.load(path, config=self.description(), device=str(self.device))
        if state.keys() != self.state().keys():
            raise ValueError(f"{path}: got one of another version; train into another folder")
        for name in ("run_id", "costs", "step", "seconds", "trained_tokens"):
            setattr(self, name, state[name])
        self.adopt_anchored()
        self.branches.load_state_dict(state["branches"])
        self.anchored.load_state_dict(state["anchored"])
        for optimizer, stored in zip(self.optimizers, state["optimizers"]):
            optimizer.load_state_dict(stored)


def new_optimizers(branches: nn.ModuleList) -> list[torch.optim.Optimizer]:
    """Muon for the projections, AdamW for the norms.

    Muon orthogonalises each step, so directions that few tokens need grow as fast as the others: it
    reaches AdamW's recall in a third of the steps (docs/log.md).
    """
    parameters = [p for p in branches.parameters() if p.requires_grad]
    matrices, vectors = ([p for p in parameters if p.ndim == n] for n in (2, 1))
    plain = {"lr": 0.0, "weight_decay": 0.0}
    return [
        torch.optim.Muon(matrices, **plain, momentum=0.9, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(vectors, **plain, betas=(0.9, 0.95)),
    ]


@torch.no_grad()
def swap_costs(
    model: SmolLM2,
    branches: nn.ModuleList,
    others: nn.ModuleList,
    batches: list[Int[np.ndarray, "n T"]],
    budget: Budget,
) -> list[float]:
    """LM loss, in nats a token, that each of `others` adds when it alone replaces its branch.

    All layers are sparse: layers compensate for each other's misses, so one that is sparse alone
    does not show what it costs.
    """
    device = model.token_embd.weight.device
    texts = [torch.from_numpy(ids).to(device) for ids in batches]

    def loss(index: list[nn.Module]) -> float:
        sparse = SparseAttention(index_selector(index), budget)
        return torch.cat([lm_losses(model, ids, sparse) for ids in texts]).mean().item()

    own = list(branches)
    before = loss(own)
    return [
        loss([*own[:layer], other, *own[layer + 1 :]]) - before
        for layer, other in enumerate(others)
    ]
