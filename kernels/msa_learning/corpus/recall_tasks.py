"""Recall tasks: real text in which facts and passages come again, to be recalled from far back.

Synthetic; `Config.recall_task_share` of the training mix. Names, phrasings and kinds of answers
differ from those of the needles that the evaluation hides (`msa_learning.corpus.needles`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Int

TASK_TOKENS = 8192
STRIDE = 64  # about so many tokens of new text between two things that come again
PASSAGE = 96  # the most tokens that are copied word for word
FACTS_SHARE = 0.6  # of what comes again; the rest are passages
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


def make_recall_task(
    encode: Callable[[str], Int[np.ndarray, " n"]],
    filler: Int[np.ndarray, " n"],
    rng: np.random.Generator,
) -> Int[np.ndarray, " n"]:
    """TASK_TOKENS tokens of real text; after every STRIDE a new fact, and something again.

    That is an old fact, or a passage copied. How far back it lies is drawn on a logarithmic
    scale: near and far alike.
    """
    start = rng.integers(len(filler) - TASK_TOKENS)
    facts, text = [], np.zeros(0, np.int64)
    while len(text) < TASK_TOKENS:
        stop = start + int(rng.integers(STRIDE // 2, STRIDE * 3 // 2))
        facts.append(encode("\n\n{}{}.\n\n".format(*make_fact(rng))))
        text = np.concatenate([text, filler[start:stop], facts[-1]])
        text = np.concatenate([text, filler[stop : stop + STRIDE // 2]])
        start = stop + STRIDE // 2
        if rng.random() < FACTS_SHARE:
            again = facts[-log_uniform(rng, len(facts))]
        else:
            first = max(0, len(text) - PASSAGE - log_uniform(rng, len(text)))
            again = text[first : first + int(rng.integers(PASSAGE // 3, PASSAGE))]
        text = np.concatenate([text, again])
    return text[:TASK_TOKENS]


def log_uniform(rng: np.random.Generator, most: int) -> int:
    """A whole number from 1 to `most`, small and large ones alike."""
    return min(most, int(np.exp(rng.uniform(0, np.log(most + 1)))))
