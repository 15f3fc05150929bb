"""Text in figures: fonts for scripts the default font lacks, and a box where no font has them."""

from __future__ import annotations

from functools import cache

from matplotlib import font_manager

from msa_course.characters import NO_GLYPH, with_signs

DEFAULT = "DejaVu Sans"
# Free fonts that are often installed, tried in this order for what the default font lacks.
FALLBACKS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "WenQuanYi Zen Hei",
    "Noto Sans",
    "Noto Sans Hebrew",
    "Noto Sans Arabic",
    "Noto Sans Devanagari",
    "Noto Emoji",
    "Symbola",
    "Unifont",
)


@cache
def families() -> tuple[str, ...]:
    """The default font and the installed ones of FALLBACKS, for a text's `fontfamily`."""
    installed = set(font_manager.get_font_names())
    return (DEFAULT, *(name for name in FALLBACKS if name in installed))


@cache
def _glyphs() -> frozenset[int]:
    """Code points that at least one of the families can show."""
    found = set()
    for family in families():
        path = font_manager.findfont(family, fallback_to_default=False)
        found |= font_manager.get_font(path).get_charmap().keys()
    return frozenset(found)


def drawable(text: str) -> str:
    """The text as the families can show it: control characters as signs, the rest as it is.

    A character that no installed font has is replaced by an empty box.
    """
    return "".join(
        character if ord(character) in _glyphs() else NO_GLYPH for character in with_signs(text)
    )
