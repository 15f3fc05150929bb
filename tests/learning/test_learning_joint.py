"""The runs in which the trunk learns too, on a small model: one start, the same batches."""

import json

import numpy as np
import pytest
import torch
from learning_models import SHAPE, numpy_model, token_sets

from msa_learning.attention.selection import Budget
from msa_learning.corpus.tokens import held_out_texts
from msa_learning.evaluate.make_record import JOINT_RUNS
from msa_learning.index.branch import new_branches
from msa_learning.index.storage import save_index
from msa_learning.models.smollm2 import SmolLM2, attend_dense, lm_losses
from msa_learning.train import joint


@pytest.fixture(autouse=True)
def small(monkeypatch):
    for name, value in {"LENGTH": 48, "BATCH": 2, "BUDGET": Budget(8, 3)}.items():
        monkeypatch.setattr(joint, name, value)


@pytest.fixture
def index(tmp_path):
    save_index(new_branches(*SHAPE.values(), seed=5), tmp_path, step=1)
    return tmp_path


def test_every_run_starts_alike_and_learns(index, tmp_path):
    out = tmp_path / "joint.json"
    names = ["dense", "msa", "no warm-up"]
    assert set(names) < set(JOINT_RUNS)
    sizes = {"steps": 12, "names": names, "out": out, "device": "cpu"}
    joint.run_all(numpy_model(), token_sets(), index, **sizes)
    dense, msa, cold = json.loads(out.read_text())
    assert [run["run"] for run in (dense, msa, cold)] == names
    for run in (dense, msa, cold):
        assert len(run["lm_curve"]) == 12
        assert len(run["lm_before"]) == len(run["lm_after"]) == 12
        assert run["lm_before"] != run["lm_after"]
    assert (len(dense["kl_curve"]), len(msa["kl_curve"])) == (0, 12)
    # Both indexes are untrained here, but not the same one.
    assert msa["lm_before"] != cold["lm_before"]
    # The first batch meets the same trunk: full attention against three blocks of eight.
    assert dense["lm_curve"][0] == pytest.approx(msa["lm_curve"][0], abs=0.5)


def test_losses_of_texts_are_those_of_each_text_alone():
    model = SmolLM2.from_gguf(numpy_model())
    _, texts = held_out_texts(token_sets(), per_set=2, length=48)
    ids = torch.from_numpy(texts)
    with torch.no_grad():
        together = lm_losses(model, ids, attend_dense)
        alone = [lm_losses(model, row[None], attend_dense)[0] for row in ids]
        logits = model.logits(model(ids[:1]))[0, :-1].log_softmax(dim=-1)
    assert together.tolist() == pytest.approx([x.item() for x in alone], abs=1e-5)
    right = -logits[np.arange(47), ids[0, 1:]].mean()
    assert together[0].item() == pytest.approx(right.item(), abs=1e-5)
