"""Recall drills: facts put into real text and asked for later, so that looking back pays off.

A tenth of the training mix. Names, phrasings and kinds of answers are others than those of the
needles that the evaluation hides (`msa_ref.learning.needles`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Int

DRILL_TOKENS = 8192
STRIDE = 160  # about so many tokens of real text between a fact and a question
NAMES = [
    "Amira",
    "Bruno",
    "Chloe",
    "Dmitri",
    "Elena",
    "Farid",
    "Greta",
    "Hugo",
    "Ines",
    "Jonas",
    "Kenji",
    "Leila",
    "Marta",
    "Nadia",
    "Omar",
    "Petra",
    "Quinn",
    "Rosa",
    "Stefan",
    "Tomas",
    "Ursula",
    "Viktor",
    "Wanda",
    "Xavier",
    "Yusuf",
    "Zelda",
]
THINGS = [
    "locker",
    "parcel",
    "invoice",
    "ticket",
    "cabin",
    "engine",
    "sample",
    "bicycle",
    "telescope",
    "greenhouse",
    "library",
    "submarine",
    "violin",
    "lantern",
    "compass",
    "ledger",
    "antenna",
]
WORDS = [
    "amber",
    "birch",
    "cobalt",
    "dahlia",
    "ember",
    "fjord",
    "garnet",
    "hazel",
    "indigo",
    "jasper",
    "krill",
    "lotus",
    "maple",
    "nickel",
    "opal",
    "pepper",
    "quartz",
    "raven",
    "saffron",
    "topaz",
    "umber",
    "velvet",
    "willow",
    "yarrow",
    "zinc",
]
# Each fact is a beginning, which is asked again, and what follows it.
BEGINNINGS = (
    "The code of {name}'s {thing} reads",
    "Remember that {name} keeps the {thing} under",
    "{name} wrote on the {thing}:",
    "Registration of the {thing} owned by {name}:",
    "# {thing} of {name} =",
)


def make_fact(rng: np.random.Generator) -> tuple[str, str]:
    """A beginning like "The code of Marta's locker reads" and the answer that completes it."""
    name, thing = rng.choice(NAMES), rng.choice(THINGS)
    beginning = rng.choice(BEGINNINGS).format(name=name, thing=thing)
    kind = rng.integers(3)
    if kind == 0:
        return beginning, f" {rng.integers(10 ** rng.integers(2, 6))}"
    if kind == 1:
        return beginning, " " + " ".join(rng.choice(WORDS, size=rng.integers(1, 4)))
    return beginning, f" {rng.choice(WORDS)}-{rng.integers(1000)}"


def make_drill(
    encode: Callable[[str], Int[np.ndarray, " n"]],
    filler: Int[np.ndarray, " n"],
    rng: np.random.Generator,
) -> Int[np.ndarray, " n"]:
    """DRILL_TOKENS tokens of real text with a new fact, then an old one again, every STRIDE.

    How far back the repeated fact lies is drawn on a logarithmic scale: near and far alike.
    """
    start = rng.integers(len(filler) - DRILL_TOKENS)
    pieces, facts, length = [], [], 0
    while length < DRILL_TOKENS:
        stop = start + int(rng.integers(STRIDE // 2, STRIDE * 3 // 2))
        facts.append(make_fact(rng))
        back = int(np.exp(rng.uniform(0, np.log(len(facts))))) if rng.random() < 0.9 else 1
        new, old = facts[-1], facts[-min(back, len(facts))]
        pieces += [filler[start:stop], encode(f"\n\n{new[0]}{new[1]}.\n\n")]
        pieces += [filler[stop : stop + STRIDE // 2], encode(f"\n\n{old[0]}{old[1]}.\n\n")]
        start = stop + STRIDE // 2
        length = sum(map(len, pieces))
    return np.concatenate(pieces)[:DRILL_TOKENS]
