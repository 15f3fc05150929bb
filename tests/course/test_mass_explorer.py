"""The mass explorer: its arrays, its words, its extremes."""

import numpy as np
import pytest

from msa_course import palette
from msa_course.attention_is_mostly_empty import mass_explorer, mass_explorer_figure, measure
from msa_ref import data, dense

FIRST = {"head": "layer 18 head 6", "position": 612, "block_size": 16, "top_k": 4}


def say(*setting):
    """The explorer's sentence at this setting."""
    return mass_explorer.describe(mass_explorer.compute(*setting))


@pytest.fixture(autouse=True)
def style():
    palette.use_style()


def test_heads_are_the_made_and_all_captured_ones():
    names = mass_explorer.head_names()
    assert len(set(names)) == 4 + 27
    assert names[:2] == ("flat (made)", "peaked (made)")
    assert names[-1] == "layer 18 head 8"


@pytest.mark.parametrize(("layer", "head", "position"), [(0, 0, 5), (11, 4, 300), (18, 8, 1023)])
def test_a_row_is_that_of_dense_attention(layer, head, position):
    q, k, _ = data.load_capture(layer)
    right = dense.attention_weights(q[:, :, : position + 1], k[:, :, : position + 1])[0]
    got = mass_explorer.attention_row(f"layer {layer} head {head}", position)
    assert got == pytest.approx(right[0, head, -1], abs=1e-5)


@pytest.mark.parametrize("head", mass_explorer.head_names()[::4])
@pytest.mark.parametrize(
    ("position", "block_size", "top_k"), [(63, 16, 1), (612, 32, 2), (612, 128, 16), (1023, 16, 9)]
)
def test_the_best_blocks_hold_what_is_said(head, position, block_size, top_k):
    mass = mass_explorer.compute(head, position, block_size, top_k)
    num_blocks = position // block_size + 1
    assert len(mass.block_mass) == num_blocks
    assert len(mass.chosen) == min(top_k, num_blocks)
    assert (np.diff(mass.chosen) > 0).all()
    assert mass.block_mass.sum() == pytest.approx(1)
    assert mass.block_mass[mass.chosen].sum() == pytest.approx(mass.captured)
    others = np.delete(mass.block_mass, mass.chosen)
    assert others.max(initial=0) <= mass.block_mass[mass.chosen].min()
    row = mass_explorer.attention_row(head, position)
    assert mass.by_keys == pytest.approx(np.sort(row)[-mass.tokens_read :].sum())
    assert mass.by_keys >= mass.captured - 1e-6
    assert np.sort(row)[-mass.keys_needed :].sum() >= 0.9
    assert mass.held[mass_explorer.head_names().index(head)] == pytest.approx(mass.captured)


def test_a_share_that_is_met_exactly_is_enough():
    assert measure.keys_needed(np.array([0.125, 0.5, 0.125, 0.25]), 0.75) == 2
    assert measure.keys_needed(np.array([0.25, 0.75]), 0.8) == 2


def test_made_heads_are_what_their_names_say():
    rows = {
        kind: mass_explorer.attention_row(f"{kind} (made)", 1023) for kind in mass_explorer.MADE
    }
    assert rows["flat"].max() < 0.01
    assert np.sort(rows["peaked"])[-5:].sum() > 0.8
    assert rows["sink"].argmax() == 0
    assert rows["needle"].argmax() == mass_explorer.NEEDLE
    best = mass_explorer.compute("needle (made)", 1023, 32, 1).chosen[0]
    assert best == mass_explorer.WARM_PASSAGE.start // 32
    scores = mass_explorer.made_scores("needle", 1023).reshape(-1, 32)
    block = mass_explorer.NEEDLE // 32
    assert scores.max(axis=1).argmax() == block
    assert scores.mean(axis=1).argmin() == block


def test_words_name_blocks_and_mass():
    text = say(*FIRST.values())
    assert "(0, 8, 14, 18) are 64 of 613 tokens and hold 97% of the attention" in text
    assert text.startswith("Layer 18 head 6, query 612 \u201csuite\u201d: ")


def test_white_space_is_made_visible():
    words = data.load_text()["words"]
    token = next(i for i, word in enumerate(words) if word == "\n")
    assert mass_explorer.spell(token) == f"{token} \u201c\u21b5\u201d"
    long = next(i for i, word in enumerate(words) if len(word.strip()) > 12)
    assert mass_explorer.spell(long).endswith("\u2026\u201d")


@pytest.mark.parametrize("position", [63, 1023])
@pytest.mark.parametrize("block_size", [16, 128])
def test_the_extremes_are_drawn(position, block_size):
    for head in ("flat (made)", "layer 18 head 8"):
        mass = mass_explorer.compute(head, position, block_size, 16)
        mass_explorer_figure.draw(mass).draw_without_rendering()
