"""The explorer of one row of attention: its stored picture, and the live one over it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from msa_course import live, palette
from msa_course.dense_attention.attention_rows import (
    MASKS,
    TEMPERATURES,
    Rows,
    compute,
    describe,
    head_scores,
)
from msa_course.dense_attention.figures import draw_matrix, settled
from msa_course.dense_attention.sentence import HEADS, WORDS
from msa_course.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MODULE = Path(__file__).with_name("attention_rows.mjs")
OPENING = {"query": 6, "head": HEADS[0], "temperature": 1, "mask": MASKS[0]}


def draw(rows: Rows) -> Figure:
    """The triangle of weights with one row framed, and that row's weights as bars."""
    fig = new_figure(9, 3.9)
    triangle, bars = fig.subplots(1, 2, width_ratios=[1, 1.1])
    draw_matrix(triangle, WORDS, np.where(rows.visible, rows.weights, np.nan), 1, frame=rows.query)
    triangle.set_ylabel("query")
    triangle.set_title(f"Head {rows.head} Every query's weights")
    shares = rows.weights[rows.query]
    drawn = bars.bar(range(len(WORDS)), shares, color=palette.CHOSEN)
    bars.bar_label(drawn, [f"{share:.2f}" for share in shares], size=9)
    bars.set_xticks(range(len(WORDS)), WORDS, rotation=50, ha="right")
    bars.set(ylim=(0, 1.1), ylabel="weight")
    bars.set_title(f"Row \u201c{WORDS[rows.query]}\u201d: sum {rows.sums[rows.query]:.2f}")
    return settled(fig)


def payload() -> dict:
    """What the live explorer works with: the words, and both heads' scores at temperature 1."""
    scores = np.array([head_scores(head) for head in HEADS], dtype=np.float32)
    names = {"words": WORDS, "heads": HEADS, "masks": MASKS, "temperatures": TEMPERATURES}
    return {**names, "opening": OPENING, "scores": live.pack(scores)}


def explorer() -> None:
    """Shows the explorer of one row: words to click, head, temperature and mask to choose."""
    rows = compute(**OPENING)
    live.show_live(MODULE, payload(), draw(rows), describe(rows))
