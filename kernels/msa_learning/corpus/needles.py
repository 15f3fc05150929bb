"""Numbers hidden in a long text, and whether the model recalls them on selected blocks.

The context is prefilled once with dense attention; question and answer then run on selected blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from msa_learning.corpus.cities import CITIES
from msa_learning.corpus.tokens import check_text
from msa_learning.index.branch import index_qk
from msa_learning.models.smollm2 import Cache, SmolLM2, attend_dense

if TYPE_CHECKING:
    from jaxtyping import Bool, Int
    from torch import Tensor, nn

    from msa_learning.models.smollm2 import Attend

SEED = 2026
TAIL = 24  # tokens kept free for question and answer


class Haystacks(NamedTuple):
    """Needles of one length: contexts [n,C] and `tail` [n,L], question and answer, right-padded.

    `answers` [n,L] is True at the rows of the tail that predict a token of the answer.
    """

    contexts: Int[Tensor, "n C"]
    tail: Int[Tensor, "n L"]
    answers: Bool[Tensor, "n L"]


def make_haystacks(
    encode: Callable[[str], Int[np.ndarray, " n"]],
    filler: Int[np.ndarray, " n"],
    *,
    length: int,
    count: int,
) -> Haystacks:
    """`count` needles at random depths of random stretches of `filler`, `length` tokens in all.

    City, number, depth and stretch depend on SEED, `length` and the needle's place alone.
    """
    check_text("filler", filler, length, 1 << 16)
    contexts, tails = [], np.zeros((count, TAIL), np.int64)
    answers = np.zeros((count, TAIL), bool)
    for place in range(count):
        rng = np.random.default_rng([SEED, length, place])
        city, number = CITIES[place % len(CITIES)], int(rng.integers(10_000, 100_000))
        sentence = f"\n\nThe special magic number for {city} is"
        needle = encode(f"{sentence} {number}.\n\n")
        question, answer = encode(sentence), encode(f" {number}")
        room = length - TAIL - len(needle)
        start = int(rng.integers(len(filler) - room))
        depth = int(room * rng.uniform(0.05, 0.95))
        stretch = filler[start : start + room].astype(np.int64)
        contexts.append(np.concatenate([stretch[:depth], needle, stretch[depth:]]))
        both = np.concatenate([question, answer])
        tails[place, : len(both)] = both
        answers[place, len(question) - 1 : len(both) - 1] = True
    return Haystacks(*map(torch.from_numpy, (np.stack(contexts), tails, answers)))


class Prefilled:
    """Haystacks whose contexts are in a cache, index keys included, ready to be asked."""

    def __init__(self, model: SmolLM2, branches: nn.ModuleList, hay: Haystacks):
        device = model.token_embd.weight.device
        self.model, self.hay = model, Haystacks(*(tensor.to(device) for tensor in hay))
        self.cache = Cache(hay.contexts.shape[1] + TAIL)

        def attend(inputs):
            index_qk(branches, inputs)
            return attend_dense(inputs)

        with torch.no_grad():
            model(self.hay.contexts, attend, self.cache)

    @torch.no_grad()
    def right(self, attend: Attend) -> Bool[Tensor, " n"]:
        """Whether every answer token is the most likely one, given the true ones before it."""
        self.cache.length = self.hay.contexts.shape[1]
        hidden = self.model(self.hay.tail, attend, self.cache)
        likeliest = self.model.logits(hidden[:, :-1]).argmax(dim=-1)
        hits = likeliest == self.hay.tail[:, 1:]
        return (hits | ~self.hay.answers[:, :-1]).all(dim=1)
