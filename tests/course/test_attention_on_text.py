"""Attention on text: its arrays, its words, and what is stored for the page."""

import base64

import numpy as np
import pytest

from msa_course import live
from msa_course.attention_is_mostly_empty import attention_on_text, attention_on_text_figure
from msa_ref import data, dense

OPENING = {"head": "look-up", "position": 612, "block_size": 32, "top_k": 4}


@pytest.mark.parametrize(("head", "layer_and_head"), attention_on_text.HEADS.items())
@pytest.mark.parametrize(("position", "block_size", "top_k"), [(0, 32, 1), (612, 128, 3)])
def test_a_reading_is_that_of_dense_attention(head, layer_and_head, position, block_size, top_k):
    layer, h = layer_and_head
    q, k, _ = data.load_capture(layer)
    right = dense.attention_weights(q[:, :, : position + 1], k[:, :, : position + 1])[0][0, h, -1]
    got = attention_on_text.compute(head, position, block_size, top_k)
    assert got.weights == pytest.approx(right, abs=1e-5)
    assert got.mass.sum() == pytest.approx(1, abs=1e-5)
    assert got.captured == pytest.approx(np.sort(got.mass)[::-1][:top_k].sum())
    assert (np.diff(got.chosen) > 0).all()
    assert got.heaviest[0] == right.argmax()
    assert (np.diff(got.heaviest_weights) <= 0).all()


def test_words_name_query_blocks_and_the_heaviest_word():
    said = attention_on_text.describe(attention_on_text.compute(**OPENING))
    assert "query 612 \u201csuite\u201d: of 20 blocks of 32 tokens it reads 4 (0, 4, 6, 7)" in said
    assert "(0, 4, 6, 7), with 97% of its attention" in said
    assert said.endswith("235 \u201cand\u201d with 88%.")


def values(packed):
    """The numbers of a packed array."""
    kind = {"u16": "<u2", "i32": "<i4", "f32": "<f4", "u8": "u1"}[packed["type"]]
    raw = np.frombuffer(base64.b64decode(packed["data"]), dtype=kind)
    return raw * packed.get("step", 1) + packed.get("offset", 0)


def test_what_is_stored_is_computed():
    stored = attention_on_text_figure.stored()
    counts, tokens, weights = (values(stored[name]) for name in ("counts", "tokens", "weights"))
    heads, row = list(attention_on_text.HEADS), 2 * attention_on_text.NUM_TOKENS + 300
    right = attention_on_text.compute(heads[2], 300, 32, 1)
    start = int(counts[:row].sum())
    own = slice(start, start + int(counts[row]))
    assert tokens[own].tolist()[:5] == right.heaviest.tolist()
    assert weights[own] == pytest.approx(right.weights[tokens[own].astype(int)], abs=2**-16)
    rest = np.delete(right.weights, tokens[own].astype(int))
    assert rest.max(initial=0) < attention_on_text.SHADED
    assert len(live.html(attention_on_text_figure.MODULE, stored)) < 300_000


@pytest.mark.parametrize("position", [0, 1, 612, 639])
def test_any_query_is_drawn(position):
    reading = attention_on_text.compute("spread", position, 32, 2)
    attention_on_text_figure.draw(reading).draw_without_rendering()
