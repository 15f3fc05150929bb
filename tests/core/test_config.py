"""Configurations: the presets' numbers, and what is refused."""

import dataclasses

import numpy as np
import pytest

from msa_ref import M2, M3, MSA_109B, TOY, ModelSpec, MSAConfig


def test_presets_are_the_published_shapes():
    paper = MSAConfig(64, 4, 128, 128, 128, 16, init_blocks=0, local_blocks=1)
    assert ModelSpec("MiniMax-M3", 60, 3, 6144, paper, 64, 4, 128) == M3
    assert ModelSpec("MSA 109B", 41, 0, 3072, paper, 64, 4, 128) == MSA_109B
    assert ModelSpec("MiniMax-M2", 62, 62, 3072, None, 48, 8, 128) == M2
    assert MSAConfig(8, 2, 16, 16, 16, 4, 0, 1) == TOY


def test_group_size_and_budget():
    assert M3.attention.group_size == 16
    assert M3.attention.budget == 2048
    assert MSAConfig(6, 3, 1, 1, 5, 7).group_size == 2
    assert MSAConfig(6, 3, 1, 1, 5, 7).budget == 35


def test_configs_are_frozen_and_compare_by_value():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TOY.top_k = 5
    assert dataclasses.replace(TOY, top_k=5) != TOY
    assert hash(dataclasses.replace(TOY)) == hash(TOY)


SIZES = ("num_heads", "num_kv_heads", "head_dim", "index_dim", "block_size", "top_k")


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("value", [0, -1])
def test_sizes_below_one_are_refused(name, value):
    with pytest.raises(ValueError, match=f"^{name}: got {value}, takes an integer of at least 1"):
        dataclasses.replace(TOY, **{name: value})


@pytest.mark.parametrize("name", ["init_blocks", "local_blocks"])
def test_forced_blocks_below_zero_are_refused(name):
    with pytest.raises(ValueError, match=f"^{name}: got -1, takes an integer of at least 0"):
        dataclasses.replace(TOY, **{name: -1})


@pytest.mark.without_shapes
@pytest.mark.parametrize("name", [*SIZES, "init_blocks", "local_blocks"])
@pytest.mark.parametrize("value", [2.0, "2", None, True, np.float64(2), np.uint32(2)])
def test_sizes_are_integers(name, value):
    with pytest.raises(TypeError, match=f"^{name}: got .*takes an integer"):
        dataclasses.replace(TOY, **{name: value})


def test_numpy_integers_are_integers():
    assert dataclasses.replace(TOY, top_k=np.int64(5)).budget == 80


def test_heads_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match=r"^num_kv_heads: got 3, takes a divisor of 8 heads"):
        dataclasses.replace(TOY, num_kv_heads=3)


def test_top_k_holds_the_forced_blocks():
    assert dataclasses.replace(TOY, top_k=3, init_blocks=1, local_blocks=2).top_k == 3
    with pytest.raises(ValueError, match=r"^top_k: got 2, takes at least the forced blocks"):
        dataclasses.replace(TOY, top_k=2, init_blocks=1, local_blocks=2)


@pytest.mark.parametrize("name", ["layers", "d_model", "num_heads", "num_kv_heads", "head_dim"])
def test_model_sizes_below_one_are_refused(name):
    with pytest.raises(ValueError, match=f"^{name}: got 0, takes an integer of at least 1"):
        dataclasses.replace(M2, **{name: 0})


@pytest.mark.parametrize(
    ("spec", "changes", "message"),
    [
        (M3, {"dense_layers": -1}, "dense_layers: got -1, takes an integer of at least 0"),
        (M3, {"dense_layers": 61}, "dense_layers: got 61, takes at most all 60 layers"),
        (M3, {"attention": None}, "attention: got None with 3 of 60 layers dense, takes None only"),
        (M3, {"num_heads": 32}, "attention: got heads .* takes"),
        (M3, {"head_dim": 64}, "attention: got heads .* takes"),
        (M2, {"num_kv_heads": 7}, "num_kv_heads: got 7, takes a divisor of 48 heads"),
    ],
)
def test_models_that_contradict_themselves_are_refused(spec, changes, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        dataclasses.replace(spec, **changes)


@pytest.mark.without_shapes
def test_a_model_takes_a_config_or_none():
    with pytest.raises(TypeError, match=r"^attention: got dict, takes an MSAConfig or None"):
        dataclasses.replace(M3, attention={})
    assert dataclasses.replace(M3, dense_layers=60, attention=None).attention is None
