"""The captured attention, and the scores that the needle experiment compares."""

import json
import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from msa_learning.evaluate import needle_numpy as needle
from msa_learning.evaluate.intervals import wilson
from msa_learning.index.storage import load_index
from msa_ref import data, dense, selection
from msa_ref.data import checksums

LAYERS = [0, 11, 18]
MEGABYTE = 2**20


def weights(layer):
    q, k, _ = data.load_capture(layer)
    return dense.attention_weights(q, k)[0][0]


@pytest.fixture(scope="module")
def record():
    return data.load_record("needle_smollm2")


def test_every_record_is_found_by_its_name():
    for name in ("decode_cpu", "h200", "learning", "lessons", "needle_smollm2"):
        assert data.load_record(name)
    with pytest.raises(ValueError, match=r"name: got 'h20', takes one of \['decode_cpu', 'h200'"):
        data.load_record("h20")


@pytest.mark.parametrize("layer", LAYERS)
def test_a_capture_is_one_layer_of_the_model(layer):
    q, k, v = data.load_capture(layer)
    assert q.shape == (1, 9, 1024, 64)
    assert k.shape == v.shape == (1, 3, 1024, 64)
    assert {q.dtype, k.dtype, v.dtype} == {np.dtype(np.float32)}
    assert np.isfinite(q).all()
    assert np.isfinite(k).all()
    assert np.isfinite(v).all()


def test_the_hidden_states_are_one_row_per_token():
    hidden = data.load_hidden()
    assert hidden.shape == (1024, 576)
    assert hidden.dtype == np.float32
    assert np.isfinite(hidden).all()


@pytest.mark.parametrize("layer", [0, 14, 15, 29])
def test_index_weights_are_those_of_the_trained_branches(layer):
    branch = load_index()[layer]
    weights = data.load_index_weights(layer)
    for name, kept in zip(weights._fields, weights):
        np.testing.assert_array_equal(kept, getattr(branch, name).weight.detach().numpy())


@pytest.mark.without_shapes
@pytest.mark.parametrize(("layer", "error"), [(30, ValueError), (-1, ValueError), ("0", TypeError)])
def test_an_index_of_no_layer_is_refused(layer, error):
    with pytest.raises(error, match="layer: got"):
        data.load_index_weights(layer)


def test_the_layers_are_the_stored_ones():
    assert data.captured_layers() == LAYERS


@pytest.mark.without_shapes
@pytest.mark.parametrize(("layer", "error"), [(1, ValueError), (-1, ValueError), ("0", TypeError)])
def test_any_other_layer_is_refused(layer, error):
    with pytest.raises(error, match="layer: got"):
        data.load_capture(layer)


def test_the_words_are_the_text():
    text = data.load_text()
    assert len(text["words"]) == 1024
    assert "".join(text["words"]) == text["text"]
    assert text["topics"] == ["for", "while", "break", "continue", "with"]


def test_every_file_is_small_and_its_licence_named():
    folder = files("msa_ref.data")
    readme = (folder / "README.md").read_text(encoding="utf-8")
    for path in folder.iterdir():
        if path.name.startswith("smollm2"):
            assert path.stat().st_size < 5 * MEGABYTE
            assert path.name in readme
    assert "Apache-2.0" in readme
    assert "Python Software Foundation License" in readme


def test_the_checksums_are_those_of_the_files():
    listed = json.loads((files("msa_ref.data") / data.CHECKSUMS).read_text(encoding="utf-8"))
    assert listed == checksums.make_checksums()
    assert {path.suffix for path in map(Path, listed)} == {".npz", ".safetensors", ".json"}
    assert len(listed) >= 9


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the shipped files' folder, and the package reading from it."""
    for path in checksums.FOLDER.iterdir():
        if path.is_file():
            shutil.copy(path, tmp_path)
    monkeypatch.setattr(data, "files", lambda _: tmp_path)
    return tmp_path


LOADERS = {
    "smollm2_layer_11.npz": lambda: data.load_capture(11),
    "smollm2_hidden_18.npz": data.load_hidden,
    "smollm2_text.json": data.load_text,
    "smollm2_learning.npz": data.load_snapshots,
    "smollm2_explorer.npz": data.load_text_trace,
    "m3_layer.npz": lambda: data.load_arrays("m3_layer.npz"),
    "smollm2_index_0.safetensors": load_index,
    "smollm2_index_1.safetensors": load_index,
}


@pytest.mark.parametrize("name", LOADERS)
def test_a_shipped_file_with_a_flipped_bit_is_refused(copied, name):
    path = copied / name
    whole = path.read_bytes()
    LOADERS[name]()
    flips = 2 if LOADERS[name] is load_index else 12  # it makes 30 branches each time
    for place in np.random.default_rng(1).integers(8 * len(whole), size=flips):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        with pytest.raises(ValueError, match=rf"{name}: got other contents than its checksum"):
            LOADERS[name]()


def test_a_file_that_does_not_ship_is_refused():
    with pytest.raises(ValueError, match=r"name: got 'x.npz', takes one of \['m3_layer.npz'"):
        data.read_file("x.npz")


def test_heads_have_the_characters_that_the_lesson_tells_of():
    rows = slice(256, None)
    flat, local, late = weights(0)[0, rows], weights(11)[1, rows], weights(18)
    best = -np.sort(-flat, axis=-1)
    assert best[:, :16].sum(axis=-1).mean() < 0.2
    near = np.array([row[max(0, t - 15) : t + 1].sum() for t, row in enumerate(local, 256)])
    assert near.mean() > 0.9
    assert late[8, rows, 0].mean() > 0.99
    assert late[6, 612].argmax() == 235
    assert data.load_text()["words"][235] == " and"


@pytest.fixture
def arrays():
    rng = np.random.default_rng(3)
    return rng.normal(size=(1, 6, 5, 8)), rng.normal(size=(1, 2, 45, 8))


def test_scores_by_each_rule_are_what_they_say(arrays):
    q, k = arrays
    row, head, block = 4, 3, 2
    tokens = slice(16, 24)
    dots = k[0, 1, tokens] @ q[0, head, row]
    keys = k[0, 1, tokens]
    bound = np.maximum(q[0, head, row] * keys.max(0), q[0, head, row] * keys.min(0)).sum()
    mass = dense.attention_weights(q, k)[0][0, head, row, tokens].sum()
    right = {"mean key": dots.mean(), "max score": dots.max()}
    right |= {"min/max bound": bound, "exact mass": mass}
    for rule, score in needle.RULES.items():
        assert score(q, k, 8).shape == (1, 6, 5, 6)
        assert score(q, k, 8)[0, head, row, block] == pytest.approx(right[rule])


def test_the_bound_is_one(arrays):
    q, k = arrays
    exact, bound = needle.max_scores(q, k, 8), needle.bound_scores(q, k, 8)
    mean = needle.mean_key_scores(q, k, 8)
    assert (bound[..., :5] >= exact[..., :5] - 1e-12).all()
    assert (exact[..., :5] >= mean[..., :5] - 1e-12).all()


@pytest.mark.parametrize("rule", needle.RULES)
@pytest.mark.parametrize("join", needle.JOINS)
def test_first_and_local_block_are_forced(arrays, rule, join):
    q, k = arrays
    chosen = needle.choose_blocks(rule, join, q, k, block_size=8, top_k=3)
    assert chosen.shape == (1, 2, 5, 3)
    assert (chosen[..., 0] == 0).all()
    assert (chosen[..., -1] == 5).all()


def test_joins_differ_in_whom_they_hear():
    q = np.array([[[[9.0]], [[-9.0]]]])
    k = np.array([0.0, 0.1, 1.0, -0.1, 0.0])[None, None, :, None]
    one, all_heads = (
        needle.choose_blocks("max score", join, q, k, block_size=1, top_k=3)
        for join in ("max", "mean")
    )
    assert one.tolist() == [[[[0, 2, 4]]]]
    assert all_heads.tolist() == [[[[0, 1, 4]]]]  # the two cancel; the lower id wins the tie


@pytest.mark.parametrize(
    ("right", "of", "low", "high"),
    [(0, 30, 0.0, 0.114), (30, 30, 0.886, 1.0), (15, 30, 0.332, 0.668), (5, 5, 0.566, 1.0)],
)
def test_wilson(right, of, low, high):
    assert wilson(right, of) == pytest.approx([low, high], abs=1e-3)


def test_the_record_is_consistent(record):
    first, *rows = record["rows"]
    assert first["rule"] == "dense"
    assert len(rows) == len(needle.BUDGETS) * len(needle.RULES) * len(needle.JOINS)
    for row in rows:
        assert row["of"] == len(row["which"]) == len(record["needles"]) >= 30
        assert row["right"] == row["which"].count("1")
        assert row["interval"] == wilson(row["right"], row["of"])
        assert 0 < row["mass"] < 1


def test_the_rule_decides_and_not_the_mass(record):
    """What lesson 03 says of the record."""
    rows = {(r["rule"], r["join"], r["block_size"]): r for r in record["rows"][1:]}
    found, lost = rows["max score", "max", 32], rows["mean key", "mean", 128]
    assert found["mass"] < lost["mass"]
    assert found["interval"][0] > lost["interval"][1]


def test_captured_mass_of_a_rule_is_at_most_the_oracles(arrays):
    q, k = arrays
    mass = selection.block_mass(
        dense.attention_weights(q, k)[0], num_kv_heads=k.shape[1], block_size=8
    )
    best = needle.choose_blocks("exact mass", "mean", q, k, block_size=8, top_k=3)
    for rule in needle.RULES:
        chosen = needle.choose_blocks(rule, "mean", q, k, block_size=8, top_k=3)
        held = selection.captured_mass(chosen, mass)
        assert (held <= selection.captured_mass(best, mass) + 1e-12).all()
