"""A short training of a small model, and what it logged."""

import dataclasses
import json

from learning_models import token_sets

from msa_learning.evaluate.make_record import read_log
from msa_learning.train import run
from msa_learning.train.schedule import CONFIGS
from msa_learning.train.training import Training

TINY = dataclasses.replace(
    CONFIGS["smoke"],
    batch_tokens=128,
    lengths=(64, 32),
    block_sizes=(8, 16),
    budgets=(16, 32),
    recall_length=128,
    recall_block=8,
    recall_top_k=4,
    choosing_batches=2,
    learning_rate=3e-2,
)


def new_training(model, *, steps, seed=0, config=TINY):
    return Training(model, token_sets(), config, seed=seed, steps=steps)


def losses_of(folder):
    """KL by step, as the record reads it."""
    steps, _ = read_log(folder / run.LOG)
    return {line["step"]: line["kl"] for line in steps}


def log_lines(folder):
    return [json.loads(line) for line in (folder / run.LOG).read_text().splitlines()]
