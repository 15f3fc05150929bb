"""The mass explorer: how much of a query's attention the best k keys or blocks hold, and where."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from msa_ref import data, dense, selection

NUM_TOKENS = 1024
BLOCK_SIZES = (8, 16, 32, 64, 128)
MADE = ("flat", "peaked", "sink", "needle")
WARM_PASSAGE = slice(416, 448)
NEEDLE_BLOCK, NEEDLE = slice(704, 736), 717
LONGEST_NAME = 12


class Mass(NamedTuple):
    """Where one query's attention lies; the best k blocks by mass are `chosen`, ascending."""

    head: str
    position: int
    block_size: int
    weights: np.ndarray  # [S] of every visible key, summing to 1
    block_mass: np.ndarray  # [nb]
    chosen: np.ndarray  # block ids
    key_curve: np.ndarray  # [S + 1] mass of the best 0, 1, 2, ... keys
    block_curve: np.ndarray  # [nb + 1] mass of the best 0, 1, 2, ... blocks
    tokens_read: np.ndarray  # [nb + 1] tokens in the best 0, 1, 2, ... blocks


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
def _token_texts():
    return data.load_text()["words"]


@lru_cache(maxsize=64)
def compute(head: str, position: int, block_size: int, top_k: int) -> Mass:
    """The row's weights, its mass by block, and how both add up when the best come first."""
    weights = attention_row(head, position)
    row = weights[None, None, None]
    mass = selection.block_mass(row, num_kv_heads=1, block_size=block_size)
    chosen = selection.select_blocks(
        mass, top_k=top_k, block_size=block_size, num_keys=position + 1, local_blocks=0
    )[0, 0, 0]
    mass = mass[0, 0, 0]
    order = np.argsort(-mass, kind="stable")
    sizes = np.minimum(block_size, position + 1 - np.arange(len(mass)) * block_size)
    return Mass(
        head,
        position,
        block_size,
        weights,
        mass,
        chosen[chosen >= 0],
        np.append(0, np.cumsum(np.sort(weights)[::-1])),
        np.append(0, np.cumsum(mass[order])),
        np.append(0, np.cumsum(sizes[order])),
    )


def spell(token: int, head: str) -> str:
    """Name of a token: its number and, in a captured head, its word, white space made visible."""
    if head.endswith("(made)"):
        return f"{token}"
    word = _token_texts()[token]
    word = word.strip() or word.replace(" ", "\u2423").replace("\n", "\u21b5")
    short = word if len(word) <= LONGEST_NAME else word[: LONGEST_NAME - 1] + "\u2026"
    return f"{token} \u201c{short}\u201d"


def _count(number, thing):
    return f"{number} {thing}" + ("" if number == 1 else "s")


def describe(mass: Mass) -> str:
    """How much the best blocks hold, what the same number of keys would, and the heaviest token."""
    head, position = mass.head, mass.position
    kept = len(mass.chosen)
    read, captured = mass.tokens_read[kept], mass.block_curve[kept]
    heaviest = int(mass.weights.argmax())
    name = head[0].upper() + head[1:]
    ids = ", ".join(map(str, mass.chosen))
    blocks = f"best {kept} blocks are {ids}" if kept > 1 else f"best block is {ids}"
    return (
        f"{name}, query at token {spell(position, head)}. Of "
        f"{_count(len(mass.block_mass), 'visible block')} of {mass.block_size} tokens the "
        f"{blocks}: {read} of {_count(position + 1, 'token')} with {captured:.0%} of the attention "
        f"mass. As many keys picked one by one would hold {mass.key_curve[read]:.0%}. The "
        f"heaviest token is {spell(heaviest, head)} with {mass.weights[heaviest]:.0%}."
    )
