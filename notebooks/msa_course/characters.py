"""Any text made visible: signs for control characters, and the token that has a character."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

TAB = "\N{RIGHTWARDS ARROW TO BAR}"
LINE_END = "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}"
ARROWS = {"\n": LINE_END, "\t": TAB}
SPACE = "\N{OPEN BOX}"
NO_GLYPH = "\N{WHITE VERTICAL RECTANGLE}"
CONTROL_PICTURES = 0x2400  # the sign of control character c stands at 0x2400 + c
DELETE, SIGN_OF_DELETE = "\x7f", "\N{SYMBOL FOR DELETE}"


def with_signs(text: str) -> str:
    """The text with a sign in place of every control character; spaces stay.

    Line ends and tabs are arrows, the others Unicode's control pictures (NUL is U+2400).
    """
    return "".join(map(_sign, text))


def _sign(character: str) -> str:
    if character in ARROWS:
        return ARROWS[character]
    if character < " ":
        return chr(CONTROL_PICTURES + ord(character))
    if character == DELETE:
        return SIGN_OF_DELETE
    return NO_GLYPH if unicodedata.category(character) == "Cc" else character


def owner(texts: Sequence[str], token: int) -> int:
    """The token that has this one's text: itself, or the first of those that share a character.

    In `texts` a character of several tokens stands in the first of them, the others have "".
    """
    while token and not texts[token]:
        token -= 1
    return token
