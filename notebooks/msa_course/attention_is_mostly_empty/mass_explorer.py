"""The mass explorer: how much of a query's attention the best k blocks hold, in every head."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from msa_course.attention_is_mostly_empty.measure import held_by_best, keys_needed
from msa_ref import data, dense, selection

POSITIONS = (63, 127, 255, 383, 511, 612, 767, 1023)
BLOCK_SIZES = (16, 32, 64, 128)
MAX_BLOCKS = 16
MADE = ("flat", "peaked", "sink", "needle")
WARM_PASSAGE = slice(416, 448)
NEEDLE_BLOCK, NEEDLE = slice(704, 736), 717
LONGEST_NAME = 12
ENOUGH = 0.9


class Mass(NamedTuple):
    """Where one query's attention lies, and how much of it the best k blocks hold."""

    head: str
    position: int
    block_size: int
    block_mass: np.ndarray  # [nb]
    chosen: np.ndarray  # ids of the best blocks, ascending
    tokens_read: int  # tokens in them
    captured: float  # mass in them
    by_keys: float  # mass of as many keys, the best ones, picked one by one
    keys_needed: int  # keys, best first, that hold ENOUGH of the mass
    held: np.ndarray  # [31] mass in the best blocks of every head, in the order of head_names()


def head_names() -> tuple[str, ...]:
    """Every head to choose from: four made by hand, then those captured from the model."""
    real = [f"layer {layer} head {h}" for layer in data.captured_layers() for h in range(9)]
    return (*(f"{kind} (made)" for kind in MADE), *real)


def made_scores(kind: str, position: int) -> np.ndarray:
    """Scores of a head made by hand for the query at `position`: noise, and what its name says.

    The needle head has one loud token in a block that is otherwise the quietest, and elsewhere a
    passage of 32 tokens that are all a little warm.
    """
    rng = np.random.default_rng([MADE.index(kind), position])
    scores = 0.5 * rng.normal(size=position + 1)
    if kind == "peaked":
        scores[rng.integers(position + 1, size=5)] += 8
    elif kind == "sink":
        scores[0] += 8
    elif kind == "needle":
        scores[WARM_PASSAGE] += 4
        scores[NEEDLE_BLOCK] -= 3
        scores[NEEDLE : NEEDLE + 1] = 7
    return scores


@lru_cache(maxsize=1024)
def attention_row(head: str, position: int) -> np.ndarray:
    """Weights [position + 1] of one query of one head."""
    if head.endswith("(made)"):
        weights, _ = dense.softmax_lse(made_scores(head.split()[0], position))
        return weights
    _, layer, _, h = head.split()
    q, k, _ = _load_layer(int(layer))
    group = int(h) * k.shape[1] // q.shape[1]
    one, seen = slice(position, position + 1), slice(0, position + 1)
    query = q[:, int(h) : int(h) + 1, one]
    weights, _ = dense.attention_weights(query, k[:, group : group + 1, seen])
    return weights[0, 0, 0].astype(np.float64)


@lru_cache
def _load_layer(layer):
    return data.load_capture(layer)


@lru_cache
def token_texts() -> list[str]:
    """The text's tokens."""
    return data.load_text()["words"]


def block_mass(head: str, position: int, block_size: int) -> np.ndarray:
    """Mass [nb] of every block that the query sees."""
    row = attention_row(head, position)[None, None, None]
    return selection.block_mass(row, num_kv_heads=1, block_size=block_size)[0, 0, 0]


def _held(head, position, block_size, top_k):
    return held_by_best(block_mass(head, position, block_size))[:top_k][-1]


def compute(head: str, position: int, block_size: int, top_k: int) -> Mass:
    """The mass of every block, the best `top_k` blocks, and what they hold in every head."""
    mass = block_mass(head, position, block_size)
    sizes = {"block_size": block_size, "num_keys": position + 1, "local_blocks": 0}
    chosen = selection.select_blocks(mass[None, None, None], top_k=top_k, **sizes)[0, 0, 0]
    chosen = chosen[chosen >= 0]
    read = int(np.minimum(block_size, position + 1 - chosen * block_size).sum())
    row = attention_row(head, position)
    return Mass(
        head,
        position,
        block_size,
        mass,
        chosen,
        read,
        float(mass[chosen].sum()),
        float(held_by_best(row)[read - 1]),
        keys_needed(row, ENOUGH),
        np.array([_held(name, position, block_size, top_k) for name in head_names()]),
    )


def spell(token: int) -> str:
    """Name of a token: its number and its word, white space made visible."""
    word = token_texts()[token]
    word = word.strip() or word.replace(" ", "\u2423").replace("\n", "\u21b5")
    short = word if len(word) <= LONGEST_NAME else word[: LONGEST_NAME - 1] + "\u2026"
    return f"{token} \u201c{short}\u201d"


def describe(mass: Mass) -> str:
    """How much the best blocks hold, and what the same number of keys would."""
    kept, count = len(mass.chosen), len(mass.block_mass)
    ids = ", ".join(map(str, mass.chosen))
    return (
        f"{mass.head[0].upper()}{mass.head[1:]}, query {spell(mass.position)}: the best {kept} of "
        f"{count} blocks of {mass.block_size} tokens ({ids}) are {mass.tokens_read} of "
        f"{mass.position + 1} tokens and hold {mass.captured:.0%} of the attention. As many keys "
        f"picked one by one would hold {mass.by_keys:.0%}. For 90% this query needs "
        f"{mass.keys_needed} keys."
    )
