"""Data of a text explorer: every query's blocks in the index's order and by mass.

python -m msa_learning.evaluate.explorer_data --tokens build/tokens --out build/smollm2_explorer.npz
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from msa_learning.arguments import new_parser
from msa_learning.attention.selection import best_blocks, block_scores, selection_mask
from msa_learning.corpus.tokens import load_tokens
from msa_learning.evaluate.recall import block_mass
from msa_learning.index.branch import index_qk
from msa_learning.index.storage import load_index
from msa_learning.models.smollm2 import AttentionInput, SmolLM2, attend_dense
from msa_ref import smollm2

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from jaxtyping import Int

BLOCK_SIZE = 32
LAYERS = (0, 4, 8, 11, 14, 18, 22, 28)
# Held-out text of three kinds, so many tokens of each from its beginning, joined by nothing.
PARTS = {"held_topics": 768, "held_prose": 384, "held_code": 384}
NAMES = ("Python's documentation", "the King James Bible", "Python's standard library")
IN_FUTURE = 255
CONTINUATION = bytes(range(0x80, 0xC0))  # what every byte of a UTF-8 character is but the first


def token_texts(source: smollm2.SmolLM2, ids: Iterable[int]) -> list[str]:
    """The text of each token; joined they are the text that was encoded."""
    return whole_characters([token_bytes(source.vocabulary[i]) for i in ids])


def token_bytes(token: str) -> bytes:
    """The bytes of a vocabulary entry, in which each character stands for one byte."""
    return bytes(byte_alphabet()[character] for character in token)


@cache
def byte_alphabet() -> dict[str, int]:
    """The byte of every character of GPT-2's alphabet.

    A printable byte is the character of its number; the others are numbered from 256 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in printable]
    byte_of = {chr(byte): byte for byte in printable}
    return byte_of | {chr(0x100 + n): byte for n, byte in enumerate(others)}


def whole_characters(pieces: Sequence[bytes]) -> list[str]:
    """The characters that begin in each piece of a UTF-8 text; joined they are the text.

    A character of several pieces stands in the first of them; a piece in which none begins is
    empty. A last character that is cut off becomes U+FFFD. Pieces that begin within a character:
    ValueError.
    """
    texts, rest = [], b""
    for piece in reversed(pieces):
        begun = piece.lstrip(CONTINUATION)
        texts.append((begun + rest).decode(errors="replace") if begun else "")
        rest = piece[: len(piece) - len(begun)] + (b"" if begun else rest)
    if rest:
        raise ValueError(f"pieces: got {rest!r} first, takes the beginning of a character")
    return texts[::-1]


def trace_text(
    model: SmolLM2,
    branches: nn.ModuleList,
    ids: Int[np.ndarray, " T"],
    layers: Sequence[int] = LAYERS,
) -> dict[str, np.ndarray]:
    """`rank` and `mass_rank` uint8 [L,Hkv,T,nb], `mass` float16: arrays of the given layers.

    A rank is a block's place in the order of the index's scores, or of the dense mass: the local
    block is 0, a block in the future is IN_FUTURE. A budget of k selects rank < k.
    """
    kept: dict[int, list] = {}
    num_blocks = -(-len(ids) // BLOCK_SIZE)

    def ranks(scores):
        sizes = {"block_size": BLOCK_SIZE, "num_keys": len(ids)}
        ranked = np.full(scores.shape[1:], IN_FUTURE, np.uint8)
        for top_k in range(num_blocks, 0, -1):
            chosen = best_blocks(scores, top_k=top_k, **sizes)
            mask = selection_mask(chosen, num_blocks)[0].cpu().numpy()
            ranked[mask] = top_k - 1
        return ranked

    def attend(inputs: AttentionInput):
        if inputs.layer in layers:
            index = block_scores(*index_qk(branches, inputs), block_size=BLOCK_SIZE)
            mass = block_mass(inputs.q, inputs.k, block_size=BLOCK_SIZE)
            halves = mass[0].cpu().numpy().astype(np.float16)
            kept[inputs.layer] = [ranks(index), ranks(mass), halves]
        return attend_dense(inputs)

    device = model.token_embd.weight.device
    with torch.no_grad():
        model(torch.from_numpy(ids.astype(np.int64))[None].to(device), attend)
    arrays = zip(*(kept[layer] for layer in layers))
    return {name: np.stack(a) for name, a in zip(("rank", "mass_rank", "mass"), arrays)}


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    return new_parser(__doc__, "tokens", "index", "out")


def main() -> None:
    """Write the explorer's arrays."""
    arguments = parser().parse_args()
    tokens, _ = load_tokens(arguments.tokens)
    source = smollm2.SmolLM2()
    branches = load_index(arguments.index).requires_grad_(False)
    ids = np.concatenate([tokens[name][:count] for name, count in PARTS.items()])
    np.savez_compressed(
        arguments.out,
        words=np.array(token_texts(source, ids)),
        parts=np.array(NAMES),
        part_starts=np.cumsum([0, *PARTS.values()])[:-1].astype(np.int32),
        layers=np.array(LAYERS, np.int32),
        block_size=BLOCK_SIZE,
        **trace_text(SmolLM2.from_gguf(source), branches, ids),
    )


if __name__ == "__main__":
    main()
