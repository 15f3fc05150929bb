"""The decoder in PyTorch against the NumPy one; cache, sparse attention and index files."""

import math

import numpy as np
import pytest
import torch
from learning_models import (
    HEAD_DIM,
    LAYERS,
    NUM_KV_HEADS,
    VOCABULARY,
    WIDTH,
    numpy_model,
    random_ids,
    torch_model,
)
from safetensors.torch import load_file, save_file

from msa_learning.corpus import needles
from msa_learning.evaluate import evaluate
from msa_learning.evaluate.rules import all_rules
from msa_learning.index import index_branch
from msa_learning.models.smollm2 import Cache, SmolLM2, SparseAttention, attend_dense, index_lanes
from msa_ref import data, smollm2

SHAPE = {"layers": LAYERS, "width": WIDTH, "num_kv_heads": NUM_KV_HEADS, "index_dim": HEAD_DIM}


@pytest.fixture(scope="module")
def model():
    return torch_model()


@pytest.fixture(scope="module")
def branches():
    return index_branch.new_branches(*SHAPE.values(), seed=3).requires_grad_(False)


@pytest.fixture(scope="module")
def real():
    """The real model in NumPy and PyTorch; skipped where the extra is not installed."""
    try:
        source = smollm2.SmolLM2()
    except ModuleNotFoundError as error:
        pytest.skip(str(error))
    return source, SmolLM2.from_gguf(source).requires_grad_(False)


def test_it_is_the_numpy_model(model):
    ids = random_ids(2, 37)
    hidden = model(ids)
    source = numpy_model()
    for row, got in zip(ids.numpy(), hidden):
        assert got.numpy() == pytest.approx(source.forward(row), abs=1e-4)
    right = source.logits(source.forward(ids[0].numpy()))
    assert model.logits(hidden[0]).numpy() == pytest.approx(right, abs=1e-3)


def test_a_cache_changes_nothing(model, branches):
    ids = random_ids(2, 41)
    for attend in (attend_dense, SparseAttention(branches, block_size=8, top_k=3)):
        whole, cache = model(ids, attend), Cache(41)
        parts = [model(part, attend, cache) for part in ids.split([17, 1, 23], dim=1)]
        assert torch.cat(parts, dim=1).numpy() == pytest.approx(whole.numpy(), abs=1e-4)
        assert cache.length == 41


def test_a_full_budget_is_dense_and_a_small_one_is_not(model, branches):
    ids = random_ids(1, 45)
    dense = model(ids).numpy()
    full = SparseAttention(branches, block_size=8, top_k=6)
    small = SparseAttention(branches, block_size=8, top_k=2)
    assert model(ids, full).numpy() == pytest.approx(dense, abs=1e-4)
    got = model(ids, small).numpy()
    assert got[:, :16] == pytest.approx(dense[:, :16], abs=1e-4)
    assert not np.allclose(got[:, 16:], dense[:, 16:], atol=1e-2)


def test_the_index_sees_the_input_of_the_q_projection(model):
    """A branch with the layer's own weights, norms undone, gives the layer's own q and k."""
    sizes, seen = model.sizes, []
    branch = index_branch.IndexBranch(WIDTH, sizes.num_heads, HEAD_DIM)
    branch.q_norm = branch.k_norm = torch.nn.Identity()

    def attend(inputs):
        layer = model.blk[inputs.layer]
        branch.q_proj.weight = layer.attn_q.weight
        branch.k_proj.weight = torch.nn.Parameter(layer.attn_k.weight[:HEAD_DIM])
        index_q, index_k = branch(inputs.hidden, inputs.angles)
        assert index_q.detach().numpy() == pytest.approx(inputs.q.numpy(), abs=1e-5)
        assert index_k.detach().numpy() == pytest.approx(inputs.k[:, :1].numpy(), abs=1e-5)
        seen.append(inputs.layer)
        return attend_dense(inputs)

    model(random_ids(2, 9), attend)
    assert seen == list(range(LAYERS))


def test_only_without_detach_does_the_index_reach_the_trunk(branches):
    model = torch_model().requires_grad_(True)
    for detach in (True, False):
        reached = []

        def attend(inputs, detach=detach, reached=reached):
            index_q, _ = index_lanes(branches, inputs, detach=detach)
            reached.append(index_q.requires_grad)
            return attend_dense(inputs)

        model(random_ids(1, 5), attend)
        assert reached == [not detach] * LAYERS


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (torch.tensor([[0, VOCABULARY]]), f"takes tokens from 0 to {VOCABULARY - 1}"),
        (torch.tensor([[-1]]), "got -1 to -1"),
        (torch.tensor([1, 2]), r"takes integers \[B T\]"),
        (torch.tensor([[0.5]]), "torch.float32, takes integers"),
        (torch.zeros(1, 0, dtype=torch.long), "takes integers"),
        (torch.zeros(1, 601, dtype=torch.long), "got 601 tokens, takes at most 600 more"),
    ],
)
def test_bad_ids_are_refused(model, ids, message):
    with pytest.raises(ValueError, match=f"ids: .*{message}"):
        model(ids)


def test_a_full_cache_refuses_and_stays(model):
    cache = Cache(8)
    model(random_ids(1, 6), cache=cache)
    with pytest.raises(ValueError, match="got 3 tokens, takes at most 2 more"):
        model(random_ids(1, 3), cache=cache)
    assert cache.length == 6


def test_the_same_seed_makes_the_same_branches():
    one, same, other = (index_branch.new_branches(*SHAPE.values(), seed=s) for s in (5, 5, 6))
    weight = one[2].q_proj.weight
    assert torch.equal(weight, same[2].q_proj.weight)
    assert not torch.equal(weight, other[2].q_proj.weight)
    assert not torch.equal(weight, one[1].q_proj.weight)


@pytest.fixture
def files(branches, tmp_path):
    paths = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    index_branch.save_index(branches, paths)
    return paths


def test_an_index_comes_back_from_its_files(branches, files):
    loaded = index_branch.load_index(files, **SHAPE)
    for one, other in zip(branches.parameters(), loaded.parameters()):
        assert other.dtype == torch.float32
        assert torch.equal(one.half().float(), other)
    assert "layers.1.q_proj.weight" in load_file(files[0])
    assert list(load_file(files[1])) == [n for n in load_file(files[1]) if "layers.2." in n]


def test_bad_index_files_are_refused(branches, files, tmp_path):
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(files[0].read_bytes()[:-7])
    with pytest.raises(ValueError, match=r"cut.safetensors: got no whole safetensors file"):
        index_branch.load_index([cut, files[1]], **SHAPE)
    foreign = tmp_path / "foreign.safetensors"
    save_file(load_file(files[0]), foreign, {"format": "pt"})
    with pytest.raises(ValueError, match=r"foreign.safetensors: got pt of no model, takes msa_ref"):
        index_branch.load_index([foreign, files[1]], **SHAPE)
    with pytest.raises(FileNotFoundError, match=r"none.safetensors: no such file"):
        index_branch.load_index([tmp_path / "none.safetensors"], **SHAPE)
    with pytest.raises(
        ValueError, match=r"got none with layers.2.k_norm.weight, takes files of all"
    ):
        index_branch.load_index(files[:1], **SHAPE)
    with pytest.raises(ValueError, match=r"of shape \(16, 20\), takes shape \(24, 20\)"):
        index_branch.load_index(files, **SHAPE | {"num_kv_heads": 3})
    with pytest.raises(ValueError, match=r"layers.2.*takes no such tensor"):
        index_branch.load_index(files, **SHAPE | {"layers": 2})
    with torch.no_grad():
        branches[0].q_norm.weight[0] = torch.inf
    index_branch.save_index(branches, files)
    branches[0].q_norm.weight[0] = 0
    with pytest.raises(ValueError, match=r"numbers in layers.0.q_norm.weight that are not finite"):
        index_branch.load_index(files, **SHAPE)


def test_the_real_model_is_the_numpy_one(real):
    source, model = real
    ids = source.encode(data.load_text()["text"])[:200]
    got = model(torch.from_numpy(ids)[None])[0].numpy()
    assert got == pytest.approx(source.forward(ids), abs=2e-3)


@pytest.fixture(scope="module")
def topics(real):
    """Tokens of the beginning of Python's documentation topics; another Python may word them so."""
    import pydoc_data.topics

    text = "\n\n".join(pydoc_data.topics.topics.values())[:12_000]
    return real[0].encode(text, at_least=2048)


def test_the_real_model_reads_the_documentation(real, topics):
    """Perplexity falls as the model sees more. At 8,192 tokens it is 10.3, in a minute."""
    _, model = real
    ids = torch.from_numpy(topics[:2048])[None]
    logits = model.logits(model(ids)[0, :-1])
    nats = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none")
    short, long = math.exp(nats[:511].mean()), math.exp(nats.mean())
    assert (short, long) == pytest.approx((17.5, 11.9), rel=0.1)


def test_the_real_model_finds_a_needle(real, topics):
    """Beyond 2,048 tokens: densely, and on the 8 blocks of 128 with the highest scores."""
    source, model = real
    branches = index_branch.load_index().requires_grad_(False)
    hay = needles.make_haystacks(source.encode, topics, length=2200, count=1)
    ready = needles.Prefilled(model, branches, hay)
    assert ready.right(attend_dense).all()
    best = evaluate.SparseByRule(all_rules(branches)["max"], block_size=128, top_k=8)
    assert ready.right(best).all()
    last = evaluate.SparseByRule(all_rules(branches)["window"], block_size=128, top_k=2)
    assert not ready.right(last).any()
