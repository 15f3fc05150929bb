"""Training: what learns and what stays, the optimisers, the choice of every layer."""

import dataclasses

import numpy as np
import pytest
import torch
from learning_models import LAYERS, SHAPE, random_ids, torch_model
from training_cases import TINY, new_training

from msa_learning.attention.index_loss import index_kl
from msa_learning.attention.selection import Budget
from msa_learning.index.branch import index_qk, index_selector
from msa_learning.index.branch import new_branches as make_branches
from msa_learning.index.distilling_attention import (
    DenseDistillation,
    JointDistillation,
    SparseDistillation,
)
from msa_learning.index.init_from_heads import init_from_heads
from msa_learning.models.smollm2 import SparseAttention, attend_dense
from msa_learning.train.training import new_optimizers, swap_costs

SMALL = Budget(block_size=8, top_k=3)


def new_branches(seed=2):
    return make_branches(**SHAPE, seed=seed)


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


def test_the_anchored_index_starts_with_groups_weighted_by_variance(model):
    """The free one by standard deviation: power 1."""
    training = new_training(model, steps=4)
    ids = torch.from_numpy(training.draw(np.random.default_rng([0]), min(TINY.lengths)))
    for index, power in ((training.branches, 1), (training.anchored, 2)):
        wanted = new_branches(seed=0)
        init_from_heads(wanted, model, ids, power=power)
        assert all(map(torch.equal, index.parameters(), wanted.parameters()))
    assert not torch.equal(training.branches[0].k_proj.weight, training.anchored[0].k_proj.weight)


def test_the_norms_learn_at_a_third_of_the_projections_rate(model):
    """AdamW's first step moves every weight by its rate, Muon's by a fifth of it on average."""
    training, before = new_training(model, steps=40), new_training(model, steps=40)
    rate = training.take_step()["learning_rate"]
    for branch, was in zip(training.branches, before.branches):
        moved = (branch.k_norm.weight - was.k_norm.weight).abs().max().item()
        assert moved == pytest.approx(rate / 3, rel=1e-3)
        moved = (branch.q_proj.weight - was.q_proj.weight).square().mean().sqrt().item()
        assert moved == pytest.approx(0.2 * rate, rel=0.25)


def test_muon_keeps_nine_tenths_of_its_momentum():
    weight = torch.nn.Parameter(torch.zeros(4, 6))
    muon, _ = new_optimizers(torch.nn.ParameterList([weight, torch.nn.Parameter(torch.zeros(3))]))
    seen = []
    for gradient in (torch.ones(4, 6), torch.zeros(4, 6)):
        weight.grad = gradient
        muon.step()
        (buffer,) = [value for value in muon.state[weight].values() if torch.is_tensor(value)]
        seen.append(buffer.mean().item())
    assert seen[1] / seen[0] == pytest.approx(0.9)


def test_layers_are_judged_on_several_texts(model, judged):
    training = new_training(model, steps=3)
    training.choose_per_layer()
    ((_, _, batches, _),) = judged
    assert len(batches) == TINY.choosing_batches == 2
    assert not np.array_equal(*batches)
    training.choose_per_layer()
    assert all(map(np.array_equal, batches, judged[1][2]))
