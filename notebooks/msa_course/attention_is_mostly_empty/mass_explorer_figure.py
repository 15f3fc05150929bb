"""The mass explorer, drawn and alive: every head's share in the best k blocks, and one head's
blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from msa_course import live
from msa_course.attention_is_mostly_empty import figures
from msa_course.attention_is_mostly_empty.mass_explorer import (
    BLOCK_SIZES,
    ENOUGH,
    MAX_BLOCKS,
    POSITIONS,
    Mass,
    attention_row,
    block_mass,
    compute,
    describe,
    head_names,
    spell,
)
from msa_course.attention_is_mostly_empty.measure import held_by_best, keys_needed

MODULE = Path(__file__).with_name("mass_explorer.mjs")


def draw(mass: Mass) -> Figure:
    """All heads as bars of the mass that their best blocks hold; the blocks of the one chosen."""
    return figures.heads_and_blocks(
        head_names(), mass.held, mass.head, mass.block_mass, mass.chosen, mass.block_size
    )


def stored() -> dict:
    """What the explorer needs, for every head and every query of POSITIONS in turn.

    `mass_roots` are the fourth roots of the smallest blocks' mass, or blocks of next to no mass
    would seem alike. `keys` is the mass of the best n keys, for n at every
    multiple of the smallest block, and again for n beyond such a multiple by what the last block
    has; so whatever blocks are read, their number of tokens is there.
    """
    smallest = BLOCK_SIZES[0]
    mass, keys, needed = [], [], []
    for head in head_names():
        for position in POSITIONS:
            row = attention_row(head, position)
            held = np.append(0, held_by_best(row))
            whole = np.arange(0, position + 2, smallest)
            ragged = np.arange((position + 1) % smallest, position + 2, smallest)
            mass.append(block_mass(head, position, smallest))
            keys += [held[whole], held[ragged]]
            needed.append(keys_needed(row, ENOUGH))
    return {
        "heads": list(head_names()),
        "positions": list(POSITIONS),
        "names": [spell(position) for position in POSITIONS],
        "sizes": list(BLOCK_SIZES),
        "most": MAX_BLOCKS,
        "mass_roots": live.quantise(np.concatenate(mass) ** 0.25),
        "keys": live.quantise(np.concatenate(keys)),
        "needed": live.pack(np.array(needed, dtype=np.uint16)),
    }


def explorer(
    head: str = "layer 18 head 6", position: int = 612, block_size: int = 32, top_k: int = 4
) -> None:
    """Displays the explorer, opened at these settings; a picture where scripts do not run."""
    opening = {"head": head, "position": position, "block_size": block_size, "top_k": top_k}
    mass = compute(**opening)
    live.show_live(MODULE, stored() | {"opening": opening}, draw(mass), describe(mass))
