"""Explorer of a GPU's record: the pieces of one case against the bound and dense attention."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from msa_course import palette
from msa_course.explorer import Explorer, choice, new_figure
from msa_ref import cost, data
from msa_ref.config import M2, M3

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DENSE = ("fa3", "cudnn", "flash")
NAMES = {"fa3": "FlashAttention-3", "cudnn": "cuDNN", "flash": "SDPA flash"}
SELECTIONS = {"corr": "neighbours agree", "rand": "every query alone", "real": "one real call"}
INDEX_BYTES = {"bf16": 2, "fp8": 1}
PIECES = {
    "score": (palette.VISIBLE, ""),
    "select": (palette.LINES[3], "xx"),
    "plan": (palette.LINES[2], ".."),
    "attend": (palette.CHOSEN, ""),
    "combine": (palette.FORCED, palette.FORCED_HATCH),
    "not timed alone": (palette.HIDDEN, "--"),
}
BOUND_STYLE = {"color": palette.INK, "linewidth": 2}
MARGINS = {"left": 0.17, "right": 0.97, "top": 0.93, "bottom": 0.1, "hspace": 0.62}


class Case(NamedTuple):
    """A prefill of one sequence, or a decode step of `batch` sequences."""

    phase: str
    batch: int
    new_tokens: int
    context: int

    @property
    def name(self) -> str:
        """8K, 8K@1M for 8K new tokens at the end of 1M, 8x32K for a decode step of 8."""
        if self.phase == "decode":
            return f"{self.batch}x{short(self.context)}"
        whole = self.new_tokens == self.context
        return short(self.new_tokens) + ("" if whole else f"@{short(self.context)}")

    @property
    def scale(self) -> tuple[float, str]:
        """What a time in ms is multiplied by to be shown, and the unit it then has."""
        return (1000, "µs") if self.phase == "decode" else (1, "ms")


class Bars(NamedTuple):
    """One case as the explorer shows it: times in ms, None where the record has none."""

    case: Case
    dense: float | None
    dense_impl: str | None
    total: float
    bound: float
    pieces: dict[str, float]
    piece_bounds: dict[str, float]


@cache
def shipped_rows() -> list[dict]:
    """The shipped record's measurements, one dict each."""
    return data.load_record("h200")["rows"]


def ceilings(record: dict) -> cost.Machine:
    """The speeds that the record's bounds are made with: measured ones, below the data sheet's."""
    found = record["ceilings"]
    return cost.Machine(f"{record['gpu']}, measured", found["flops"], found["bytes"])


def find(rows: list[dict], **key) -> list[dict]:
    """The rows that have these values."""
    return [row for row in rows if all(row[name] == value for name, value in key.items())]


def short(tokens: int) -> str:
    """8K for 8,192 and 1M for 1,048,576."""
    return f"{tokens >> 20}M" if tokens >= 2**20 else f"{tokens >> 10}K"


def cases(rows: list[dict], phase: str | None = None) -> list[Case]:
    """The cases of which MSA was timed: whole prefills, chunks, decode steps, each ascending."""
    found = {
        Case(*(row[name] for name in Case._fields))
        for row in find(rows, impl="msa", piece="total")
        if phase in (None, row["phase"])
    }
    return sorted(
        found,
        key=lambda case: (
            case.phase == "decode",
            case.new_tokens != case.context,
            case.batch,
            case.context,
        ),
    )


def best_dense(rows: list[dict], case: Case, shape: str = "M3") -> dict | None:
    """The row of the fastest dense attention of this shape, None if none ran."""
    dense = [
        row for row in find(rows, **case._asdict(), shape=shape, piece="total")
        if row["impl"] in DENSE
    ]  # fmt: skip
    return min(dense, key=lambda row: row["ms"], default=None)


def msa(
    rows: list[dict], case: Case, piece: str, selection: str = "corr", index_dtype: str = "bf16"
) -> dict | None:
    """The row of MSA's total or one piece; choosing is always timed on real scores."""
    if case.phase == "decode":
        key = {"selection": None, "index_dtype": index_dtype}
    else:
        key = {"selection": "real" if piece in ("score", "select") else selection}
    found = find(rows, **case._asdict(), impl="msa", piece=piece, **key)
    return found[0] if found else None


def work(row: dict) -> cost.Work | None:
    """FLOPs and bytes behind a row's bound; None for the pieces that only move data."""
    model = {"M2": M2, "M3": M3}[row["shape"]]
    spec = model if row["impl"] == "msa" else cost.dense_model(model)
    if row["phase"] == "decode":
        index_bytes = INDEX_BYTES[row["index_dtype"]]
        pieces = cost.decode_pieces(spec, row["context"], row["batch"], index_bytes)
    else:
        pieces = cost.prefill_pieces(spec, row["new_tokens"], row["context"])
    found = pieces[row["piece"]]
    return found if found.flops else None


def values(*, case: Case, selection: str, index_dtype: str, rows: list[dict] | None = None) -> Bars:
    """Times of one case: dense, MSA, its bound, its pieces.

    `selection` is of no account in a decode step, `index_dtype` in a prefill.
    """
    rows = shipped_rows() if rows is None else rows
    found = {piece: msa(rows, case, piece, selection, index_dtype) for piece in PIECES}
    found = {piece: row for piece, row in found.items() if row}
    total = msa(rows, case, "total", selection, index_dtype)
    pieces = {piece: row["ms"] for piece, row in found.items()}
    if "attend" not in pieces:
        pieces["not timed alone"] = max(0.0, total["ms"] - sum(pieces.values()))
    dense = best_dense(rows, case)
    return Bars(
        case=case,
        dense=dense and dense["ms"],
        dense_impl=dense and dense["impl"],
        total=total["ms"],
        bound=total["bound_ms"],
        pieces=pieces,
        piece_bounds={piece: row["bound_ms"] for piece, row in found.items()},
    )


def draw_totals(axes: Axes, bars: Bars) -> None:
    """Dense, MSA and the bound as three bars."""
    scale, unit = bars.case.scale
    amounts = {"bound": bars.bound, "MSA": bars.total}
    if bars.dense is not None:
        amounts[f"dense\n({NAMES[bars.dense_impl]})"] = bars.dense
    colours = [palette.INK, palette.CHOSEN, palette.GREY]
    times = [scale * ms for ms in amounts.values()]
    drawn = axes.barh(list(amounts), times, color=colours[: len(times)])
    axes.bar_label(drawn, [f" {number(time)}" for time in times])
    axes.set(xlim=(0, 1.15 * max(times)), xlabel=f"time of one layer ({unit})")


def draw_pieces(axes: Axes, bars: Bars) -> None:
    """A bar for every piece, and a line across it where its own bound is."""
    scale, unit = bars.case.scale
    for place, (piece, ms) in enumerate(bars.pieces.items()):
        colour, hatch = PIECES[piece]
        axes.barh(place, scale * ms, color=colour, hatch=hatch, edgecolor="white", linewidth=0)
        axes.text(scale * ms, place, f"  {number(scale * ms)}", va="center")
        if piece in bars.piece_bounds:
            at = scale * bars.piece_bounds[piece]
            axes.plot([at, at], [place - 0.42, place + 0.42], **BOUND_STYLE)
    axes.set_yticks(range(len(bars.pieces)), list(bars.pieces))
    longest = max(*bars.pieces.values(), *bars.piece_bounds.values())
    axes.set(xlim=(0, 1.15 * scale * longest), ylim=(len(bars.pieces) - 0.4, -0.6))
    axes.set_xlabel(f"time ({unit})")


def number(amount: float) -> str:
    """Three digits and no more, thousands set apart."""
    return f"{float(f'{amount:.3g}'):,.10g}"


def render(*, case: Case, selection: str, index_dtype: str, rows: list[dict] | None = None):
    """Totals above, pieces below."""
    bars = values(case=case, selection=selection, index_dtype=index_dtype, rows=rows)
    figure: Figure = new_figure(8.5, 4.8, layout="none")
    above, below = figure.subplots(
        2, 1, height_ratios=(3, max(3, len(bars.pieces))), gridspec_kw=MARGINS
    )
    draw_totals(above, bars)
    above.set_title(f"{case.phase} {case.name}: MSA, its bound, and dense attention")
    draw_pieces(below, bars)
    below.set_title("MSA's pieces, each timed alone; the black line is a piece's own bound")
    return figure


def words(*, case: Case, selection: str, index_dtype: str, rows: list[dict] | None = None) -> str:
    """The totals, the ratio to dense, the longest piece, and what the setting left unused."""
    bars = values(case=case, selection=selection, index_dtype=index_dtype, rows=rows)
    scale, unit = case.scale
    if case.phase == "decode":
        kind = f"{index_dtype} index keys; ids are always real in decode"
    else:
        kind = f"{SELECTIONS[selection]}; a prefill was timed with bf16 index keys alone"
    said = f"{case.phase.capitalize()} {case.name} ({kind}): {number(scale * bars.total)} {unit}"
    said += f", {bars.bound / bars.total:.0%} of the bound's speed. "
    if bars.dense is not None:
        ratio = bars.dense / bars.total
        faster = f"{ratio:.2f} times faster" if ratio >= 1 else f"{1 / ratio:.2f} times slower"
        said += f"That is {faster} than {NAMES[bars.dense_impl]}. "
    longest = max(bars.pieces, key=bars.pieces.get)
    share = bars.pieces[longest] / sum(bars.pieces.values())
    what = "what was not timed alone" if longest == "not timed alone" else longest
    return said + f"The longest piece is {what}, {share:.0%} of the pieces together."


def explorer(rows: list[dict] | None = None) -> Explorer:
    """The explorer: which case, whose selection, which index keys."""
    rows = shipped_rows() if rows is None else rows
    options = [(f"{case.phase} {case.name}", case) for case in cases(rows)]
    chunks = [case for _, case in options if case.new_tokens not in (1, case.context)]
    first = max(chunks, key=lambda case: case.context) if chunks else options[0][1]
    return Explorer(
        "What the GPU says",
        lambda **values: render(**values, rows=rows),
        lambda **values: words(**values, rows=rows),
        case=choice("Phase and case", options, first),
        selection=choice("Selection (prefill)", [(t, n) for n, t in SELECTIONS.items()], "corr"),
        index_dtype=choice("Index keys (decode)", [(n, n) for n in INDEX_BYTES], "bf16"),
    )
