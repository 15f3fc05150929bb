"""Train an index for SmolLM2, the trunk frozen: warm-up on the dense model, then on its selection.

    python -m msa_learning.train --config index --steps 1000 --tokens build/tokens --out build/i

A run that was killed goes on from its last checkpoint when it is started again with the same
arguments; the same seed gives the same curve. `--minutes` instead of `--steps` times a few steps
first and takes as many as fit, unless a checkpoint says how many were planned; choosing per layer,
recall and snapshots come on top.
Leaves log.jsonl, index_0.safetensors, index_1.safetensors, run.json and snapshots.npz.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msa_learning.arguments import new_parser
from msa_learning.corpus.tokens import load_tokens
from msa_learning.models.smollm2 import load_model
from msa_learning.train import checkpoints
from msa_learning.train.run import run, steps_within
from msa_learning.train.schedule import CONFIGS
from msa_learning.train.training import Training
from msa_ref import smollm2

if TYPE_CHECKING:
    import argparse


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = new_parser(__doc__, "tokens", "weights", "out")
    made.add_argument("--config", choices=CONFIGS, required=True)
    length = made.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=int)
    length.add_argument("--minutes", type=float)
    made.add_argument("--seed", type=int, default=0)
    return made


def main() -> None:
    """Train, or go on with a training."""
    arguments = parser().parse_args()
    config, seed = CONFIGS[arguments.config], arguments.seed
    tokens, _ = load_tokens(arguments.tokens)
    model = load_model(smollm2.SmolLM2(arguments.weights))
    steps = arguments.steps or checkpoints.planned_steps(arguments.out)
    steps = steps or steps_within(arguments.minutes, model, tokens, config, seed)
    run(Training(model, tokens, config, seed=seed, steps=steps), arguments.out)


if __name__ == "__main__":
    main()
