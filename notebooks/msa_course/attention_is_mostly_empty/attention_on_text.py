"""Attention on text: which words of a real text a query reads, and what its best k blocks hold."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from msa_course.characters import LINE_END, SPACE
from msa_ref import data, dense, selection

HEADS = {"look-up": (18, 6), "local": (11, 1), "sink": (18, 8), "spread": (0, 2)}
NUM_TOKENS = 640
BLOCK_SIZES = (32, 64, 128)
MAX_BLOCKS = 16
NUM_HEAVIEST = 5
SHADED = 0.01  # words below this share stay white


class Reading(NamedTuple):
    """What one query reads: its weights, the mass of every block, and the best k blocks."""

    head: str
    position: int
    block_size: int
    weights: np.ndarray  # [S] of every visible key, adding up to 1
    mass: np.ndarray  # [nb]
    chosen: np.ndarray  # block ids, ascending
    captured: float  # share of the attention in the chosen blocks
    heaviest: np.ndarray  # tokens with the highest weights, heaviest first
    heaviest_weights: np.ndarray


def words() -> list[str]:
    """The tokens of the text, one string per token."""
    return _text()[:NUM_TOKENS]


@lru_cache
def _text():
    return data.load_text()["words"]


@lru_cache
def attention(head: str) -> np.ndarray:
    """Weights [T, S] of one head over the whole text, 0 where a token is not seen yet."""
    layer, h = HEADS[head]
    q, k, _ = data.load_capture(layer)
    group = h * k.shape[1] // q.shape[1]
    q, k = q[:, h : h + 1, :NUM_TOKENS], k[:, group : group + 1, :NUM_TOKENS]
    return dense.attention_weights(q, k)[0][0, 0].astype(np.float64)


def shown(word: str) -> str:
    """The word as a reader sees it: line ends and lone spaces as signs, no space around it."""
    return word.strip() or (LINE_END if "\n" in word else SPACE)


def compute(head: str, position: int, block_size: int, top_k: int) -> Reading:
    """The query's weights, the mass of its blocks, the best `top_k` of them and what they hold."""
    weights = attention(head)[position, : position + 1]
    row = weights[None, None, None]
    mass = selection.block_mass(row, num_kv_heads=1, block_size=block_size)
    sizes = {"block_size": block_size, "num_keys": position + 1, "local_blocks": 0}
    chosen = selection.select_blocks(mass, top_k=top_k, **sizes)
    heaviest = np.argsort(-weights, kind="stable")[:NUM_HEAVIEST]
    return Reading(
        head,
        position,
        block_size,
        weights,
        mass[0, 0, 0],
        chosen[0, 0, 0][chosen[0, 0, 0] >= 0],
        float(selection.captured_mass(chosen, mass)[0, 0, 0]),
        heaviest,
        weights[heaviest],
    )


def describe(reading: Reading) -> str:
    """Who asks, which blocks are lit, what they hold, and the heaviest word."""
    layer, h = HEADS[reading.head]
    ids = ", ".join(map(str, reading.chosen))
    top = int(reading.heaviest[0])
    return (
        f"Layer {layer}, head {h} ({reading.head}), query {reading.position} "
        f"\u201c{shown(_text()[reading.position])}\u201d: of {len(reading.mass)} blocks of "
        f"{reading.block_size} tokens it reads {len(reading.chosen)} ({ids}), with "
        f"{reading.captured:.0%} of its attention. The heaviest word is {top} "
        f"\u201c{shown(_text()[top])}\u201d with {reading.heaviest_weights[0]:.0%}."
    )
