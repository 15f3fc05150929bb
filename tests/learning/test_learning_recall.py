"""Recall of a selection: the mass of blocks, the best blocks by mass, every layer and budget."""

import numpy as np
import pytest
import torch
from cases import refused
from learning_models import SHAPE, random_ids, random_inputs, torch_model

from msa_learning.attention.selection import Budget
from msa_learning.evaluate import recall
from msa_learning.evaluate.block_scorers import all_scorers
from msa_learning.index.branch import new_branches
from msa_learning.models.smollm2 import attend_dense
from msa_ref import selection
from msa_ref.dense import attention_weights


@pytest.mark.parametrize(("num_queries", "num_keys"), [(37, 37), (5, 37), (300, 300)])
def test_block_mass_and_recall_are_those_of_numpy(num_queries, num_keys):
    inputs = random_inputs(num_queries, num_keys)
    q, k = inputs.q.numpy(), inputs.k.numpy()
    mass = recall.block_mass(inputs.q, inputs.k, block_size=8)
    weights, _ = attention_weights(q, k)
    right = selection.block_mass(weights, num_kv_heads=2, block_size=8)
    assert mass.numpy() == pytest.approx(right, abs=1e-5)
    sizes = {"top_k": 3, "block_size": 8, "num_keys": num_keys}
    scores = np.random.default_rng(1).normal(size=right.shape)
    chosen = selection.select_blocks(scores, **sizes)
    ideal = selection.select_blocks(right, **sizes)
    found = recall.measure(torch.from_numpy(chosen), mass, num_keys=num_keys, block_size=8)
    late = np.arange(num_keys - num_queries, num_keys) >= 24
    for got, share in (
        (found.score, selection.score_recall(chosen, ideal, right)),
        (found.block, selection.block_recall(chosen, ideal, right.shape[-1])),
        (found.mass, selection.captured_mass(chosen, right)),
    ):
        assert got.numpy() == pytest.approx(share[:, :, late].mean(axis=(1, 2)), abs=1e-5)


def test_only_rows_with_more_blocks_than_the_budget_count():
    """k = 2 blocks of 2: rows 4 and 5 see a third block; the ones before may select anything."""
    mass = torch.tensor([[[[1.0, 0.0, 0.0]] * 4 + [[0.5, 0.3, 0.2]] * 2]])
    chosen = torch.tensor([[[[-1, -1]] * 4 + [[0, 2], [1, 2]]]])
    found = recall.measure(chosen, mass, num_keys=6, block_size=2)
    # The best two are 0 and the local block 2, together 0.7.
    assert found.score.tolist() == pytest.approx([(1 + 0.2 / 0.7) / 2])
    assert found.block.tolist() == pytest.approx([(1 + 1 / 2) / 2])
    assert found.mass.tolist() == pytest.approx([(0.7 + 0.5) / 2])
    full = recall.measure(chosen.repeat(1, 1, 1, 2), mass, num_keys=6, block_size=2)
    assert all(share.isnan().all() for share in full)


def test_mass_of_a_model_in_16_bits_is_taken_in_float32():
    """Also within autocast, which would take the products in 16 bits."""
    inputs = random_inputs(7, 37)
    q, k = inputs.q.bfloat16(), inputs.k.bfloat16()
    want = recall.block_mass(q.float(), k.float(), block_size=8)
    with torch.autocast("cpu", torch.bfloat16):
        got = recall.block_mass(q, k, block_size=8)
    assert got.dtype == torch.float32
    assert torch.equal(got, want)


def test_mass_is_made_where_the_inputs_lie():
    """Here on the CPU, while the default device is another."""
    inputs = random_inputs(7, 37)
    with torch.device("meta"):
        assert recall.block_mass(inputs.q, inputs.k, block_size=8).device == inputs.q.device


def test_blocks_without_tokens_are_refused():
    inputs = random_inputs(7, 37)
    with refused(ValueError, "block_size", "at least 1"):
        recall.block_mass(inputs.q, inputs.k, block_size=0)


def test_every_scorer_is_measured_with_every_budget_in_every_layer():
    model, ids = torch_model(), random_ids(2, 70)
    scorers = all_scorers(new_branches(**SHAPE, seed=1))
    scorers = {name: scorers[name] for name in ("learned", "window")}
    budgets = [Budget(8, 2), Budget(16, 2), Budget(8, 4)]
    hook = recall.RecallByLayer(scorers, budgets)
    inputs = []

    def look(seen):
        inputs.append(seen)
        return attend_dense(seen)

    with torch.no_grad():
        assert torch.equal(model(ids, hook), model(ids, look))
    assert set(hook.found) == {(name, budget) for name in scorers for budget in budgets}
    for (name, budget), found in hook.found.items():
        assert len(found) == len(inputs)
        for seen, got in zip(inputs, found):
            mass = recall.block_mass(seen.q, seen.k, block_size=budget.block_size)
            chosen = scorers[name].select(seen, budget)
            right = recall.measure(chosen, mass, num_keys=70, block_size=budget.block_size)
            assert all(map(torch.equal, got, right))
