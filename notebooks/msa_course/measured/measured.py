"""Explorer of a GPU's record: the pieces of one case against the bound and dense attention."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from msa_course.records import find
from msa_ref import cost, data
from msa_ref.config import M2, M3

if TYPE_CHECKING:
    pass

NOT_TIMED = "not timed alone"
DENSE = ("fa3", "cudnn", "flash")
NAMES = {"fa3": "FlashAttention-3", "cudnn": "cuDNN", "flash": "SDPA flash"}
SELECTIONS = {"corr": "neighbours agree", "rand": "every query alone", "real": "one real call"}
INDEX_BYTES = {"bf16": 2, "fp8": 1}
PIECES = ("score", "select", "plan", "attend", "combine", NOT_TIMED)


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
    selection: str
    index_dtype: str
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


def compute(
    *, case: Case, selection: str, index_dtype: str, rows: list[dict] | None = None
) -> Bars:
    """Times of one case: dense, MSA, its bound, its pieces.

    `selection` is of no account in a decode step, `index_dtype` in a prefill.
    """
    rows = shipped_rows() if rows is None else rows
    found = {piece: msa(rows, case, piece, selection, index_dtype) for piece in PIECES}
    found = {piece: row for piece, row in found.items() if row}
    total = msa(rows, case, "total", selection, index_dtype)
    pieces = {piece: row["ms"] for piece, row in found.items()}
    if "attend" not in pieces:
        pieces[NOT_TIMED] = max(0.0, total["ms"] - sum(pieces.values()))
    dense = best_dense(rows, case)
    return Bars(
        case=case,
        selection=selection,
        index_dtype=index_dtype,
        dense=dense and dense["ms"],
        dense_impl=dense and dense["impl"],
        total=total["ms"],
        bound=total["bound_ms"],
        pieces=pieces,
        piece_bounds={piece: row["bound_ms"] for piece, row in found.items()},
    )


def number(amount: float) -> str:
    """Three digits and no more, thousands set apart."""
    return f"{float(f'{amount:.3g}'):,.10g}"


def describe(bars: Bars) -> str:
    """The totals, the ratio to dense, the longest piece, and what the setting left unused."""
    case = bars.case
    scale, unit = case.scale
    if case.phase == "decode":
        kind = f"{bars.index_dtype} index keys; ids are always real in decode"
    else:
        kind = f"{SELECTIONS[bars.selection]}; a prefill was timed with bf16 index keys alone"
    said = f"{case.phase.capitalize()} {case.name} ({kind}): {number(scale * bars.total)} {unit}"
    said += f", {bars.bound / bars.total:.0%} of the bound's speed. "
    if bars.dense is not None:
        ratio = bars.dense / bars.total
        faster = f"{ratio:.2f} times faster" if ratio >= 1 else f"{1 / ratio:.2f} times slower"
        said += f"That is {faster} than {NAMES[bars.dense_impl]}. "
    longest = max(bars.pieces, key=bars.pieces.get)
    share = bars.pieces[longest] / sum(bars.pieces.values())
    what = f"what was {NOT_TIMED}" if longest == NOT_TIMED else longest
    return said + f"The longest piece is {what}, {share:.0%} of the pieces together."
