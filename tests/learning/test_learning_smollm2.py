"""The decoder in PyTorch against the NumPy one; cache, sparse attention and index files."""

import math

import numpy as np
import pytest
import torch
from learning_models import (
    HEAD_DIM,
    LAYERS,
    SHAPE,
    VOCABULARY,
    WIDTH,
    numpy_model,
    random_ids,
    torch_model,
)
from safetensors.torch import load_file, save_file

from msa_learning.attention.selection import Budget
from msa_learning.corpus import needles
from msa_learning.documentation import documentation_topics
from msa_learning.evaluate.block_scorers import all_scorers
from msa_learning.index.branch import IndexBranch, index_qk, index_selector, new_branches
from msa_learning.index.storage import FILES, load_index, save_index
from msa_learning.models.smollm2 import Cache, SmolLM2, SparseAttention, attend_dense
from msa_ref import data, smollm2


@pytest.fixture(scope="module")
def model():
    return torch_model()


@pytest.fixture(scope="module")
def branches():
    return new_branches(**SHAPE, seed=3).requires_grad_(False)


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


def sparse(branches, top_k):
    return SparseAttention(index_selector(branches), Budget(8, top_k))


def test_a_cache_changes_nothing(model, branches):
    ids = random_ids(2, 41)
    for attend in (attend_dense, sparse(branches, top_k=3)):
        whole, cache = model(ids, attend), Cache(41)
        parts = [model(part, attend, cache) for part in ids.split([17, 1, 23], dim=1)]
        assert torch.cat(parts, dim=1).numpy() == pytest.approx(whole.numpy(), abs=1e-4)
        assert cache.length == 41


def test_a_full_budget_is_dense_and_a_small_one_is_not(model, branches):
    ids = random_ids(1, 45)
    dense = model(ids).numpy()
    full = sparse(branches, top_k=6)
    small = sparse(branches, top_k=2)
    assert model(ids, full).numpy() == pytest.approx(dense, abs=1e-4)
    got = model(ids, small).numpy()
    assert got[:, :16] == pytest.approx(dense[:, :16], abs=1e-4)
    assert not np.allclose(got[:, 16:], dense[:, 16:], atol=1e-2)


def test_the_index_sees_the_input_of_the_q_projection(model):
    """A branch with the layer's own weights, norms undone, gives the layer's own q and k."""
    sizes, seen = model.sizes, []
    branch = IndexBranch(WIDTH, sizes.num_heads, HEAD_DIM)
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
            index_q, _ = index_qk(branches, inputs, detach=detach)
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
    one, same, other = (new_branches(**SHAPE, seed=s) for s in (5, 5, 6))
    weight = one[2].q_proj.weight
    assert torch.equal(weight, same[2].q_proj.weight)
    assert not torch.equal(weight, other[2].q_proj.weight)
    assert not torch.equal(weight, one[1].q_proj.weight)


@pytest.fixture
def folder(branches, tmp_path):
    save_index(branches, tmp_path, step=7)
    return tmp_path


def test_an_index_comes_back_from_its_files(branches, folder):
    loaded = load_index(folder, **SHAPE)
    for one, other in zip(branches.parameters(), loaded.parameters()):
        assert other.dtype == torch.float32
        assert torch.equal(one.half().float(), other)
    first, second = (load_file(folder / name) for name in FILES)
    assert "layers.1.q_proj.weight" in first
    assert all(name.startswith("layers.2.") for name in second)
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)


def test_a_cut_foreign_or_missing_index_file_is_refused(folder):
    first, whole = folder / FILES[0], (folder / FILES[0]).read_bytes()
    first.write_bytes(whole[:-7])
    with pytest.raises(ValueError, match=r"index_0.safetensors: got no whole safetensors file"):
        load_index(folder, **SHAPE)
    save_file({"x": torch.zeros(2)}, first, {"format": "pt"})
    with pytest.raises(ValueError, match=r"index_0.safetensors: got pt of no model, takes msa_ref"):
        load_index(folder, **SHAPE)
    first.unlink()
    with pytest.raises(FileNotFoundError, match=r"index_0.safetensors: no such file"):
        load_index(folder, **SHAPE)


def test_an_index_of_another_shape_is_refused(branches, folder):
    with pytest.raises(ValueError, match=r"of shape \(16, 20\), takes shape \(24, 20\)"):
        load_index(folder, **SHAPE | {"num_kv_heads": 3})
    with pytest.raises(ValueError, match=r"layers.2.*takes no such tensor"):
        load_index(folder, **SHAPE | {"layers": 2})
    with pytest.raises(ValueError, match=r"got none with layers.3.k_norm.weight, takes files of"):
        load_index(folder, **SHAPE | {"layers": 4})
    with torch.no_grad():
        branches[0].q_norm.weight[0] = torch.inf
    save_index(branches, folder, step=7)
    branches[0].q_norm.weight[0] = 0
    with pytest.raises(ValueError, match=r"numbers in layers.0.q_norm.weight that are not finite"):
        load_index(folder, **SHAPE)


def test_index_files_of_two_steps_do_not_load_together(branches, folder):
    first = (folder / FILES[0]).read_bytes()
    save_index(branches, folder, step=8)
    load_index(folder, **SHAPE)
    (folder / FILES[0]).write_bytes(first)
    with pytest.raises(ValueError, match=r"got index files of steps \['7', '8'\]"):
        load_index(folder, **SHAPE)


def test_an_index_file_with_a_flipped_bit_is_refused(folder):
    first = folder / FILES[0]
    whole = first.read_bytes()
    rng = np.random.default_rng(0)
    for place in [*range(0, 8 * 400, 37), *rng.integers(8 * len(whole), size=100)]:
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        first.write_bytes(flipped)
        with pytest.raises(ValueError, match=r"index_0\.safetensors: got"):
            load_index(folder, **SHAPE)


def test_the_real_model_is_the_numpy_one(real):
    source, model = real
    ids = source.encode(data.load_text()["text"])[:200]
    got = model(torch.from_numpy(ids)[None])[0].numpy()
    assert got == pytest.approx(source.forward(ids), abs=2e-3)


@pytest.fixture(scope="module")
def topics(real):
    """Tokens of the beginning of Python's documentation topics; another Python may word them so."""
    text = "\n\n".join(documentation_topics().values())[:12_000]
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
    branches = load_index().requires_grad_(False)
    hay = needles.make_haystacks(source.encode, topics, length=2200, count=1)
    ready = needles.Prefilled(model, branches, hay)
    assert ready.right(attend_dense).all()
    best = SparseAttention(all_scorers(branches)["max"].select, Budget(128, 8))
    assert ready.right(best).all()
    last = SparseAttention(all_scorers(branches)["window"].select, Budget(128, 2))
    assert not ready.right(last).any()
