"""The benchmark's own arithmetic: selections injected, bounds, record, tables. Needs no GPU."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

# The harness is no part of the package.
sys.path.insert(0, str(Path(__file__).parents[2] / "kernels"))

from bench import bounds, cases, correctness, inputs, record, report, run, table, timing
from bench.decode import overlap
from msa_ref import M3, contracts

ROOT = Path(__file__).parents[2]
CONFIG = M3.attention
KEY = {
    "phase": "prefill", "batch": 1, "new_tokens": 8192, "context": 8192, "selection": "corr",
    "index_dtype": "bf16", "shape": "M3", "impl": "msa", "piece": "total",
}  # fmt: skip
HEADER = {"gpu": "NVIDIA H100", "driver": "5", "torch": "2", "triton": "3", "date": "2026-01-02"}


@pytest.mark.parametrize(
    ("kind", "four", "sixteen"), [("corr", (20, 24), (40, 46)), ("rand", (60, 61), (235, 241))]
)
def test_neighbours_choose_as_many_blocks_as_in_live_traffic(kind, four, sixteen):
    ids = inputs.injected_selection(kind, 1024, 2**20, CONFIG)
    assert four[0] < inputs.union_size(ids, 4) < four[1]
    assert sixteen[0] < inputs.union_size(ids, 16) < sixteen[1]


@pytest.mark.parametrize("kind", ["corr", "rand"])
@pytest.mark.parametrize(("new_tokens", "context"), [(3000, 3000), (700, 5001), (1, 128)])
def test_injected_ids_are_those_of_a_selection(kind, new_tokens, context):
    ids = inputs.injected_selection(kind, new_tokens, context, CONFIG)
    assert ids.shape == (1, CONFIG.num_kv_heads, new_tokens, CONFIG.top_k)
    q, k = np.zeros((1, 64, new_tokens, 1)), np.zeros((1, 4, context, 1))
    contracts.check_selection(ids, q, k, CONFIG.block_size)
    own = np.arange(context - new_tokens, context) // CONFIG.block_size
    assert (ids.max(axis=-1) == own).all()
    assert ((ids >= 0).sum(axis=-1) == np.minimum(own + 1, CONFIG.top_k)).all()
    used = ids[..., 1:] >= 0
    assert (np.diff(ids, axis=-1)[used] > 0).all()
    assert (ids[..., :-1][used] >= 0).all()


def test_injected_ids_are_the_same_in_every_run():
    first, second = (inputs.injected_selection("corr", 300, 9000, CONFIG) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_bounds_by_hand():
    # 8,192 queries x 2,048 keys x 64 heads x 128 x 4, and half a square x 4 heads x 128 x 2
    h100, h200 = bounds.CEILINGS["H100"], bounds.CEILINGS["H200"]
    prefill = bounds.bound_ms(*bounds.prefill("total", 8192, 8192), h100)
    assert prefill == pytest.approx((549_755_813_888 + 34_359_738_368) / 700e9)
    chunk = bounds.prefill("total", 8192, 2**20)
    assert bounds.bound_ms(*chunk, h100) == pytest.approx(13.30, abs=0.01)
    assert bounds.bound_ms(*chunk, h200) == bounds.bound_ms(*chunk, h100)
    # one sequence of 2**20 tokens: 256 bytes of index key each, and 2,048 tokens of 2,048 bytes
    read = 2**20 * 256 + 2048 * 2048
    step = bounds.decode("total", 1, 2**20, "bf16")
    assert bounds.bound_ms(*step, h100) == pytest.approx(read / 3.03e9)
    assert bounds.bound_ms(*step, h200) == pytest.approx(read / 4.3e9)
    assert bounds.decode("total", 8, 2**20, "fp8")[1] == 8 * (2**20 * 128 + 2048 * 2048)
    assert bounds.dense_decode("M3", 1, 2**20)[1] == 2**31
    assert bounds.dense_decode("M2", 8, 2**20)[1] == 8 * 2**32
    assert bounds.dense_prefill("M3", 8192, 8192)[0] == 4 * 64 * 128 * 8192**2 / 2


def test_a_gpu_that_nobody_measured_is_held_against_an_h100():
    assert bounds.ceiling("NVIDIA H200") is bounds.CEILINGS["H200"]
    assert bounds.ceiling("NVIDIA H100 80GB HBM3") is bounds.CEILINGS["H100"]
    assert bounds.ceiling("NVIDIA B300") is bounds.CEILINGS["H100"]


def test_bounds_of_pieces_add_up():
    pieces = [bounds.prefill(piece, 8192, 2**17) for piece in ("score", "attend")]
    assert sum(flops for flops, _ in pieces) == bounds.prefill("total", 8192, 2**17)[0]
    pieces = [bounds.decode(piece, 8, 2**17, "fp8") for piece in ("score", "attend")]
    assert sum(read for _, read in pieces) == bounds.decode("total", 8, 2**17, "fp8")[1]


@pytest.mark.parametrize(("name", "size"), [("bf16", 2), ("fp8", 1)])
def test_bytes_of_decode_pieces_by_hand(name, size):
    """8 sequences of 131,072 tokens, 16 blocks of 128 for each of 4 KV heads."""
    want = {
        "score": 8 * 131072 * 128 * size,
        "select": 8 * 4 * 131072 / 128 / 16 * 4 + 8 * 4 * 16 * 4,
        "attend": 8 * 4 * 2048 * 128 * 2 * 2,
        "combine": 8 * 64 * 128 * (5 * 4 + 2),
    }
    for piece, num_bytes in want.items():
        assert bounds.decode(piece, 8, 131072, name, splits=5)[1] == num_bytes, piece


def test_record_holds_one_row_a_key_and_the_ratio_to_the_best_dense(tmp_path):
    written = record.Record(tmp_path / "made" / "gpu.json", dict(HEADER))
    written.add(KEY, 2.0, 1.0)
    written.add({**KEY, "selection": None, "impl": "fa3"}, 5.0, 4.0)
    written.add({**KEY, "selection": None, "impl": "flash"}, 3.0, 4.0)
    written.add({**KEY, "selection": None, "impl": "flash", "shape": "M2"}, 1.0, 4.0)
    written.add({**KEY, "context": 16384}, 7.123456, 1.0)
    with pytest.raises(ValueError, match="twice"):
        written.add(KEY, 2.0, 1.0)
    written.write()
    read = json.loads(written.path.read_text())
    assert read == written.as_dict()
    assert [set(row) for row in read["rows"]] == [set(record.ROW)] * 5
    assert [row["ratio_to_dense"] for row in read["rows"]] == [1.5, 0.6, 1.0, 1.0, None]
    assert read["rows"][-1]["ms"] == 7.123
    assert list(tmp_path.rglob("*.part")) == []


def test_record_without_rows_is_valid(tmp_path):
    written = record.Record(tmp_path / "gpu.json", {"gpu": "x", "fp8_overlap": {}})
    written.write()
    assert json.loads(written.path.read_text()) == {"gpu": "x", "fp8_overlap": {}, "rows": []}


@pytest.mark.parametrize("change", [{"impl": "fast"}, {"piece": "sort"}, {"selection": "random"}])
def test_record_refuses_what_the_format_does_not_name(tmp_path, change):
    written = record.Record(tmp_path / "gpu.json", {})
    with pytest.raises(ValueError, match=next(iter(change))):
        written.add({**KEY, **change}, 1.0, 1.0)


def test_record_refuses_a_key_with_a_part_missing(tmp_path):
    short = {name: value for name, value in KEY.items() if name != "piece"}
    with pytest.raises(ValueError, match="key"):
        record.Record(tmp_path / "gpu.json", {}).add(short, 1.0, 1.0)


def test_record_is_named_after_the_gpu():
    assert record.default_path("NVIDIA H100 80GB HBM3").name == "h100.json"
    assert record.default_path("Some GPU").name == "some_gpu.json"


def made_record():
    """A small record with both phases and both shapes."""
    rows = []

    def add(ms, bound=1.0, **key):
        rows.append({**KEY, **key, "ms": ms, "bound_ms": bound, "ratio_to_dense": 1.0})

    chunk = {"context": 2**20}
    add(414.0, selection=None, impl="fa3", **chunk)
    add(430.0, selection=None, impl="cudnn", **chunk)
    add(310.5, selection=None, impl="fa3", shape="M2", **chunk)
    add(18.0, bound=13.3, **chunk)
    add(20.0, selection="rand", **chunk)
    add(9.0, selection="rand", piece="attend", **chunk)
    add(1.5)
    step = {"phase": "decode", "new_tokens": 1, "selection": None, "context": 2**20, "batch": 8}
    add(5.52, impl="flash", **step)
    add(11.03, impl="flash", shape="M2", **step)
    add(0.7, bound=0.69, **step)
    add(0.4, index_dtype="fp8", **step)
    return {**HEADER, "rows": rows}


def test_tables_show_the_record():
    page = table.render(made_record())
    assert "one NVIDIA H100 (driver 5, torch 2, triton 3) on 2026-01-02" in page
    lines = page.splitlines()
    assert "| prefill, ms | 8K | 8K@1M |" in lines
    assert "| dense, best | – | 414 |" in lines  # noqa: RUF001
    assert "| MSA, neighbours agree | 1.50 | 18.0 |" in lines
    assert "| times faster | – | 23.0x |" in lines  # noqa: RUF001
    assert "| bound | 1.00 | 13.3 |" in lines
    assert not [line for line in lines if line.startswith("| MSA, one real call")]
    assert "| decode, µs | 8 x 1M |" in lines
    assert "| MSA, fp8 index keys | 400 |" in lines
    assert "| prefill 8K@1M, bf16 index keys | 310 ms | 18.0 ms | 17.2x |" in lines
    assert "| decode 8 x 1M, fp8 index keys | 11030 µs | 400 µs | 27.6x |" in lines
    widths = {line.count("|") for line in lines if line.startswith(("| prefill, ms", "| dense"))}
    assert widths <= {3, 4}


def test_tables_need_no_rows():
    assert table.render({**HEADER, "rows": []}).startswith("Measured on")


def test_cases_are_those_of_the_plan():
    prefills = {case.name: case.context for case in cases.PREFILLS}
    assert prefills["128K"] == 131072
    assert prefills["8K@1M"] == 2**20
    assert len(cases.PREFILLS) == 8
    assert {(case.batch, case.context) for case in cases.DECODES} >= {(32, 131072), (8, 2**20)}
    assert len({case.name for case in (*cases.PREFILLS, *cases.DECODES)}) == 17


def test_a_step_in_a_graph_takes_what_its_flushes_do_not():
    """Graphs of 20: medians of 62 ms with the step and of 22 ms without."""
    assert timing.step_ms([(62.0, 22.0), (60.0, 30.0), (90.0, 21.0)]) == 2.0


def test_long_steps_run_less_often():
    assert [timing.num_runs(ms) for ms in (0.01, 50, 100, 1000)] == [9, 5, 3, 3]


def case_of(tmp_path):
    """A prefill's lines on the screen, and the record behind them."""
    written = record.Record(tmp_path / "gpu.json", dict(HEADER))
    return report.Case(written, "prefill", 1, 8192, 8192, "8K"), written


def test_a_row_is_recorded_in_milliseconds_with_the_bound_of_its_work(tmp_path, capsys):
    """On an H100 of 700 TFLOP/s, 7e12 FLOPs take 10 ms at least."""
    case, written = case_of(tmp_path)
    case.add(40.0, (7e12, 1.0), impl="cudnn")
    case.add(50.0, (7e12, 1.0), impl="flash")
    case.add(20.0, (7e12, 1.0))
    [*_, row] = written.finished()
    assert (row["ms"], row["bound_ms"], row["ratio_to_dense"]) == (20.0, 10.0, 2.0)
    line = capsys.readouterr().out.splitlines()[-1]
    said = "M3 msa total bf16 20.000 ms 350 TFLOP/s 2.00x dense 50% of bound"
    assert " ".join(line.split()) == said


def test_a_piece_is_held_against_the_bound_of_the_queries_that_passed_it(tmp_path):
    case, written = case_of(tmp_path)
    case.add_prefill(1.0, "combine", "corr")
    case.add_prefill(1.0, "combine", "rand", num_queries=4096)
    whole, half = (row["bound_ms"] for row in written.finished())
    assert half == pytest.approx(whole / 2, rel=1e-3)


def test_what_cannot_run_is_said_and_gets_no_row(tmp_path, capsys):
    case, written = case_of(tmp_path)
    with case.attempt("M3", "cudnn"):
        raise RuntimeError("no such engine")
    assert written.rows == {}
    assert "M3  cudnn: no row: no such engine" in capsys.readouterr().out


def test_overlap_of_two_selections():
    """Of the ids 0, 1, 4 and 0, 2, 4 two are equal, one of them the local block."""
    wide_ids = torch.tensor([0, 2, 4, -1]).view(1, 1, 1, 4)
    ids = torch.tensor([0, 1, 4, -1]).view(1, 1, 1, 4)
    out = torch.tensor([3.0, 4.0]).view(1, 1, 1, 2)
    found = overlap((out + 0.5, None, ids), (out, None, wide_ids))
    assert found == {
        "equal_ids": 0.6667,
        "equal_ids_without_own": 0.5,
        "relative_rms_error_of_output": 0.1414,
    }


def test_a_red_check_is_told_and_one_out_of_time_is_stopped(monkeypatch):
    started = {
        "tests": (*correctness._start([sys.executable, "-c", "print('2 failed'); exit(1)"]), 60),
        "memcheck": (*correctness._start([sys.executable, "-c", "import time; time.sleep(9)"]), 0),
        "racecheck": (*correctness._start([sys.executable, "-c", "print('===== none')"]), 60),
    }
    monkeypatch.setattr(correctness, "start_all", lambda: started)
    said, green = correctness.run()
    assert said["tests"] == "exit status 1: 2 failed"
    assert said["memcheck"] == "not finished within 0 s"
    assert said["racecheck"] == "none"
    assert not green


def test_without_a_gpu_the_benchmark_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="No CUDA GPU"):
        run.main(run.parse([]))
