"""A training run from its start or last checkpoint to its end, and what it leaves in its folder."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import IO

from msa_learning.index.storage import save_index
from msa_learning.models.smollm2 import SmolLM2
from msa_learning.train import checkpoints, snapshots
from msa_learning.train.lock import locked
from msa_learning.train.schedule import Config
from msa_learning.train.training import Training
from msa_learning.whole_files import write_whole

LOG = "log.jsonl"


def run(training: Training, out: Path) -> None:
    """Train to the end, from the folder's last checkpoint if there is one.

    Every step is a line of log.jsonl, with the run's id; checkpoints and the index stand beside it.
    Another training in the same folder: ValueError.
    """
    with locked(out):
        path = checkpoints.latest(out)
        if path is not None:
            training.resume(path)
            print(f"going on from {path.name}")
        taken = snapshots.Snapshots(training.model, training.tokens["lesson_text"], out)
        with open_log(out / LOG) as log:
            recalls = train_to_end(training, out, log, taken)
        # A run killed behind its last checkpoint has left an index of an earlier one.
        save_index(training.branches, out, step=training.step)
        taken.save(out / "snapshots.npz")
        write_description(training, recalls, out / "run.json")


def train_to_end(training: Training, out: Path, log: IO[str], taken: snapshots.Snapshots) -> dict:
    """Take all remaining steps; the recall at the end."""
    config, recalls = training.config, {}
    while training.step < training.steps:
        if training.step % config.recall_every == 0:
            recalls = training.measure_recall()
            write_line(log, training, {"step": training.step} | recalls)
        if snapshots.is_due(training.step):
            taken.add(training.branches, training.step, training.next_step().stage)
        line = training.take_step()
        write_line(log, training, line)
        show(training, line, recalls)
        if training.step == training.warm_up_steps:
            training.choose_per_layer()
        if training.step % config.save_every == 0 or training.step == training.steps:
            checkpoints.save(out, training.step, training.state())
            save_index(training.branches, out, step=training.step)
    recalls = training.measure_recall()
    write_line(log, training, {"step": training.step} | recalls)
    taken.add(training.branches, training.step, training.next_step().stage)
    return recalls


def open_log(path: Path) -> IO[str]:
    """The log, ready for its next line: a line that a killed run left half written is ended."""
    log = path.open("a+", encoding="utf-8")
    if log.tell():
        log.seek(0)
        if not log.read().endswith("\n"):
            log.write("\n")
    return log


def write_line(log: IO[str], training: Training, line: dict) -> None:
    """One step or measurement as one line of JSON, handed to the system at once."""
    log.write(json.dumps({"run": training.run_id} | line) + "\n")
    log.flush()


def write_description(training: Training, recalls: dict, path: Path) -> None:
    """Settings and results of a run that ended.

    `led_cost` and `led_layers` are what swapping in each layer's anchored index costs, and the
    layers that adopted it.
    """
    means = {name: sum(values) / len(values) for name, values in recalls.items()}
    about = training.description() | {
        "run": training.run_id,
        "step": training.step,
        "seconds": round(training.seconds, 1),
        "trained_tokens": training.trained_tokens,
        "led_cost": training.costs,
        "led_layers": training.anchored_layers(),
    }
    write_whole(path, (json.dumps(about | means, indent=1) + "\n").encode())
    print(f"\n{training.step} steps, {training.seconds:.0f} s, {means}")


def show(training: Training, line: dict, recalls: dict) -> None:
    """The progress line: written over itself in a terminal, every 20th step elsewhere."""
    if not sys.stdout.isatty() and training.step % 20:
        return
    means = " ".join(
        f"{name.split('_')[0]} recall {sum(values) / len(values):.3f}"
        for name, values in recalls.items()
    )
    filled = 20 * training.step // training.steps
    print(
        f"\r[{'#' * filled:<20}] {training.step}/{training.steps} {line['stage']} "
        f"KL {line['kl']:.4f} {means} {line['tokens_per_second'] / 1000:.1f}K tokens/s ",
        end="" if sys.stdout.isatty() else "\n",
        flush=True,
    )


def steps_within(minutes: float, model: SmolLM2, tokens: dict, config: Config, seed: int) -> int:
    """How many steps fit, from the time of one step of every length in either stage."""
    times = {}
    for share in (1.0, 0.0):
        alone = dataclasses.replace(config, warm_up_share=share)
        trial = Training(model, tokens, alone, seed=seed, steps=1000)
        for _ in config.lengths:
            trial.take_step()
        started, first = time.perf_counter(), trial.step
        for _ in config.lengths:
            trial.take_step()
        times[share] = (time.perf_counter() - started) / (trial.step - first)
    mean = times[1.0] * config.warm_up_share + times[0.0] * (1 - config.warm_up_share)
    print(f"seconds a step: warm-up {times[1.0]:.3f}, sparse {times[0.0]:.3f}")
    return max(1, int(minutes * 60 / mean))
