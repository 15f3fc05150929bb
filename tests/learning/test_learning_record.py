"""The trained index that ships, and the record of the run that made it: they belong together."""

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from msa_learning.evaluate.make_record import JOINT_RUNS, LOG_LINES, SHORT_RUNS
from msa_learning.index.branch import new_branches
from msa_learning.index.storage import SHIPPED, load_index
from msa_ref import data

ROOT = Path(__file__).parents[2]
DATA = ROOT / "msa_ref" / "data"
MAX_BYTES = 5_000_000
METHODS = {"learned", "learned+sink", "max", "mass", "mean", "bound", "window"}
GOAL = {"block_size": 128, "top_k": 8}


@pytest.fixture(scope="module")
def record():
    return data.load_record("learning")


def only(rows, **wanted):
    """The one row that has all of these."""
    (row,) = [row for row in rows if wanted.items() <= row.items()]
    return row


@pytest.mark.parametrize("name", [*SHIPPED, "smollm2_explorer.npz", "smollm2_learning.npz"])
def test_a_shipped_file_is_small(name):
    assert 0 < (DATA / name).stat().st_size < MAX_BYTES


def test_the_shipped_index_is_whole_and_trained():
    branches = load_index()
    assert len(branches) == 30
    untrained = new_branches(30, 576, 3, 64, seed=0)
    for trained, new in zip(branches, untrained):
        assert (trained.q_proj.weight.shape, trained.k_proj.weight.shape) == ((192, 576), (64, 576))
        # What was drawn for the start is gone: nothing correlates with it any more.
        both = torch.stack([trained.q_proj.weight.flatten(), new.q_proj.weight.flatten()])
        assert both.corrcoef()[0, 1] < 0.9
        assert trained.q_norm.weight.std() > 0.01


def test_the_record_is_of_the_shipped_index(record):
    header = record["header"]
    layers = []
    for name in SHIPPED:
        recorded = header["index"][name.removeprefix("smollm2_")]
        assert hashlib.sha256((DATA / name).read_bytes()).hexdigest() == recorded
        with safe_open(DATA / name, framework="pt") as file:
            metadata = file.metadata()
        assert header["model"].startswith(metadata["model"] + ",")
        layers += [int(layer) for layer in metadata["layers"].split("-")]
    assert layers == [0, 14, 15, 29]
    last = record["recall_curve"][-1]
    assert last["step"] == header["run"]["steps"] == header["run"]["step"]
    assert len(last["score_recall"]) == layers[-1] + 1


def test_the_records_header_agrees_with_its_rows(record):
    run = record["header"]["run"]
    for name in ("score_recall", "block_recall"):
        values = record["recall_curve"][-1][name]
        assert run[name] == pytest.approx(sum(values) / len(values), abs=1e-4)
    stages = [line["stage"] for line in record["training"]]
    steps = [line["step"] for line in record["training"]]
    assert steps == sorted(set(steps))
    assert steps[-1] == run["steps"] - 1
    first_sparse = steps[stages.index("sparse")]
    a_line = run["steps"] / LOG_LINES
    assert first_sparse == pytest.approx(run["steps"] * run["warm_up_share"], abs=a_line)


def test_the_record_says_what_it_lacks(record):
    lacking = record["header"]["missing"]
    for part in ("short_runs", "joint"):
        assert (f"{part}: not run" in lacking) == (record[part] == [])
    for part, key, wanted in (
        ("joint", "run", JOINT_RUNS),
        ("short_runs", "name", SHORT_RUNS),
    ):
        there = {row[key] for row in record[part]}
        assert there <= set(wanted)
        told = [line for line in lacking if line.startswith(f"{part}: not run: ")]
        assert bool(told) == (0 < len(there) < len(wanted))
    rows, whole = len(record["perplexity"]), len(record["recall"]) + 1
    assert any(line.startswith(f"perplexity: {rows} of {whole}") for line in lacking) == (
        rows < whole
    )


def test_the_goals_row_is_there_for_every_method(record):
    for part, more in (("recall", {}), ("perplexity", {}), ("needles", {"length": 4096})):
        found = {row["method"] for row in record[part] if (GOAL | more).items() <= row.items()}
        assert found == METHODS
    assert {row["of"] for row in record["needles"]} == {200}


def test_the_recorded_figures_are_ordered_as_they_must_be(record):
    """The best blocks by mass hold all of their own mass; no rule holds more."""
    best = {}
    for row in record["recall"]:
        if row["method"] == "mass":
            assert min(row["score_recall"]) == 1
            best[row["block_size"], row["top_k"]] = row["mass"]
    for row in record["recall"]:
        bound = best[row["block_size"], row["top_k"]]
        assert all(a <= b + 1e-3 for a, b in zip(row["mass"], bound)), row["method"]
    for row in record["perplexity"]:
        low, high = row["interval"]
        assert low <= row["perplexity"] <= high
    dense = only(record["perplexity"], method="dense")
    assert dense["ratio"] == 1
