"""Text as readers paste it: signs for what cannot be seen, and a box for what no font has."""

import pytest

from msa_course.characters import NO_GLYPH, owner, with_signs
from msa_course.explorer import new_figure, to_png
from msa_course.fonts import drawable, families

SAMPLES = {
    "tab": "a\tb",
    "control": "\x00\x07\x1b[0m\x7f\x85",
    "chinese": "\u4f60\u597d\uff0c\u4e16\u754c",
    "emoji": "\U0001f600 \U0001f469\u200d\U0001f52c",
    "hebrew": "\u05e9\u05dc\u05d5\u05dd",
    "arabic": "\u0645\u0631\u062d\u0628\u0627",
    "mathematics": "$x^2$ and \\$",
}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a b", "a b"),
        ("a\nb", "a\u21b5b"),
        ("\t\x00\x1b", "\u21e5\u2400\u241b"),
        ("\x7f\x85", "\u2421" + NO_GLYPH),
        ("\u4f60\u05e9", "\u4f60\u05e9"),
    ],
)
def test_control_characters_are_signs_and_all_others_stay(text, shown):
    assert with_signs(text) == shown


def test_a_part_of_a_character_belongs_to_the_token_that_has_it():
    texts = ["", "a", "\u4f60", "", "", "b"]
    assert [owner(texts, token) for token in range(6)] == [0, 1, 2, 2, 2, 5]


@pytest.mark.parametrize("text", SAMPLES.values(), ids=SAMPLES)
def test_any_text_is_drawn_without_a_missing_glyph(text):
    """A missing glyph warns, and warnings are errors here."""
    shown = drawable(text)
    assert len(shown) == len(text)
    fig = new_figure(3, 1)
    fig.text(0.1, 0.5, shown, fontfamily=families(), parse_math=False)
    assert to_png(fig).startswith(b"\x89PNG")


def test_what_the_font_has_stays_as_it_is():
    text = "abc \u21b5\u21e5 \u05e9\u05dc \u0645\u0631"
    assert drawable(text) == text
