"""The explorer of guessing rules: its stored picture, and the live one over it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from msa_course import live, palette
from msa_course.figures import new_figure
from msa_course.which_blocks import guess
from msa_course.which_blocks.figures import BUG, BUG_INK, one_line, settled
from msa_ref import data

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MODULE = Path(__file__).with_name("guess.mjs")
OPENING = {"query": 577, "rule": guess.RULES[0], "join": guess.JOINS[0], "top_k": 4}


def draw(state: guess.Guess) -> Figure:
    """Every block's score by the rule, the chosen ones filled, and where the head really looks."""
    fig = new_figure(9, 3.4)
    top, bottom = fig.subplots(2, 1, sharex=True)
    blocks, target = np.arange(len(state.scores)), state.target // guess.BLOCK_SIZE
    chosen = np.isin(blocks, state.chosen)
    faces = np.where(chosen, palette.CHOSEN, palette.VISIBLE)
    low = min(state.scores.min() - 0.05 * np.ptp(state.scores), 0)
    top.bar(blocks, state.scores - low, bottom=low, color=faces)
    top.set_ylabel("score")
    title = f"{state.rule}: the best {state.top_k} of {len(blocks)} blocks are filled"
    top.set_title(title, size=10)
    bottom.bar(blocks, state.mass, color=faces)
    if not chosen[target]:
        bottom.patches[target].set(facecolor="white", edgecolor=BUG, hatch="////")
    words = data.load_text()["words"]
    text = one_line(words[state.target : state.target + 1])
    ink = palette.INK if chosen[target] else BUG_INK
    read = "read" if chosen[target] else "not read"
    where = (target + 0.6, state.mass[target] * 0.85)
    bottom.text(*where, f"\u201c{text}\u201d: {read}", color=ink, va="top")
    bottom.set(ylabel="mass", xlabel="block of 32 tokens", xticks=blocks)
    bottom.set_title(f"Where the head looks from \u201c{words[state.query].strip()}\u201d", size=10)
    return settled(fig)


def payload() -> dict:
    """Words, and for each query three heads' scores by every rule and head 6's weights."""
    num_queries, num_blocks = len(guess.QUERIES), max(guess.QUERIES) // guess.BLOCK_SIZE + 1
    scores = np.full((num_queries, len(guess.RULES), 3, num_blocks), -np.inf, dtype=np.float32)
    weights = np.zeros((num_queries, num_blocks * guess.BLOCK_SIZE))
    for i, query in enumerate(guess.QUERIES):
        weights[i, : query + 1] = guess.attention_row(query)
        for r, rule in enumerate(guess.RULES):
            rows = guess.head_scores(query, rule)
            scores[i, r, :, : rows.shape[1]] = rows
    return {
        "words": data.load_text()["words"][: max(guess.QUERIES) + 2],
        "queries": guess.QUERIES,
        "rules": guess.RULES,
        "joins": guess.JOINS,
        "block_size": guess.BLOCK_SIZE,
        "max_top_k": guess.MAX_TOP_K,
        "opening": OPENING,
        "scores": live.pack(scores),
        "weights": live.quantise(weights),
    }


def explorer() -> None:
    """Shows the explorer: a query, a rule, how heads are joined, and k; blocks open by a click."""
    state = guess.compute(**OPENING)
    live.show_live(MODULE, payload(), draw(state), guess.describe(state))
