"""The layer in PyTorch against the NumPy layer and the golden files, forward and backward."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import ODD, make_layer, refused

from msa_learning.attention.layer import M3Attention
from msa_ref import MSAConfig

GOLDENS = sorted((Path(__file__).parents[1] / "goldens").glob("*.npz"))
TOLERANCE = 1e-4


@pytest.fixture(params=GOLDENS, ids=lambda path: path.stem)
def golden(request):
    with np.load(request.param) as stored:
        return {key: stored[key] for key in stored.files}


def build(golden):
    """The layer with the file's weights, in float32."""
    about = json.loads(str(golden["cfg_json"]))
    sizes = [about[key] for key in ("H", "G", "D", "Di", "blk", "k")]
    layer = M3Attention(
        MSAConfig(*sizes, local_blocks=about["local"]), about["hid"], rotary_dim=about["rot"]
    )
    weights = {key[2:]: torch.from_numpy(golden[key]) for key in golden if key.startswith("w.")}
    layer.load_state_dict(weights)
    return layer


def close(got, want):
    np.testing.assert_allclose(got.detach(), want, rtol=0, atol=TOLERANCE * max(1, abs(want).max()))


def test_output_and_selection_of_the_goldens(golden):
    layer = build(golden).eval()
    got = layer(torch.from_numpy(golden["hidden"]))
    np.testing.assert_allclose(got.out.detach(), golden["out"], rtol=0, atol=TOLERANCE)
    ids = golden["block_indices"]
    chosen = [sorted(row[row >= 0]) for row in ids.reshape(-1, ids.shape[-1])]
    ours = got.selection.flatten(0, 2).numpy()
    assert [row[row >= 0].tolist() for row in ours] == chosen
    assert got.kl is None


def test_warm_up_is_dense_attention(golden):
    got = build(golden)(torch.from_numpy(golden["hidden"]), warm_up=True)
    np.testing.assert_allclose(got.out.detach(), golden["dense_out"], rtol=0, atol=TOLERANCE)
    assert got.selection is None


def test_gradients_of_the_goldens(golden):
    """Those of sum(out * gout): the trunk's as they are kept, the index branch's none."""
    layer = build(golden)
    hidden = torch.from_numpy(golden["hidden"]).requires_grad_()
    (layer(hidden).out * torch.from_numpy(golden["gout"])).sum().backward()
    close(hidden.grad, golden["grad.hidden"])
    for name, weight in layer.named_parameters():
        if name.startswith("indexer."):
            assert weight.grad is None, name
            assert f"grad.{name}" not in golden
        else:
            close(weight.grad, golden[f"grad.{name}"])


@pytest.mark.parametrize("warm_up", [False, True])
def test_the_kl_reaches_the_index_branch_alone(golden, warm_up):
    layer = build(golden)
    hidden = torch.from_numpy(golden["hidden"]).requires_grad_()
    layer(hidden, warm_up=warm_up).kl.backward()
    assert hidden.grad is None
    for name, weight in layer.named_parameters():
        assert (weight.grad is not None) == name.startswith("indexer."), name


def test_output_of_the_numpy_layer():
    reference = make_layer()
    layer = M3Attention(ODD, 9, rotary_dim=4).double()
    layer.load_state_dict({n: torch.from_numpy(w) for n, w in reference.weights.items()})
    hidden = np.random.default_rng(1).standard_normal((2, 23, 9))
    want = reference(hidden)
    got = layer(torch.from_numpy(hidden))
    np.testing.assert_array_equal(got.selection, want.selection)
    np.testing.assert_allclose(got.out.detach(), want.out, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_keeps_the_dtype(dtype):
    got = M3Attention(ODD, 9, rotary_dim=4).to(dtype)(torch.randn(2, 23, 9, dtype=dtype))
    assert got.out.dtype == dtype
    assert got.kl.dtype == torch.float32


def test_hidden_states_that_do_not_fit_are_refused():
    layer = M3Attention(ODD, 9, rotary_dim=4)
    with refused(ValueError, "hidden", "(2, 23, 8)", "(2, 23, 9)"):
        layer(torch.zeros(2, 23, 8))
    with refused(TypeError, "hidden", "int64", "float tensor"):
        layer(torch.zeros(2, 23, 9).long())
