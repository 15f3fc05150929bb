"""What a step of the training draws, moves, counts and writes down."""

import dataclasses

import numpy as np
import pytest
import torch
from learning_models import LAYERS, token_sets
from training_cases import TINY, new_training

from msa_learning.attention.selection import Budget
from msa_learning.corpus.tokens import held_out_texts
from msa_learning.evaluate.block_scorers import learned_scorer
from msa_learning.evaluate.recall import RecallByLayer
from msa_learning.train import training as module
from msa_learning.train.training import new_optimizers


@pytest.fixture
def drawn(monkeypatch):
    """Shares, count, length and a number of the generator of every batch that is drawn."""
    asked = []
    draw_batch = module.draw_batch

    def draw(tokens, shares, generator, *, count, length):
        state = generator.bit_generator.state["state"]["state"]
        asked.append((shares, count, length, state))
        return draw_batch(tokens, shares, generator, count=count, length=length)

    monkeypatch.setattr(module, "draw_batch", draw)
    return asked


def state_of(*seed):
    return np.random.default_rng(seed).bit_generator.state["state"]["state"]


def test_batches_are_drawn_by_seed_and_step_alone(model, drawn, judged):
    config = dataclasses.replace(TINY, code_share=0.5, prose_share=0.3, recall_task_share=0.2)
    training = new_training(model, steps=20, seed=3, config=config)
    training.step = 7
    training.take_step()
    training.take_step()
    training.choose_per_layer()
    shares, counts, lengths, states = zip(*drawn)
    assert set(map(tuple, map(dict.items, shares))) == {
        (("train_code", 0.5), ("train_prose", 0.3), ("train_drills", 0.2))
    }
    # The starts of both indices, steps 7 and 8 of lengths 32 and 64, two texts to choose by.
    assert lengths == (32, 32, 32, 64, 128, 128)
    assert counts == (4, 4, 4, 2, 1, 1)
    assert states[:5] == (state_of(3), state_of(3), state_of(3, 7), state_of(3, 8), state_of(3, 20))


def test_a_text_longer_than_a_batch_is_a_batch(model, drawn):
    training = new_training(model, steps=2)
    assert training.draw(np.random.default_rng(0), 200).shape == (1, 200)


def test_a_step_is_a_line_of_the_log(model, monkeypatch):
    """Time passes by a quarter of a second at each look."""
    monkeypatch.setattr(module.time, "perf_counter", iter(np.arange(1.0, 9.0, 0.25)).__next__)
    training = new_training(model, steps=20)
    warm = training.take_step()
    kl = warm.pop("kl")
    assert warm == {
        "step": 0,
        "length": 64,
        "stage": "warm-up",
        "learning_rate": training.config.learning_rate / 20,
        "tokens_per_second": 128 / 0.25,
    }
    assert kl > 0
    training.step = 18
    sparse = training.take_step()
    assert set(sparse) == {*warm, "kl", "block_size", "top_k"}
    assert (sparse["step"], sparse["stage"], sparse["block_size"]) == (18, "sparse", 8)
    assert (training.step, training.seconds, training.trained_tokens) == (19, 0.5, 256)


def test_a_warm_up_step_learns_from_all_tokens_and_a_sparse_one_from_its_budget(model):
    """The KL of a step is the mean over the layers; in the warm-up that of the free index."""
    found = []
    for share in (1.0, 0.0):
        config = dataclasses.replace(TINY, warm_up_share=share)
        training, alone = (new_training(model, steps=20, config=config) for _ in range(2))
        line = training.take_step()
        if line["stage"] == "warm-up":
            attend = module.DenseDistillation(alone.branches)
        else:
            budget = Budget(line["block_size"], line["top_k"])
            assert budget.tokens < line["length"]
            attend = module.SparseDistillation(alone.branches, budget)
        with torch.no_grad():
            model(torch.from_numpy(alone.draw(np.random.default_rng([0, 0]), 64)), attend)
        assert len(attend.losses) == LAYERS
        assert line["kl"] == pytest.approx(sum(attend.losses).item() / LAYERS)
        found.append(line["kl"])
    assert found[0] != pytest.approx(found[1], rel=0.01)


def test_sparse_steps_draw_their_budget(model):
    """Tokens over the block size, one block at least."""
    config = dataclasses.replace(TINY, warm_up_share=0.0, budgets=(4, 16, 40))
    training = new_training(model, steps=30, config=config)
    lines = [training.take_step() for _ in range(30)]
    drawn = {(line["block_size"], line["top_k"]) for line in lines}
    assert drawn == {(8, 1), (8, 2), (8, 5), (16, 1), (16, 2)}


def test_recall_is_measured_on_held_out_text(model):
    training = new_training(model, steps=2)
    _, held_out = held_out_texts(token_sets(), per_set=1, length=TINY.recall_length)
    assert held_out.shape == (3, 128)
    budget = Budget(TINY.recall_block, TINY.recall_top_k)
    hook = RecallByLayer({"learned": learned_scorer(training.branches)}, [budget])
    with torch.no_grad():
        model(torch.from_numpy(held_out), hook)
    found = hook.found["learned", budget]
    for name in ("score", "block"):
        shares = [getattr(recall, name).mean().item() for recall in found]
        assert training.measure_recall()[f"{name}_recall"] == [round(share, 4) for share in shares]


def test_costs_are_stored_to_a_millionth_and_choosing_takes_time(model, monkeypatch):
    costs = [-0.00050049, -0.00050051, 0.12345678]
    monkeypatch.setattr(module, "swap_costs", lambda asked, *_: costs if asked is model else [])
    training = new_training(model, steps=2)
    monkeypatch.setattr(module.time, "perf_counter", iter((1.0, 3.0)).__next__)
    training.seconds = 5.0
    training.choose_per_layer()
    assert training.costs == [-0.0005, -0.000501, 0.123457]
    assert training.anchored_layers() == [1]
    assert training.seconds == 7.0


def test_a_checkpoint_holds_the_whole_state(model, tmp_path, judged):
    """What goes on from it takes the same step; what it has not in common with it is refused."""
    training = new_training(model, steps=20)
    training.take_step()
    training.step = training.warm_up_steps
    training.choose_per_layer()
    path = module.checkpoints.save(tmp_path, training.step, training.state())
    resumed = new_training(model, steps=20)
    resumed.resume(path)
    for name in ("run_id", "costs", "step", "seconds", "trained_tokens"):
        assert getattr(resumed, name) == getattr(training, name)
    assert resumed.branches[0] is resumed.anchored[0]
    lines = [run.take_step()["kl"] for run in (training, resumed)]
    assert lines[0] == lines[1]
    for one, other in zip(training.branches.parameters(), resumed.branches.parameters()):
        assert torch.equal(one, other)
    about = training.description()
    assert about == {**dataclasses.asdict(TINY), "seed": 0, "steps": 20} | {
        name: list(getattr(TINY, name)) for name in ("lengths", "block_sizes", "budgets")
    }


def test_a_checkpoint_without_anchored_branches_is_refused(model, tmp_path):
    """As runs left them before there were any."""
    training = new_training(model, steps=4)
    old = {name: value for name, value in training.state().items() if name != "anchored"}
    path = module.checkpoints.save(tmp_path, 2, old | {"step": 2})
    with pytest.raises(ValueError, match=r"step_000002\.pt: got one of another version; train"):
        training.resume(path)
    assert training.step == 0


def test_a_training_starts_at_nothing_with_an_id_of_its_own(model):
    one, other = (new_training(model, steps=2) for _ in range(2))
    assert (one.step, one.seconds, one.trained_tokens, one.costs) == (0, 0.0, 0, [])
    assert len(one.run_id) == 8
    assert one.run_id != other.run_id


def one_step(shape):
    """Projection and norm of ones after a step of rate 0.5 along gradients, and the optimisers."""
    generator = torch.Generator().manual_seed(0)
    weights = [torch.nn.Parameter(torch.ones(size)) for size in (shape, shape[:1])]
    optimizers = new_optimizers(torch.nn.ParameterList(weights))
    for weight, optimizer in zip(weights, optimizers):
        assert optimizer.param_groups[0]["lr"] == 0, "no rate until a step sets it"
        optimizer.param_groups[0]["lr"] = 0.5
        weight.grad = torch.randn(weight.shape, generator=generator)
        optimizer.step()
    return weights, optimizers


@pytest.mark.parametrize("shape", [(8, 20), (20, 8), (16, 16)])
def test_muon_moves_projections_alike_whatever_their_shape(shape):
    """By 0.2 of the rate, in root mean square, as AdamW does; nothing decays."""
    (projection, _), _ = one_step(shape)
    moved = (projection - 1).square().mean().sqrt().item()
    assert moved == pytest.approx(0.2 * 0.5, rel=0.25)


def test_norms_average_gradients_over_ten_and_squares_over_twenty_steps():
    (_, norm), (_, adam) = one_step((3, 3))
    state = adam.state[norm]
    torch.testing.assert_close(state["exp_avg"], 0.1 * norm.grad)
    torch.testing.assert_close(state["exp_avg_sq"], 0.05 * norm.grad.square())
    torch.testing.assert_close(norm.detach(), 1 - 0.5 * norm.grad.sign())
