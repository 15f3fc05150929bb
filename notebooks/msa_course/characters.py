"""Text that any reader may paste, made visible: signs for control characters, whole characters."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LINE_END = "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}"
SPACE = "\N{OPEN BOX}"
NO_GLYPH = "\N{WHITE VERTICAL RECTANGLE}"
UNKNOWN = "\N{REPLACEMENT CHARACTER}"
CONTROL_PICTURES = 0x2400  # the sign of control character c stands at 0x2400 + c
DELETE, SIGN_OF_DELETE = "\x7f", "\N{SYMBOL FOR DELETE}"
MOST_TOKENS = 8  # of the byte tokens that make up one character


def with_signs(text: str) -> str:
    """The text with a sign in place of every control character; spaces stay.

    A line's end is an arrow, the others have Unicode's control pictures (a tab is U+2409).
    """
    return "".join(map(_sign, text))


def _sign(character: str) -> str:
    if character == "\n":
        return LINE_END
    if character < " ":
        return chr(CONTROL_PICTURES + ord(character))
    if character == DELETE:
        return SIGN_OF_DELETE
    return NO_GLYPH if unicodedata.category(character) == "Cc" else character


def token_texts(decode: Callable[[Sequence[int]], str], ids: Sequence[int]) -> list[str]:
    """The text of each token; where several make up a character, the first has all of it.

    The others of them have "". `decode(ids)` gives U+FFFD for bytes that are no whole character,
    and so do tokens of a text that breaks off within one.
    """
    texts: list[str] = []
    while len(texts) < len(ids):
        first = len(texts)
        for stop in range(first + 1, min(first + MOST_TOKENS, len(ids)) + 1):
            text = decode(ids[first:stop])
            if UNKNOWN not in text:
                texts += [text] + [""] * (stop - first - 1)
                break
        else:
            texts.append(decode(ids[first : first + 1]))
    return texts


def owner(texts: Sequence[str], token: int) -> int:
    """The token that has the text of this one: itself, or the one that has its whole character."""
    while token and not texts[token]:
        token -= 1
    return token
