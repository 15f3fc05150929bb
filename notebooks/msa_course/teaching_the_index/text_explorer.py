"""The text explorer: the blocks that a trained index picks in real text, lit up in the text."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from msa_course.characters import SPACE, owner, with_signs
from msa_course.teaching_the_index.outcomes import Outcome, judge, visible_blocks
from msa_ref import data

if TYPE_CHECKING:
    pass

LONGEST_EXCERPT = 86
LONGEST_WORD = 14


class Choice(NamedTuple):
    """What one query of one group chose, what would have been best, and what each block holds."""

    reading: data.TextTrace
    position: int
    layer: int
    group: int
    top_k: int
    all_queries: np.ndarray  # uint8 [T, nb] outcome of every block for every query
    outcome: np.ndarray  # uint8 [nb]
    mass: np.ndarray  # [nb], sums to 1
    chosen: np.ndarray  # ids, ascending
    best: np.ndarray  # ids, ascending
    missed: np.ndarray  # ids, the heaviest first

    @property
    def captured(self) -> float:
        """Share of the attention mass in the chosen blocks."""
        return float(self.mass[self.chosen].sum())

    @property
    def captured_by_best(self) -> float:
        """Share in as many of the best blocks."""
        return float(self.mass[self.best].sum())


@cache
def shipped() -> data.TextTrace:
    """The text that comes with the package."""
    return data.load_text_trace()


def outcomes(*, layer: int, group: int, top_k: int, reading: data.TextTrace | None = None):
    """Outcome [T, nb] of every block for every query of one layer and group."""
    reading = shipped() if reading is None else reading
    place = reading.layers.tolist().index(layer)
    chosen, best = (ranks[place, group] < top_k for ranks in (reading.rank, reading.mass_rank))
    return judge(chosen, best, visible_blocks(len(chosen), reading.block_size))


def compute(
    *, position: int, layer: int, group: int, top_k: int, reading: data.TextTrace | None = None
) -> Choice:
    """The choice of the query at `position`."""
    reading = shipped() if reading is None else reading
    place = reading.layers.tolist().index(layer)
    all_queries = outcomes(layer=layer, group=group, top_k=top_k, reading=reading)
    row = all_queries[position]
    mass = reading.mass[place, group, position]
    missed = np.flatnonzero(row == Outcome.MISSED)
    return Choice(
        reading,
        position,
        layer,
        group,
        top_k,
        all_queries,
        row,
        mass,
        np.flatnonzero(np.isin(row, (Outcome.HIT, Outcome.EXTRA))),
        np.flatnonzero(np.isin(row, (Outcome.HIT, Outcome.MISSED))),
        missed[np.argsort(-mass[missed], kind="stable")],
    )


def excerpt(block: int, reading: data.TextTrace) -> str:
    """The beginning of a block's text on one line."""
    first = block * reading.block_size
    text = "".join(reading.words[first : first + reading.block_size])
    line = with_signs(" ".join(text.split()))
    return line if len(line) <= LONGEST_EXCERPT else f"{line[: LONGEST_EXCERPT - 1]}…"


def spell(position: int, reading: data.TextTrace) -> str:
    """A token's number and its text, or the character of which it is a part."""
    whole = owner(reading.words, position)
    word = reading.words[whole]
    word = with_signs(word.strip() or word.replace(" ", SPACE))
    short = word if len(word) <= LONGEST_WORD else word[: LONGEST_WORD - 1] + "…"
    return f"{position} {'part of ' * (whole != position)}“{short}”"


def part_of(position: int, reading: data.TextTrace) -> str:
    """The part of the text in which a token stands."""
    return reading.parts[int(np.searchsorted(reading.part_starts, position, side="right")) - 1]


def describe(now: Choice) -> str:
    """What the query chose, what that holds, what the best would hold, and the heaviest missed."""
    reading, position, top_k = now.reading, now.position, now.top_k
    own = position // reading.block_size
    who = (
        f"Layer {now.layer}, group {now.group}, query at token {spell(position, reading)} "
        f"(in: {part_of(position, reading)})"
    )
    if len(now.chosen) == own + 1:
        return f"{who} sees {own + 1} of k = {top_k} blocks and reads them all."
    ids = ", ".join(map(str, now.chosen))
    said = (
        f"{who} reads {len(now.chosen)} of {own + 1} blocks: {ids}. They hold {now.captured:.0%} "
        f"of its attention; the best {len(now.best)} would hold {now.captured_by_best:.0%}. "
    )
    if not len(now.missed):
        return f"{said}Nothing was missed."
    heaviest = ", ".join(f"{block} ({now.mass[block]:.1%})" for block in now.missed[:3])
    return f"{said}Missed: block {heaviest}{' and more' if len(now.missed) > 3 else ''}."
