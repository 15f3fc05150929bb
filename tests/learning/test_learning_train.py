"""Training runs: what learns, what stays, resuming after a kill, half-written checkpoints."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from learning_models import LAYERS, SHAPE, random_ids, token_sets, torch_model

from msa_learning.attention.index_loss import index_kl
from msa_learning.attention.selection import Budget
from msa_learning.evaluate.make_record import read_log
from msa_learning.index import branch
from msa_learning.index.branch import index_qk, index_selector
from msa_learning.index.distilling_attention import (
    DenseDistillation,
    JointDistillation,
    SparseDistillation,
)
from msa_learning.index.init_from_heads import init_from_heads
from msa_learning.index.storage import load_index
from msa_learning.models.smollm2 import SparseAttention, attend_dense
from msa_learning.train import checkpoints, run, snapshots
from msa_learning.train.schedule import CONFIGS, schedule
from msa_learning.train.training import Training, swap_costs

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
SMALL = Budget(block_size=8, top_k=3)


@pytest.fixture
def model():
    return torch_model()


@pytest.fixture(autouse=True)
def layers_of_snapshots(monkeypatch):
    monkeypatch.setattr(snapshots, "LAYERS", (0, 2))
    monkeypatch.setattr(snapshots, "DUE", (0, 3))


def new_training(model, *, steps, seed=0, config=TINY):
    return Training(model, token_sets(), config, seed=seed, steps=steps)


def new_branches(seed=2):
    return branch.new_branches(**SHAPE, seed=seed)


def gradients(branches):
    return [parameter.grad.clone() for parameter in branches.parameters()]


@pytest.mark.parametrize("sparse", [False, True])
def test_distillation_is_its_attention_and_leaves_each_layers_own_gradient(model, sparse):
    """Same output as the attention alone; gradients as from each layer's loss by itself."""
    branches, ids = new_branches(), random_ids(2, 40)
    attend = SparseAttention(index_selector(branches), SMALL) if sparse else attend_dense
    learner = SparseDistillation(branches, SMALL) if sparse else DenseDistillation(branches)
    inputs = []

    def look(seen):
        inputs.append(seen)
        return attend(seen)

    with torch.no_grad():
        plain = model(ids, look)
        learned = model(ids, learner)
    assert torch.allclose(plain, learned, atol=1e-5)
    got, losses = gradients(branches), learner.losses
    branches.zero_grad()
    for seen, loss in zip(inputs, losses):
        index_q, index_k = index_qk(branches, seen)
        selection = None
        if sparse:
            selection = index_selector(branches)(seen, SMALL)
        alone = index_kl(index_q, index_k, seen.q, seen.k, selection, block_size=8)
        assert alone.item() == pytest.approx(loss.item(), abs=1e-5)
        alone.backward()
    for one, other in zip(got, gradients(branches)):
        assert torch.allclose(one, other, atol=1e-6)
    assert all(gradient.any() for gradient in got)


def test_indices_that_warm_up_side_by_side_learn_as_if_alone(model):
    one, other, ids = new_branches(), new_branches(seed=7), random_ids(2, 40)
    learners = DenseDistillation(one, other), DenseDistillation(one), DenseDistillation(other)
    found = []
    for learner in learners:
        one.zero_grad()
        other.zero_grad()
        with torch.no_grad():
            model(ids, learner)
        found.append([gradients(index) for index in learner.indices])
    together, (first,), (second,) = found
    for got, right in zip(together, (first, second)):
        assert all(map(torch.equal, got, right))
    assert torch.equal(torch.stack(learners[0].losses), torch.stack(learners[1].losses))


def test_an_anchored_index_moves_its_other_queries_alone(model):
    training = new_training(model, steps=8)
    start = {name: tensor.clone() for name, tensor in training.anchored.state_dict().items()}
    ids = training.draw(np.random.default_rng([0]), min(TINY.lengths))
    anchors = init_from_heads(new_branches(), model, torch.from_numpy(ids))
    for _ in range(8):
        training.take_step()
    for name, tensor in training.anchored.state_dict().items():
        layer, where = int(name.split(".")[0]), name.split(".", 1)[1]
        if where != "q_proj.weight":
            assert torch.equal(tensor, start[name])
            continue
        moved = (tensor != start[name]).unflatten(0, (2, -1)).flatten(1).any(dim=1)
        assert moved.tolist() == [group != anchors[layer] for group in range(2)]


def test_a_step_starts_from_no_gradient_in_either_index(model):
    config = dataclasses.replace(TINY, learning_rate=0.0)
    training, found = new_training(model, steps=8, config=config), []
    for _ in range(2):
        training.step = 0
        training.take_step()
        indices = (*training.branches.parameters(), *training.anchored.parameters())
        found.append([p.grad.clone() for p in indices if p.requires_grad])
    assert all(map(torch.equal, *found))
    assert all(gradient.any() for gradient in found[0])


@pytest.mark.parametrize("sparse", [False, True])
def test_a_trunk_in_bf16_distils_nearly_the_same(sparse):
    """As on a GPU: trunk in bf16, branches and loss in float32."""
    ids, losses, found = random_ids(2, 40), [], []
    for model in (torch_model(), torch_model().bfloat16()):
        branches = new_branches()
        learner = DenseDistillation(branches)
        if sparse:
            learner = SparseDistillation(branches, Budget(8, 4))
        with torch.no_grad():
            assert model(ids, learner).dtype == model.token_embd.weight.dtype
        losses.append(torch.stack(learner.losses))
        found.append(torch.cat([gradient.flatten() for gradient in gradients(branches)]))
    assert losses[1].dtype == found[1].dtype == torch.float32
    assert torch.allclose(*losses, rtol=0.1)
    assert torch.cosine_similarity(*found, dim=0) > 0.97


def test_a_trunk_that_learns_in_bf16_gets_its_gradients(model):
    """As on a GPU: weights in float32, products in bf16 by autocast."""
    model.requires_grad_(True)
    branches, ids = new_branches(), random_ids(1, 40)
    learner = JointDistillation(branches, SMALL, detach=True)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model.logits(model(ids, learner))
    assert logits.dtype == torch.bfloat16
    loss = torch.nn.functional.cross_entropy(logits[0, :-1].float(), ids[0, 1:])
    (loss + torch.stack(learner.losses).sum()).backward()
    for parameter in (*model.parameters(), *branches.parameters()):
        assert parameter.grad.dtype == torch.float32
        assert parameter.grad.isfinite().all()
        assert parameter.grad.any()


@pytest.mark.parametrize("detach", [True, False])
def test_losses_reach_their_own_weights_alone(model, detach):
    """LM loss: no gradient for the index. KL: none for the trunk, unless nothing is detached."""
    model.requires_grad_(True)
    branches, ids = new_branches(), random_ids(1, 40)
    learner = JointDistillation(branches, SMALL, detach=detach)
    logits = model.logits(model(ids, learner))
    torch.nn.functional.cross_entropy(logits[0, :-1], ids[0, 1:]).backward(retain_graph=True)
    assert all(parameter.grad is None for parameter in branches.parameters())
    assert all(parameter.grad is not None for parameter in model.parameters())
    model.zero_grad()
    torch.stack(learner.losses).sum().backward()
    assert all(parameter.grad is not None for parameter in branches.parameters())
    reached = any(parameter.grad is not None for parameter in model.parameters())
    assert reached != detach


def test_an_index_learns_from_nothing(model):
    config = dataclasses.replace(TINY, start="random", warm_up_share=1.0)
    training = new_training(model, steps=40, config=config)
    before = np.mean(training.measure_recall()["score_recall"])
    losses = [training.take_step()["kl"] for _ in range(40)]
    assert np.mean(losses[-6:]) < 0.6 * np.mean(losses[:6])
    assert np.mean(training.measure_recall()["score_recall"]) > before + 0.02


def test_an_index_that_starts_from_the_model_is_ahead_and_learns(model):
    recalls = {}
    for start in ("random", "model"):
        config = dataclasses.replace(TINY, start=start, warm_up_share=1.0, learning_rate=1e-2)
        training = new_training(model, steps=40, config=config)
        recalls[start] = np.mean(training.measure_recall()["score_recall"])
    assert recalls["model"] > recalls["random"] + 0.05
    losses = [training.take_step()["kl"] for _ in range(40)]
    assert np.mean(losses[-6:]) < 0.9 * np.mean(losses[:6])


def test_the_stages_and_rates_of_a_run():
    stages, rates, lengths, block_sizes = zip(*(schedule(TINY, 200, step) for step in range(200)))
    assert stages == ("warm-up",) * 180 + ("sparse",) * 20
    assert rates[0] == pytest.approx(TINY.learning_rate / 20)
    assert rates[30] == TINY.learning_rate
    assert 0.6 * TINY.sparse_learning_rate < max(rates[180:]) <= TINY.sparse_learning_rate
    assert rates[72] == TINY.learning_rate
    assert 0 < rates[179] < rates[120] < rates[74] < TINY.learning_rate
    assert 0 < rates[199] < 0.1 * TINY.sparse_learning_rate
    assert lengths == TINY.lengths * 100
    assert block_sizes == (None,) * 180 + TINY.block_sizes * 10


def test_a_swap_costs_the_loss_that_it_adds_to_the_sparse_model(model):
    others, branches, texts = new_branches(), new_branches(seed=7), random_ids(3, 128)
    batches = list(texts.numpy()[:, None])
    costs = swap_costs(model, branches, others, batches, SMALL)
    losses = []
    for layer in (None, *range(LAYERS)):
        mixed = [others[n] if n == layer else branches[n] for n in range(LAYERS)]
        with torch.no_grad():
            hidden = model(texts, SparseAttention(index_selector(mixed), SMALL))
            logits = model.logits(hidden)[:, :-1].flatten(0, 1)
        losses.append(torch.nn.functional.cross_entropy(logits, texts[:, 1:].flatten()).item())
    assert costs == pytest.approx([loss - losses[0] for loss in losses[1:]], abs=1e-5)
    assert max(map(abs, costs)) > 1e-4
    everything = swap_costs(model, branches, others, batches, Budget(8, 16))
    assert max(map(abs, everything)) < 1e-5


@pytest.fixture
def judged(monkeypatch):
    """Given costs instead of measured ones; the arguments of every call."""
    asked = []

    def measured(model, branches, others, batches, budget):
        asked.append((list(branches), list(others), batches, budget))
        return [-0.1, 0.1, -0.0004]

    monkeypatch.setattr("msa_learning.train.training.swap_costs", measured)
    return asked


def test_a_layer_adopts_the_anchored_index_where_that_saves_the_model_enough(model, judged):
    training = new_training(model, steps=3)
    training.choose_per_layer()
    ((branches, anchored, batches, budget),) = judged
    assert all(ours is theirs for ours, theirs in zip(anchored, training.anchored))
    assert [b is kept for b, kept in zip(branches, training.branches)] == [False, True, True]
    assert training.branches[0] is training.anchored[0]
    assert training.anchored_layers() == [0]
    assert training.costs == [-0.1, 0.1, -0.0004]
    assert np.concatenate(batches).shape == (2, 128)
    assert budget == Budget(TINY.recall_block, TINY.recall_top_k)


def test_an_anchored_layer_stays_anchored_in_the_sparse_stage(model, judged):
    training = new_training(model, steps=20)
    training.step = training.warm_up_steps
    training.choose_per_layer()
    start = {name: tensor.clone() for name, tensor in training.branches.state_dict().items()}
    training.take_step()
    end = training.branches.state_dict()
    still = {name for name in end if torch.equal(start[name], end[name])}
    assert still == {"0.k_proj.weight", "0.k_norm.weight", "0.q_norm.weight"}


def test_a_random_start_has_no_anchored_index(model):
    training = new_training(model, steps=2, config=dataclasses.replace(TINY, start="random"))
    training.take_step()
    training.choose_per_layer()
    assert training.costs == training.anchored_layers() == []


def losses_of(folder):
    steps, _ = read_log(folder / run.LOG)
    return {line["step"]: line["kl"] for line in steps}


def log_lines(folder):
    return [json.loads(line) for line in (folder / run.LOG).read_text().splitlines()]


@pytest.mark.parametrize("last", [5, 6])
def test_a_killed_run_goes_on_to_the_same_end(model, tmp_path, monkeypatch, judged, last):
    """Killed before the layers are judged, after step 6 of 7, or after."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run.run(new_training(model, steps=7), whole)
    step = Training.take_step

    def take_step(self):
        if self.step == last:
            raise KeyboardInterrupt
        return step(self)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "take_step", take_step)
        with pytest.raises(KeyboardInterrupt):
            run.run(new_training(model, steps=7), killed)
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


def test_a_checkpoint_without_anchored_branches_is_refused(model, tmp_path):
    """As runs left them before there were any."""
    training = new_training(model, steps=4)
    old = {name: value for name, value in training.state().items() if name != "anchored"}
    path = checkpoints.save(tmp_path, 2, old | {"step": 2})
    with pytest.raises(ValueError, match=r"step_000002\.pt: got one of another version; train"):
        training.resume(path)
    assert training.step == 0


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


def test_snapshots_hold_what_was_selected(model, tmp_path):
    training = new_training(model, steps=5)
    run.run(training, tmp_path)
    with np.load(tmp_path / "snapshots.npz") as file:
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
