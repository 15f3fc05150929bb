"""The mass explorer: the arrays behind the picture, its words, its extremes, its liveliness."""

import numpy as np
import pytest

from msa_course import palette
from msa_course.attention_is_mostly_empty import mass_explorer
from msa_ref import data, dense

PNG = b"\x89PNG"
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
    ("position", "block_size", "top_k"), [(0, 8, 1), (99, 32, 2), (1023, 8, 9)]
)
def test_the_best_blocks_hold_what_the_curve_says(head, position, block_size, top_k):
    mass = mass_explorer.compute(head, position, block_size, top_k)
    num_blocks = position // block_size + 1
    kept = min(top_k, num_blocks)
    assert len(mass.weights) == position + 1
    assert len(mass.block_mass) == num_blocks
    assert len(mass.chosen) == kept
    assert (np.diff(mass.chosen) > 0).all()
    assert mass.block_mass.sum() == pytest.approx(1)
    assert mass.block_mass[mass.chosen].sum() == pytest.approx(mass.block_curve[kept])
    others = np.delete(mass.block_mass, mass.chosen)
    assert others.max(initial=0) <= mass.block_mass[mass.chosen].min()
    assert mass.tokens_read[-1] == position + 1
    assert (mass.key_curve[mass.tokens_read] >= mass.block_curve - 1e-6).all()


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


def test_words_name_blocks_mass_and_token():
    text = say(*FIRST.values())
    assert "best 4 blocks are 0, 8, 14, 18" in text
    assert "64 of 613 tokens with 97% of the attention mass" in text
    assert "235 \u201cand\u201d with 88%" in text
    first = say("flat (made)", 0, 8, 3)
    assert "1 visible block of 8 tokens the best block is 0: 1 of 1 token with 100%" in first


def test_white_space_is_made_visible():
    words = data.load_text()["words"]
    token = next(i for i, word in enumerate(words) if word == "\n")
    assert mass_explorer.spell(token, "layer 0 head 0") == f"{token} \u201c\u21b5\u201d"
    long = next(i for i, word in enumerate(words) if len(word.strip()) > 12)
    assert mass_explorer.spell(long, "layer 0 head 0").endswith("\u2026\u201d")
    assert mass_explorer.spell(7, "flat (made)") == "7"
