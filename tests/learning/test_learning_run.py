"""Training runs and their files: resuming after a kill, checkpoints, logs, locks, snapshots."""

import dataclasses
import json
import os

import numpy as np
import pytest
import torch
from learning_models import SHAPE, token_sets
from training_cases import TINY, log_lines, losses_of, new_training

from msa_learning.evaluate.make_record import read_log
from msa_learning.index.storage import FILES, load_index
from msa_learning.train import checkpoints, run, snapshots
from msa_learning.train.lock import LOCK
from msa_learning.train.training import Training


@pytest.fixture(autouse=True)
def layers_of_snapshots(monkeypatch):
    monkeypatch.setattr(snapshots, "LAYERS", (0, 2))
    monkeypatch.setattr(snapshots, "DUE", (0, 3))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Folder and training of a run that took its steps to the end."""
    from learning_models import torch_model

    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshots, "LAYERS", (0, 2))
        patch.setattr(snapshots, "DUE", (0, 3))
        training = new_training(torch_model(), steps=5)
        run.run(training, folder)
    return folder, training


class Killed(BaseException):
    """A signal that ends the run."""


@pytest.fixture
def killed_at(model, monkeypatch):
    """Run to the end in a folder, but for a kill before step `last`."""

    def start(folder, last, steps):
        take_step = Training.take_step

        def until(self):
            if self.step == last:
                raise Killed
            return take_step(self)

        with monkeypatch.context() as patch:
            patch.setattr(Training, "take_step", until)
            with pytest.raises(Killed):
                run.run(new_training(model, steps=steps), folder)

    return start


@pytest.mark.parametrize("last", [5, 6])
def test_a_killed_run_goes_on_to_the_same_end(model, tmp_path, judged, killed_at, last):
    """Killed before the layers are judged, after step 6 of 7, or after."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run.run(new_training(model, steps=7), whole)
    killed_at(killed, last, steps=7)
    stored = last // 2 * 2
    assert checkpoints.latest(killed).name == f"step_00000{stored}.pt"
    run.run(new_training(model, steps=7), killed)
    assert len(judged) == 2
    assert losses_of(killed) == pytest.approx(losses_of(whole), abs=1e-6)
    again = [line for line in log_lines(killed) if line["step"] == stored and "kl" in line]
    assert len(again) == 1 + last - stored
    abouts = [json.loads((folder / "run.json").read_text()) for folder in (whole, killed)]
    for about in abouts:
        assert (about["led_cost"], about["led_layers"]) == ([-0.1, 0.1, -0.0004], [0])
    one, other = (load_index(folder, **SHAPE) for folder in (whole, killed))
    for a, b in zip(one.parameters(), other.parameters()):
        assert torch.allclose(a, b, atol=1e-4)


def test_a_run_by_minutes_goes_on_with_the_steps_it_planned(model, tmp_path):
    assert checkpoints.planned_steps(tmp_path) is None
    run.run(new_training(model, steps=3), tmp_path)
    assert checkpoints.planned_steps(tmp_path) == 3


def test_recall_and_checkpoints_come_at_their_own_pace(model, tmp_path, monkeypatch):
    """And both at the end; the layers are judged once, after the warm-up."""
    config = dataclasses.replace(TINY, recall_every=3, save_every=2, warm_up_share=0.6)
    saved, judged = [], []
    monkeypatch.setattr(run.checkpoints, "save", lambda out, step, state: saved.append(step))
    monkeypatch.setattr(Training, "choose_per_layer", lambda self: judged.append(self.step))
    run.run(new_training(model, steps=5, config=config), tmp_path)
    _, recalls = read_log(tmp_path / run.LOG)
    assert [line["step"] for line in recalls] == [0, 3, 5]
    assert saved == [2, 4, 5]
    assert judged == [3]


def test_another_seed_is_another_run(model, tmp_path):
    run.run(new_training(model, steps=3), tmp_path / "a")
    run.run(new_training(model, steps=3, seed=1), tmp_path / "b")
    assert losses_of(tmp_path / "a") != losses_of(tmp_path / "b")


def test_a_checkpoint_of_another_run_is_refused(model, tmp_path):
    run.run(new_training(model, steps=2), tmp_path)
    with pytest.raises(ValueError, match="got a run with seed 0, takes one with 3"):
        run.run(new_training(model, steps=2, seed=3), tmp_path)
    with pytest.raises(ValueError, match="got a run with steps 2, takes one with 9"):
        run.run(new_training(model, steps=9), tmp_path)


def test_half_a_checkpoint_is_never_picked_up(tmp_path, monkeypatch):
    checkpoints.save(tmp_path, 2, {"config": {"seed": 0}})

    def power_cut(*_):
        raise OSError("no more power")

    with monkeypatch.context() as patch:
        patch.setattr("msa_learning.whole_files.os.replace", power_cut)
        with pytest.raises(OSError, match="no more power"):
            checkpoints.save(tmp_path, 4, {"config": {"seed": 0}})
    assert checkpoints.latest(tmp_path).name == "step_000002.pt"
    checkpoints.save(tmp_path, 6, {"config": {"seed": 0}})
    assert [path.name for path in tmp_path.glob("*.pt")] == ["step_000006.pt"]


def test_a_cut_or_foreign_checkpoint_is_refused(tmp_path):
    assert checkpoints.latest(tmp_path) is None
    path = checkpoints.save(tmp_path, 1, {"config": {}, "weight": torch.zeros(500)})
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(ValueError, match=r"step_000001\.pt: got no whole checkpoint"):
        checkpoints.load(path, config={}, device="cpu")
    checkpoints.save(tmp_path, 1, {"weight": torch.zeros(5)})
    with pytest.raises(ValueError, match="got no checkpoint of this training"):
        checkpoints.load(path, config={}, device="cpu")


def test_minutes_become_steps(model):
    steps = run.steps_within(0.2, model, token_sets(), TINY, 0)
    assert steps > run.steps_within(0.02, model, token_sets(), TINY, 0) >= 1


def test_snapshots_hold_what_was_selected(finished):
    folder, _ = finished
    with np.load(folder / "snapshots.npz") as file:
        stored = {name: file[name] for name in file}
    assert stored["steps"].tolist() == [0, 3, 5]
    assert stored["stage"].tolist() == ["warm-up", "warm-up", "sparse"]
    chosen = np.unpackbits(stored["chosen"], axis=-1)[..., :10].astype(bool)
    assert chosen.shape == (3, 2, 2, 300, 10)
    own = np.arange(300) // 32
    assert chosen[..., np.arange(300), own].all()
    assert (chosen.sum(axis=-1) == np.minimum(own + 1, 8)).all()
    ideal = np.unpackbits(stored["ideal"], axis=-1)[..., :10].astype(bool)
    late = slice(256, None)
    hits = (chosen & ideal)[..., late, :].sum(axis=-1) / 8
    assert hits.mean(axis=(2, 3)) == pytest.approx(stored["block_recall"], abs=1e-5)


def test_an_index_that_the_kill_left_behind_is_written_again(model, finished, tmp_path):
    """Killed behind the last checkpoint: older index files, one cut short, one missing."""
    folder, training = finished
    checkpoints.save(tmp_path, 5, training.state())
    older = new_training(model, steps=5)
    older.take_step()
    for break_it in (lambda file: None, lambda file: file.write_bytes(b"cut"), os.remove):
        run.save_index(older.branches, tmp_path, step=1)
        break_it(tmp_path / FILES[1])
        (tmp_path / "log.jsonl").write_text((folder / "log.jsonl").read_text())
        run.run(new_training(model, steps=5), tmp_path)
        indices = load_index(tmp_path, **SHAPE), load_index(folder, **SHAPE)
        assert all(map(torch.equal, *(index.parameters() for index in indices)))


def test_lines_carry_the_runs_id_and_a_record_reads_one_run(model, tmp_path, killed_at):
    """A run that died before its first checkpoint leaves lines; the next one is another run."""
    killed_at(tmp_path, 1, steps=3)
    run.run(new_training(model, steps=3), tmp_path)
    lines = log_lines(tmp_path)
    first, last = lines[0]["run"], lines[-1]["run"]
    assert first != last
    assert [line["run"] for line in lines] == [first] * 2 + [last] * (len(lines) - 2)
    assert sorted(losses_of(tmp_path)) == [0, 1, 2]
    assert json.loads((tmp_path / "run.json").read_text())["run"] == last
    (tmp_path / run.LOG).write_text("\n".join(map(json.dumps, lines[:2])))
    assert sorted(losses_of(tmp_path)) == [0]


def test_a_resumed_run_keeps_its_id(model, tmp_path, killed_at):
    killed_at(tmp_path, 3, steps=4)
    run.run(new_training(model, steps=4), tmp_path)
    assert len({line["run"] for line in log_lines(tmp_path)}) == 1


def test_a_line_cut_short_is_left_out_and_said(model, tmp_path, killed_at):
    killed_at(tmp_path, 3, steps=4)
    with (tmp_path / run.LOG).open("a") as log:
        log.write('{"step": 3, "k')
    run.run(new_training(model, steps=4), tmp_path)
    with pytest.warns(UserWarning, match=r"log\.jsonl: line \d+ is cut short and left out"):
        steps, _ = read_log(tmp_path / run.LOG)
    assert [line["step"] for line in steps] == [0, 1, 2, 3]


def test_two_trainings_do_not_share_a_folder(model, tmp_path, monkeypatch):
    def second(self):
        run.run(new_training(model, steps=2), tmp_path)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "take_step", second)
        with pytest.raises(ValueError, match=f"process {os.getpid()} is training here; wait"):
            run.run(new_training(model, steps=2), tmp_path)
    # The lock is free again, and a number that a dead process left is no lock.
    assert (tmp_path / LOCK).exists()
    run.run(new_training(model, steps=1), tmp_path)


def test_step_numbers_are_compared_as_numbers(tmp_path):
    for step in (999_998, 1_000_000):
        checkpoints.save(tmp_path, step, {"config": {}})
    assert [path.name for path in tmp_path.glob("*.pt")] == ["step_1000000.pt"]
    (tmp_path / "step_999999.pt").write_bytes(b"")
    assert checkpoints.latest(tmp_path).name == "step_1000000.pt"


def test_snapshots_are_joined_in_the_order_of_their_steps(model, tmp_path):
    taken = snapshots.Snapshots(model, token_sets()["lesson_text"], tmp_path)
    for step in (1_000_000, 999_999):
        taken.add(new_training(model, steps=1).branches, step, "sparse")
    taken.save(tmp_path / "snapshots.npz")
    with np.load(tmp_path / "snapshots.npz") as stored:
        assert stored["steps"].tolist() == [999_999, 1_000_000]


def test_a_checkpoint_with_a_flipped_bit_is_refused(tmp_path):
    path = checkpoints.save(tmp_path, 1, {"config": {}, "weight": torch.arange(300.0)})
    whole = path.read_bytes()
    for place in np.random.default_rng(0).integers(8 * len(whole), size=60):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        with pytest.raises(ValueError, match=r"step_000001\.pt: got no whole checkpoint"):
            checkpoints.load(path, config={}, device="cpu")


class Harmful:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_a_checkpoint_cannot_run_code(tmp_path):
    path = checkpoints.save(tmp_path, 1, {"config": {}, "harm": Harmful(tmp_path / "made")})
    with pytest.raises(ValueError, match="got no checkpoint of this training"):
        checkpoints.load(path, config={}, device="cpu")
    assert not (tmp_path / "made").exists()
