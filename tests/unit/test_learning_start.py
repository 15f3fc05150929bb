"""An index that starts from the model's queries and keys."""

import pytest
import torch
from learning_models import (
    HEAD_DIM,
    LAYERS,
    NUM_KV_HEADS,
    WIDTH,
    random_ids,
    torch_model,
)

from msa_ref.learning import index_branch
from msa_ref.learning.smollm2 import attend_dense
from msa_ref.learning.start import STD, join_groups, start_from_model


def started(model, index_dim=HEAD_DIM):
    branches = index_branch.new_branches(LAYERS, WIDTH, NUM_KV_HEADS, index_dim, seed=0)
    start_from_model(branches, model, random_ids(3, 90))
    return branches


def scores_of(branches, model):
    """Of every layer: the index's scores without its norms, and the mean score of the heads."""
    found = []

    def attend(inputs):
        branch = branches[inputs.layer]
        branch.q_norm = branch.k_norm = torch.nn.Identity()
        index_q, index_k = branch(inputs.hidden, inputs.angles)
        heads = inputs.q.unflatten(1, (NUM_KV_HEADS, -1)).mean(dim=2)
        found.append((index_q @ index_k.mT, heads @ inputs.k.mT))
        return attend_dense(inputs)

    with torch.no_grad():
        model(random_ids(2, 40, seed=1), attend)
    return found


def correlation(ours, theirs):
    """Over keys, for every query and group; the mean of all."""
    ours, theirs = (x - x.mean(dim=-1, keepdim=True) for x in (ours, theirs))
    return torch.cosine_similarity(ours, theirs, dim=-1).mean().item()


def test_where_groups_have_the_same_keys_nothing_is_lost():
    """One key turned and scaled pair by pair: a mixture of it serves all groups exactly."""
    model = torch_model()
    generator = torch.Generator().manual_seed(3)
    for layer in model.blk:
        first = layer.attn_k.weight[:HEAD_DIM].unflatten(0, (-1, 2))
        angle = 6 * torch.rand(len(first), 1, generator=generator)
        turned = torch.stack(
            [
                angle.cos() * first[:, 0] - angle.sin() * first[:, 1],
                angle.sin() * first[:, 0] + angle.cos() * first[:, 1],
            ],
            dim=1,
        )
        layer.attn_k.weight[HEAD_DIM:] = 1.7 * turned.flatten(0, 1)
    for ours, theirs in scores_of(started(model), model):
        factor = (ours * theirs).sum() / (theirs * theirs).sum()
        torch.testing.assert_close(ours, factor * theirs, rtol=0, atol=1e-4 * ours.abs().max())


def test_it_scores_as_the_model_does_before_any_training():
    model = torch_model()
    untrained = index_branch.new_branches(LAYERS, WIDTH, NUM_KV_HEADS, HEAD_DIM, seed=0)
    for (ours, theirs), (drawn, _) in zip(
        scores_of(started(model), model), scores_of(untrained, model)
    ):
        assert correlation(ours, theirs) > 0.6
        assert abs(correlation(drawn, theirs)) < 0.3


def test_no_mixture_of_the_groups_keys_does_better():
    """Of the weighted keys' energy on the text the first component holds the most."""
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(400, 12, generator=generator, dtype=torch.float64) + 0.5
    q, k = (torch.randn(3, 4, 12, generator=generator, dtype=torch.complex128) for _ in range(2))

    def loss(index_q, index_k):
        wide, centred = x.to(q.dtype), (x - x.mean(dim=0)).to(q.dtype)
        queries, index_queries = q @ wide.mT, index_q @ wide.mT
        keys, index_key = k @ centred.mT, index_k @ centred.mT
        # The mean of |conj(q) k - conj(index_q) index_k|**2 over pairs of a query and a key.
        total = 0
        for group in range(3):
            made = queries[group].conj()[:, :, None] * keys[group][:, None]
            ours = index_queries[group].conj()[:, :, None] * index_key[:, None]
            total += (made - ours).abs().square().mean()
        return total

    index_q, index_k = join_groups(q, k, x)
    least = loss(index_q, index_k)
    for _ in range(20):
        changed = torch.randn(index_k.shape, generator=generator, dtype=index_k.dtype)
        assert loss(index_q, index_k + 0.05 * changed) > least
        changed = torch.randn(index_q.shape, generator=generator, dtype=index_q.dtype)
        assert loss(index_q + 0.05 * changed, index_k) > least


def test_weights_have_one_size_and_norms_are_left_alone():
    for branch in started(torch_model()):
        for linear in (branch.q_proj, branch.k_proj):
            assert linear.weight.std().item() == pytest.approx(STD, rel=1e-4)
        assert not branch.q_norm.weight.any()
        assert not branch.k_norm.weight.any()


def test_another_index_dimension_is_refused():
    with pytest.raises(
        ValueError, match=f"branches: got 6 index channels, takes the heads' {HEAD_DIM}"
    ):
        started(torch_model(), index_dim=6)
