"""What a training run is, and what each of its steps does."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

RAMP = 20  # steps until the learning rate is full
DECAY_SHARE = 0.6  # the share of a stage's steps over which it falls to zero
WARM_UP, SPARSE = "warm-up", "sparse"


@dataclasses.dataclass(frozen=True)
class Config:
    """All that defines a run but its length and seed."""

    start: str = "model"  # the model's own queries and keys; or "random"
    batch_tokens: int = 16_384
    lengths: tuple[int, ...] = (4096, 1024, 8192, 2048)  # in turn, a batch of each
    block_sizes: tuple[int, ...] = (128, 32, 64)  # in turn
    budgets: tuple[int, ...] = (1024, 256, 2048, 512)  # tokens, drawn at random
    learning_rate: float = 3e-2
    sparse_learning_rate: float = 2e-3
    warm_up_share: float = 0.9  # of the steps; the rest learns on its own selection
    code_share: float = 0.45
    prose_share: float = 0.20
    recall_task_share: float = 0.35
    recall_length: int = 4096
    recall_block: int = 128
    recall_top_k: int = 8
    recall_every: int = 200
    choosing_batches: int = 4  # to choose between the two indices of each layer
    save_every: int = 200


SHORT = {"recall_every": 25, "choosing_batches": 1, "save_every": 25}
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
        choosing_batches=1,
        save_every=2,
    ),
}


class Step(NamedTuple):
    """What one step does; `block_size` is None in the warm-up."""

    stage: str
    rate: float
    length: int
    block_size: int | None


def warm_up_steps(config: Config, steps: int) -> int:
    """How many of the steps are warm-up."""
    return round(steps * config.warm_up_share)


def schedule(config: Config, steps: int, step: int) -> Step:
    """What step number `step` of a run of `steps` does.

    Within each stage the learning rate rises linearly over RAMP steps, stays, and falls linearly to
    zero over the last DECAY_SHARE of the stage.
    """
    warm_up = warm_up_steps(config, steps)
    if step < warm_up:
        stage, rate, at, of, block_size = WARM_UP, config.learning_rate, step, warm_up, None
    else:
        stage, rate, at, of = SPARSE, config.sparse_learning_rate, step - warm_up, steps - warm_up
        block_size = config.block_sizes[step % len(config.block_sizes)]
    rate *= min((at + 1) / RAMP, 1.0, (of - at) / max(1, of * DECAY_SHARE))
    return Step(stage, rate, config.lengths[step % len(config.lengths)], block_size)
