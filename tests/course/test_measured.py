"""The readings of a record, the explorer's bars and words at the extremes, and its redraws."""

import itertools

import numpy as np

from msa_course.measured import measured, measured_figure
from msa_ref import cost, data

SHORT = measured.Case("prefill", 1, 8192, 8192)
CHUNK = measured.Case("prefill", 1, 8192, 131_072)
STEP = measured.Case("decode", 8, 1, 32_768)
MACHINE = cost.Machine("a GPU", 700e12, 4.3e12)
TOTALS = {SHORT: 2.0, CHUNK: 5.0, STEP: 0.05}
PIECES = {"score": 0.4, "select": 0.1, "plan": 0.05, "attend": 0.3, "combine": 0.15}


def say(**setting):
    """The explorer's sentence at this setting."""
    return measured.describe(measured.compute(**setting))


def row(case, impl, piece, ms, **key):
    """A row as the record has it, its bound made anew where its work is known."""
    blank = {"selection": None, "index_dtype": "bf16", "shape": "M3"}
    made = {**case._asdict(), **blank, **key, "impl": impl, "piece": piece, "ms": ms}
    work = measured.work(made)
    return made | {"bound_ms": 1000 * cost.roofline_seconds(*work, MACHINE) if work else 0}


def rows_of(case, total):
    for impl, slow in (("flash", 4), ("fa3", 1.5), ("cudnn", 2)):
        yield row(case, impl, "total", slow * total)
    if case.phase == "decode":
        for index_dtype, faster in (("bf16", 1), ("fp8", 2)):
            for piece in ("score", "select", "attend", "combine"):
                ms = PIECES[piece] * total / faster
                yield row(case, "msa", piece, ms, index_dtype=index_dtype)
            yield row(case, "msa", "total", total / faster, index_dtype=index_dtype)
        return
    for piece in ("score", "select"):
        yield row(case, "msa", piece, PIECES[piece] * total, selection="real")
    for kind, slow in (("corr", 1), ("rand", 2)):
        for piece in ("attend",) if case == SHORT else ("plan", "attend", "combine"):
            yield row(case, "msa", piece, slow * PIECES[piece] * total, selection=kind)
        yield row(case, "msa", "total", slow * total, selection=kind)
    yield row(case, "msa", "total", 3 * total, selection="real")


ROWS = [made for case, total in TOTALS.items() for made in rows_of(case, total)]
ROWS.append(row(STEP, "fa3", "total", 9.0, shape="M2"))
SETTINGS = [
    dict(zip(("case", "selection", "index_dtype"), setting), rows=ROWS)
    for setting in itertools.product(TOTALS, measured.SELECTIONS, measured.INDEX_BYTES)
]


def setting(case, selection="corr", index_dtype="bf16"):
    return {"case": case, "selection": selection, "index_dtype": index_dtype, "rows": ROWS}


def test_cases_are_named_and_in_order():
    assert [case.name for case in measured.cases(ROWS)] == ["8K", "8K@128K", "8x32K"]
    assert measured.cases(ROWS, "decode") == [STEP]
    assert measured.Case("prefill", 1, 8192, 2**20).name == "8K@1M"


def test_the_yardstick_is_the_fastest_of_the_shape():
    assert measured.best_dense(ROWS, STEP)["impl"] == "fa3"
    assert measured.best_dense(ROWS, STEP, "M2")["ms"] == 9.0
    assert measured.best_dense(ROWS, SHORT, "M2") is None


def test_work_is_that_of_the_closed_forms():
    flops, num_bytes = measured.work(measured.msa(ROWS, STEP, "total"))
    assert num_bytes == 8 * (256 * 32_768 + 2048 * 2048)
    score, attend = (
        measured.work(measured.msa(ROWS, STEP, piece)) for piece in ("score", "attend")
    )
    assert np.allclose(np.add(score, attend), (flops, num_bytes))
    assert measured.work(measured.msa(ROWS, STEP, "total", index_dtype="fp8"))[1] < num_bytes
    dense = measured.work(measured.best_dense(ROWS, STEP))
    assert dense[1] == 8 * 2048 * 32_768
    assert measured.work(measured.best_dense(ROWS, STEP, "M2"))[1] == 2 * dense[1]
    assert measured.work(measured.msa(ROWS, CHUNK, "plan")) is None


def test_values_take_the_pieces_of_the_setting():
    bars = measured.compute(**setting(CHUNK, "rand"))
    assert (bars.total, bars.dense, bars.dense_impl) == (10.0, 7.5, "fa3")
    assert list(bars.pieces) == ["score", "select", "plan", "attend", "combine"]
    assert np.isclose(bars.pieces["attend"], 3.0)
    assert "plan" not in measured.compute(**setting(SHORT)).pieces
    assert np.isclose(measured.compute(**setting(STEP, "rand", "fp8")).total, 0.025)


def test_a_real_call_has_a_rest_that_was_not_timed_alone():
    bars = measured.compute(**setting(CHUNK, "real"))
    assert list(bars.pieces) == ["score", "select", "not timed alone"]
    assert np.isclose(sum(bars.pieces.values()), bars.total)


def test_words_name_the_ratio_the_yardstick_and_the_longest_piece():
    said = say(**setting(CHUNK))
    assert "Prefill 8K@128K (neighbours agree" in said
    assert "1.50 times faster than FlashAttention-3" in said
    assert "The longest piece is score, 40% of the pieces together." in said
    assert "1.33 times slower" in say(**setting(CHUNK, "rand"))
    assert "50 µs" in say(**setting(STEP))


def test_bars_of_the_picture_are_the_times():
    above, below = measured_figure.draw(measured.compute(**setting(STEP))).axes
    assert np.allclose([bar.get_width() for bar in above.patches][1:], [50, 75])
    assert np.allclose([bar.get_width() for bar in below.patches], [20, 5, 15, 7.5])


def test_the_record_holds_the_bounds_that_are_counted():
    record = data.load_record("h200")
    machine = measured.ceilings(record)
    assert measured.cases(record["rows"])
    for made in record["rows"]:
        if work := measured.work(made):
            counted = 1000 * cost.roofline_seconds(*work, machine)
            assert np.isclose(counted, made["bound_ms"], rtol=5e-4), made
