"""A head that looks something up, and what four rules would have let it read.

The head is layer 18, head 6 of SmolLM2 over the shipped text; heads 6, 7 and 8 share one KV head.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from msa_ref import data, dense

if TYPE_CHECKING:
    from jaxtyping import Float

LAYER, HEADS, KV_HEAD = 18, (6, 7, 8), 2
BLOCK_SIZE = 32
RULES = ("mean key", "min/max bound", "max score", "exact mass")
JOINS = ("head 6 alone", "highest of heads 6, 7, 8", "mean of heads 6, 7, 8")
# Tokens at which head 6 looks something up far away; at some of them the mean key does well.
QUERIES = (332, 483, 548, 567, 577, 594, 612, 800, 850, 903)
MAX_TOP_K = 8


class Guess(NamedTuple):
    """What one rule reads for one query, and whether it finds what the head looks up."""

    query: int
    rule: str
    join: str
    top_k: int
    scores: Float[np.ndarray, " nb"]
    mass: Float[np.ndarray, " nb"]  # of head 6
    chosen: np.ndarray  # block ids, ascending
    target: int  # the token that head 6 reads most
    rank: int  # of the target's block by the rule's scores, from 1
    kept: float  # head 6's attention in the chosen blocks


@cache
def load() -> tuple[np.ndarray, np.ndarray]:
    """Queries [3, T, d] of the three heads and keys [S, d] that they share, float64."""
    q, k, _ = data.load_capture(LAYER)
    return q[0, HEADS[0] : HEADS[-1] + 1].astype(float), k[0, KV_HEAD].astype(float)


def attention_row(query: int, head: int = 0) -> Float[np.ndarray, " S"]:
    """Weights of the query over the tokens up to it, for one of the three heads."""
    q, k = load()
    return dense.softmax_lse(k[: query + 1] @ q[head, query] / np.sqrt(k.shape[1]))[0]


def rule_scores(rule: str, q: np.ndarray, k: np.ndarray, block_size: int) -> np.ndarray:
    """Score [nb] that a rule gives every block, for one query [d] and its visible keys [S, d]."""
    starts = np.arange(0, len(k), block_size)
    if rule == "mean key":
        sizes = np.diff(np.append(starts, len(k)))
        return np.add.reduceat(k, starts) / sizes[:, None] @ q
    if rule == "min/max bound":
        highest, lowest = np.maximum.reduceat(k, starts), np.minimum.reduceat(k, starts)
        return highest @ np.maximum(q, 0) + lowest @ np.minimum(q, 0)
    if rule == "max score":
        return np.maximum.reduceat(k @ q, starts)
    weights, _ = dense.softmax_lse(k @ q / np.sqrt(k.shape[1]))
    return np.add.reduceat(weights, starts)


def head_scores(query: int, rule: str) -> Float[np.ndarray, "3 nb"]:
    """The rule's score of every block for each of the three heads, as float32 holds it."""
    q, k = load()
    rows = [rule_scores(rule, q[h, query], k[: query + 1], BLOCK_SIZE) for h in range(3)]
    return np.float32(rows).astype(float)


def compute(query: int, rule: str, join: str, top_k: int) -> Guess:
    """The best `top_k` blocks by a rule whose scores of three heads become one by `join`."""
    each = head_scores(query, rule)
    scores = {JOINS[0]: each[0], JOINS[1]: each.max(axis=0), JOINS[2]: each.mean(axis=0)}[join]
    order = np.argsort(-scores, kind="stable")
    chosen = np.sort(order[:top_k])
    mass = head_scores(query, RULES[3])[0]
    target = int(attention_row(query).argmax())
    rank = int(np.flatnonzero(order == target // BLOCK_SIZE)[0]) + 1
    return Guess(
        query, rule, join, top_k, scores, mass, chosen, target, rank, float(mass[chosen].sum())
    )


def spell(token: int) -> str:
    """A token in quotes, its white space made visible."""
    word = data.load_text()["words"][token]
    return (
        "\u201c" + (word.strip() or word.replace("\n", "\u21b5").replace(" ", "\u2423")) + "\u201d"
    )


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, 21st."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number // 10 == 1 else ending}"


def describe(guess: Guess) -> str:
    """What is read, how much of the head's attention that is, and whether the token is in it."""
    blocks, found = len(guess.scores), guess.rank <= guess.top_k
    ids = ", ".join(map(str, guess.chosen))
    return (
        f"At token {guess.query} {spell(guess.query)} the {guess.rule} rule reads "
        f"block{'s' if len(guess.chosen) > 1 else ''} {ids}: {guess.kept:.0%} of head 6\u2019s "
        f"attention. Token {guess.target} {spell(guess.target)}, which the head looks up, is "
        f"{'read' if found else 'NOT read'}: its block {guess.target // BLOCK_SIZE} comes "
        f"{ordinal(guess.rank)} of {blocks}."
    )
