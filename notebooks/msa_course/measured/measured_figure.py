"""Pictures of a GPU's record: dense, MSA and the bound as bars, and MSA's pieces."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msa_course import palette
from msa_course.explorer import Explorer, choice, new_figure
from msa_course.measured.measured import (
    INDEX_BYTES,
    NAMES,
    NOT_TIMED,
    SELECTIONS,
    Bars,
    cases,
    compute,
    describe,
    number,
    shipped_rows,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOOKS = {
    "score": (palette.VISIBLE, ""),
    "select": (palette.LINES[3], "xx"),
    "plan": (palette.LINES[2], ".."),
    "attend": (palette.CHOSEN, ""),
    "combine": (palette.FORCED, palette.FORCED_HATCH),
    NOT_TIMED: (palette.HIDDEN, "--"),
}
BOUND_STYLE = {"color": palette.INK, "linewidth": 2}
MARGINS = {"left": 0.17, "right": 0.97, "top": 0.93, "bottom": 0.1, "hspace": 0.62}


def draw_totals(ax: Axes, bars: Bars) -> None:
    """Dense, MSA and the bound as three bars."""
    scale, unit = bars.case.scale
    amounts = {"bound": bars.bound, "MSA": bars.total}
    if bars.dense is not None:
        amounts[f"dense\n({NAMES[bars.dense_impl]})"] = bars.dense
    colours = [palette.INK, palette.CHOSEN, palette.GREY]
    times = [scale * ms for ms in amounts.values()]
    drawn = ax.barh(list(amounts), times, color=colours[: len(times)])
    ax.bar_label(drawn, [f" {number(time)}" for time in times])
    ax.set(xlim=(0, 1.15 * max(times)), xlabel=f"time of one layer ({unit})")


def draw_pieces(ax: Axes, bars: Bars) -> None:
    """A bar for every piece, and a line across it where its own bound is."""
    scale, unit = bars.case.scale
    for place, (piece, ms) in enumerate(bars.pieces.items()):
        colour, hatch = LOOKS[piece]
        ax.barh(place, scale * ms, color=colour, hatch=hatch, edgecolor="white", linewidth=0)
        ax.text(scale * ms, place, f"  {number(scale * ms)}", va="center")
        if piece in bars.piece_bounds:
            at = scale * bars.piece_bounds[piece]
            ax.plot([at, at], [place - 0.42, place + 0.42], **BOUND_STYLE)
    ax.set_yticks(range(len(bars.pieces)), list(bars.pieces))
    longest = max(*bars.pieces.values(), *bars.piece_bounds.values())
    ax.set(xlim=(0, 1.15 * scale * longest), ylim=(len(bars.pieces) - 0.4, -0.6))
    ax.set_xlabel(f"time ({unit})")


def draw(bars: Bars) -> Figure:
    """Totals above, pieces below."""
    case = bars.case
    fig = new_figure(8.5, 4.8, layout="none")
    above, below = fig.subplots(
        2, 1, height_ratios=(3, max(3, len(bars.pieces))), gridspec_kw=MARGINS
    )
    draw_totals(above, bars)
    above.set_title(f"{case.phase} {case.name}: MSA, its bound, and dense attention")
    draw_pieces(below, bars)
    below.set_title("MSA's pieces, each timed alone; the black line is a piece's own bound")
    return fig


def explorer(rows: list[dict] | None = None) -> Explorer:
    """The explorer: which case, whose selection, which index keys."""
    rows = shipped_rows() if rows is None else rows
    options = [(f"{case.phase} {case.name}", case) for case in cases(rows)]
    chunks = [case for _, case in options if case.new_tokens not in (1, case.context)]
    first = max(chunks, key=lambda case: case.context) if chunks else options[0][1]
    return Explorer(
        "What the GPU says",
        partial(compute, rows=rows),
        draw,
        describe,
        case=choice("Phase and case", options, first),
        selection=choice("Selection (prefill)", [(t, n) for n, t in SELECTIONS.items()], "corr"),
        index_dtype=choice("Index keys (decode)", [(n, n) for n in INDEX_BYTES], "bf16"),
    )
