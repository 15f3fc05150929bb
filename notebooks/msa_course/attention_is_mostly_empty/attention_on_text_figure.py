"""Attention on text, drawn and alive: a page whose words are shaded by weight."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from msa_course import live
from msa_course.attention_is_mostly_empty import figures
from msa_course.attention_is_mostly_empty.attention_on_text import (
    BLOCK_SIZES,
    HEADS,
    MAX_BLOCKS,
    NUM_HEAVIEST,
    NUM_TOKENS,
    SHADED,
    Reading,
    attention,
    compute,
    describe,
    words,
)

MODULE = Path(__file__).with_name("attention_on_text.mjs")


def draw(reading: Reading) -> Figure:
    """The whole text: chosen blocks lit, the others dark, words shaded by weight."""
    return figures.page_of_text(
        words(), reading.weights, reading.chosen, reading.block_size, shaded=SHADED
    )


def stored() -> dict:
    """What the explorer needs: the words, and per head the mass of its smallest blocks and the
    words of at least SHADED, heaviest first.

    Masses are stored as their fourth roots, or blocks of next to no mass would seem alike.
    """
    smallest = BLOCK_SIZES[0]
    mass, counts, tokens, weights = [], [], [], []
    for head in HEADS:
        rows = attention(head)
        in_blocks = np.add.reduceat(rows, np.arange(0, NUM_TOKENS, smallest), axis=-1)
        for position, row in enumerate(rows):
            row = row[: position + 1]
            kept = max(min(NUM_HEAVIEST, len(row)), int((row >= SHADED).sum()))
            order = np.argsort(-row, kind="stable")[:kept]
            mass.append(in_blocks[position, : position // smallest + 1])
            counts.append(kept)
            tokens.append(order)
            weights.append(row[order])
    return {
        "words": words(),
        "heads": [[name, layer, h] for name, (layer, h) in HEADS.items()],
        "sizes": list(BLOCK_SIZES),
        "most": MAX_BLOCKS,
        "mass_roots": live.quantise(np.concatenate(mass) ** 0.25),
        "counts": live.pack(np.array(counts, dtype=np.uint16)),
        "tokens": live.pack(np.concatenate(tokens).astype(np.uint16)),
        "weights": live.quantise(np.concatenate(weights)),
    }


def explorer(
    head: str = "look-up", position: int = 612, block_size: int = 32, top_k: int = 4
) -> None:
    """Displays the explorer, opened at these settings; a picture where scripts do not run."""
    opening = {"head": head, "position": position, "block_size": block_size, "top_k": top_k}
    reading = compute(**opening)
    live.show_live(MODULE, stored() | {"opening": opening}, draw(reading), describe(reading))
