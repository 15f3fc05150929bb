"""An index that starts from the model's queries and keys."""

import pytest
import torch
from learning_models import HEAD_DIM, LAYERS, NUM_KV_HEADS, SHAPE, WIDTH, random_ids, torch_model

from msa_learning.attention.layer import GemmaNorm
from msa_learning.index import init_from_heads as module
from msa_learning.index.branch import new_branches
from msa_learning.index.init_from_heads import (
    STD,
    freeze_anchor,
    init_from_heads,
    join_groups,
    score_std,
    set_projection_and_norm,
)
from msa_learning.models.smollm2 import attend_dense


def started(model, index_dim=HEAD_DIM):
    branches = new_branches(LAYERS, WIDTH, NUM_KV_HEADS, index_dim, seed=0)
    init_from_heads(branches, model, random_ids(3, 90))
    return branches


def scores_of(branches, model):
    """Of every layer: the index's scores, and those of each group's sharpest head."""
    sharpest, found = [], []

    def choose(inputs):
        sharpest.append(score_std(inputs.q, inputs.k).argmax(dim=1))
        return attend_dense(inputs)

    def attend(inputs):
        index_q, index_k = branches[inputs.layer](inputs.hidden, inputs.angles)
        heads = inputs.q.unflatten(1, (NUM_KV_HEADS, -1))
        head = heads[:, torch.arange(NUM_KV_HEADS), sharpest[inputs.layer]]
        found.append((index_q @ index_k.mT, head @ inputs.k.mT))
        return attend_dense(inputs)

    with torch.no_grad():
        model(random_ids(3, 90), choose)
        model(random_ids(2, 40, seed=1), attend)
    return found


def correlation(ours, theirs):
    """Over keys, for every query and group; the mean of all."""
    ours, theirs = (x - x.mean(dim=-1, keepdim=True) for x in (ours, theirs))
    return torch.cosine_similarity(ours, theirs, dim=-1).mean().item()


def test_score_std_is_the_deviation_of_a_heads_scores_over_keys():
    """All keys of all sequences; what every key shares does not count."""
    generator = torch.Generator().manual_seed(4)
    q = torch.randn(2, 6, 30, 8, generator=generator, dtype=torch.float64)
    k = torch.randn(2, 2, 50, 8, generator=generator, dtype=torch.float64)
    k[:, 0, :, :4] = 3.0  # group 0 has keys that differ in the later channels alone
    q[:, 1, :, :4] *= 100
    scores = q.unflatten(1, (2, 3)) @ k[:, :, None].mT
    right = scores.var(dim=-1, correction=0).mean(dim=(0, 3)).sqrt()
    torch.testing.assert_close(score_std(q, k), right)


def complex_rows(*shape, generator):
    return torch.randn(*shape, 12, generator=generator, dtype=torch.complex128)


def test_where_groups_have_the_same_keys_nothing_is_lost():
    """One key rotated and scaled pair by pair: a mixture of it serves all groups exactly."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(400, 12, generator=generator, dtype=torch.float64)
    q, key = complex_rows(3, 4, generator=generator), complex_rows(4, generator=generator)
    factors = torch.randn(3, 4, 1, generator=generator, dtype=torch.complex128)
    k = factors * key
    index_q, index_k, energy = join_groups(q, k, x, torch.tensor([1.0, 5.0, 0.2]))
    assert (energy > 0).all()
    # A pair's score is the real part of conj(q x) (k y), whatever x and y.
    ours, theirs = (
        index_q.conj()[..., :, None] * index_k[:, None],
        q.conj()[..., :, None] * k[..., None, :],
    )
    torch.testing.assert_close(ours, theirs)


def test_it_scores_as_the_model_does_before_any_training():
    model = torch_model()
    untrained = new_branches(**SHAPE, seed=0)
    for (ours, theirs), (drawn, _) in zip(
        scores_of(started(model), model), scores_of(untrained, model)
    ):
        assert correlation(ours, theirs) > 0.5
        assert abs(correlation(drawn, theirs)) < 0.3


def test_no_mixture_of_the_groups_keys_does_better():
    """Of the weighted keys' energy on the text the first component holds the most."""
    weight = torch.tensor([1.0, 3.0, 0.5], dtype=torch.float64)
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
            total += weight[group] ** 2 * (made - ours).abs().square().mean()
        return total

    index_q, index_k, _ = join_groups(q, k, x, weight)
    least = loss(index_q, index_k)
    for _ in range(20):
        changed = torch.randn(index_k.shape, generator=generator, dtype=index_k.dtype)
        assert loss(index_q, index_k + 0.05 * changed) > least
        changed = torch.randn(index_q.shape, generator=generator, dtype=index_q.dtype)
        assert loss(index_q + 0.05 * changed, index_k) > least


def text_with_a_constant(generator):
    """Tokens with one mixture of channels that is 1, and weights of 2 heads of 3 pairs for them."""
    x = torch.randn(300, 9, generator=generator, dtype=torch.float64)
    x[:, 0] = 1 - x[:, 1]
    weight = torch.randn(2, 3, 2, 9, generator=generator, dtype=torch.float64)
    return x, weight, torch.nn.Linear(9, 12, bias=False).double(), GemmaNorm(6).double()


@pytest.mark.parametrize("weakest", [0, 2])
def test_a_constant_channel_lets_lengths_through_the_norm(weakest, monkeypatch):
    """The longer it is the less the norm changes: in the limit it comes out unchanged."""
    x, weight, linear, norm = text_with_a_constant(torch.Generator().manual_seed(2))
    kept = (torch.arange(3) != weakest)[:, None].expand(3, 2).flatten()
    wanted = (x @ weight.flatten(0, 2).mT).unflatten(1, (2, 6)) * kept
    farthest = []
    for scale in (0.5, 2, 1000):
        monkeypatch.setattr(module, "CONSTANT_SCALE", scale)
        set_projection_and_norm(linear, norm, weight, x, weakest)
        with torch.no_grad():
            out = norm(linear(x).unflatten(1, (2, 6)))
        assert not out[..., ~kept].any()
        farthest.append((out - wanted).abs().max().item())
    assert farthest[0] > 2 * farthest[1] > 1
    assert farthest[2] < 1e-2


def test_without_the_constant_channel_the_norm_removes_the_lengths():
    """A plain norm makes all keys equally long."""
    x, weight, linear, norm = text_with_a_constant(torch.Generator().manual_seed(2))
    with torch.no_grad():
        linear.weight.copy_(weight.flatten(0, 2))
        plain = norm(linear(x).unflatten(1, (2, 6))).norm(dim=-1)
        set_projection_and_norm(linear, norm, weight, x, 0)
        kept = norm(linear(x).unflatten(1, (2, 6))).norm(dim=-1)
    assert plain.std() < 1e-3 * plain.mean()
    assert kept.std() > 0.2 * kept.mean()


def test_the_group_whose_head_is_sharpest_is_its_layers_anchor():
    """And the start is nearer to its keys the higher the power by which groups count."""
    model, near = torch_model(), []
    for power in (1, 8):
        branches = new_branches(**SHAPE, seed=0)
        anchors = init_from_heads(branches, model, random_ids(3, 90), power=power)
        near.append(
            [
                correlation(ours[:, [anchor]], theirs[:, [anchor]])
                for anchor, (ours, theirs) in zip(anchors, scores_of(branches, model))
            ]
        )
    deviations = []

    def look(inputs):
        deviations.append(score_std(inputs.q, inputs.k).amax(dim=1))
        return attend_dense(inputs)

    with torch.no_grad():
        model(random_ids(3, 90), look)
    assert anchors == [int(std.argmax()) for std in deviations]
    assert all(high > low + 0.02 for low, high in zip(*near))


def test_a_frozen_anchor_gets_no_gradient_and_the_others_get_all_of_theirs():
    hidden, angles = torch.randn(2, 5, 12), torch.zeros(5, 4)
    found = []
    for frozen in (False, True):
        branch = new_branches(1, 12, 3, 8, seed=0)[0]
        if frozen:
            freeze_anchor(branch, 1)
        index_q, index_k = branch(hidden, angles)
        (index_q @ index_k.mT).square().sum().backward()
        found.append(branch)
    free, frozen = found
    assert all(
        x.grad is None for x in (frozen.k_proj.weight, frozen.k_norm.weight, frozen.q_norm.weight)
    )
    wanted = free.q_proj.weight.grad.unflatten(0, (3, 8)).clone()
    wanted[1] = 0
    assert torch.equal(frozen.q_proj.weight.grad.unflatten(0, (3, 8)), wanted)
    assert wanted[[0, 2]].any()


def test_the_weights_have_one_size():
    for branch in started(torch_model()):
        for linear in (branch.q_proj, branch.k_proj):
            assert linear.weight.std().item() == pytest.approx(STD, rel=1e-4)


def test_another_index_dimension_is_refused():
    with pytest.raises(
        ValueError, match=f"branches: got 6 index channels, takes the heads' {HEAD_DIM}"
    ):
        started(torch_model(), index_dim=6)
