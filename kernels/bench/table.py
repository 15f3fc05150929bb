"""Prints the measured tables of a record as Markdown.

    python kernels/bench/table.py msa_ref/data/measured/h200.json

Standard library alone: the README is rendered on any machine.
"""

import json
import sys
from pathlib import Path

NAMES = {"fa3": "FlashAttention-3", "cudnn": "cuDNN", "flash": "SDPA's flash backend"}
ABSENT = "–"  # noqa: RUF001 (a dash where nothing was measured)
MILLION = 2**20


def render(record):
    """Markdown: where and when, prefill in ms, decode in us, and M2-shaped dense at 1M tokens."""
    rows = record["rows"]
    intro = (
        f"Measured on one {record['gpu']} (driver {record['driver']}, torch {record['torch']}, "
        f"triton {record['triton']}) on {record['date']}; attention of one layer of MiniMax-M3, "
        "bf16."
    )
    parts = [intro, prefill_table(rows), decode_table(rows), m2_table(rows)]
    return "\n\n".join(part for part in parts if part)


def prefill_table(rows):
    """Prefills by column; `8K@1M` is 8,192 new queries against 1M keys."""
    cases = _cases(rows, "prefill")
    lines = [
        ("dense, best", lambda case: _dense(rows, case)),
        ("MSA, neighbours agree", lambda case: _total(rows, case, selection="corr")),
        ("MSA, selections random", lambda case: _total(rows, case, selection="rand")),
        ("MSA, one real call", lambda case: _total(rows, case, selection="real")),
        ("bound", lambda case: _total(rows, case, selection="corr", field="bound_ms")),
    ]
    return _table("prefill, ms", cases, lines, 1)


def decode_table(rows):
    """Decode steps by column: `8x1M` is 8 sequences of 1M tokens each."""
    cases = _cases(rows, "decode")
    lines = [
        ("dense, best", lambda case: _dense(rows, case)),
        ("MSA", lambda case: _total(rows, case)),
        ("bound", lambda case: _total(rows, case, field="bound_ms")),
        ("MSA, fp8 index keys", lambda case: _total(rows, case, index_dtype="fp8")),
        ("bound, fp8", lambda case: _total(rows, case, index_dtype="fp8", field="bound_ms")),
    ]
    return _table("decode, µs", cases, lines, 1000)


def m2_table(rows):
    """MSA against dense attention of MiniMax-M2's shape: the comparison of its announcement."""
    lines = []
    for case in _cases(rows, "prefill") + _cases(rows, "decode"):
        dense = _dense(rows, case, shape="M2")
        if dense is None:
            continue
        phase = case[0]
        scale, unit = (1, "ms") if phase == "prefill" else (1000, "µs")
        kinds = {"bf16 index keys": {"selection": "corr" if phase == "prefill" else None}}
        if phase == "decode":
            kinds["fp8 index keys"] = {"index_dtype": "fp8"}
        for kind, key in kinds.items():
            sparse = _total(rows, case, **key)
            if sparse is not None:
                lines.append(
                    f"| {phase} {_name(case)}, {kind} | {_number(scale * dense)} {unit} "
                    f"| {_number(scale * sparse)} {unit} | {dense / sparse:.1f}x |"
                )
    head = "| against M2-shaped dense | dense, best | MSA | times faster |\n|---|---|---|---|\n"
    return head + "\n".join(lines) if lines else ""


def _table(title, cases, lines, scale):
    if not cases:
        return ""
    written = [f"| {title} | " + " | ".join(_name(case) for case in cases) + " |"]
    written.append("|---" * (len(cases) + 1) + "|")
    found = {name: [value(case) for case in cases] for name, value in lines}
    for name, values in found.items():
        cells = [ABSENT if value is None else _number(scale * value) for value in values]
        written.append(f"| {name} | " + " | ".join(cells) + " |")
    dense, sparse = list(found.values())[:2]
    ratios = [f"{a / b:.1f}x" if a and b else ABSENT for a, b in zip(dense, sparse)]
    written.insert(4, "| times faster | " + " | ".join(ratios) + " |")
    best = {row_name for row_name in found if not any(found[row_name])}
    return "\n".join(line for line in written if line.split(" | ")[0][2:] not in best)


def _cases(rows, phase):
    keys = ("phase", "batch", "new_tokens", "context")
    cases = {tuple(row[key] for key in keys) for row in rows if row["phase"] == phase}
    whole = [case for case in cases if case[2] == case[3]]
    return sorted(whole, key=lambda case: case[3]) + sorted(cases - set(whole))


def _rows(rows, case, **key):
    phase, batch, new_tokens, context = case
    wanted = {"phase": phase, "batch": batch, "new_tokens": new_tokens, "context": context, **key}
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def _dense(rows, case, shape="M3"):
    times = [row["ms"] for row in _rows(rows, case, shape=shape) if row["impl"] in NAMES]
    return min(times, default=None)


def _total(rows, case, field="ms", selection=None, index_dtype="bf16"):
    key = {"impl": "msa", "piece": "total", "selection": selection, "index_dtype": index_dtype}
    return next((row[field] for row in _rows(rows, case, **key)), None)


def _name(case):
    phase, batch, new_tokens, context = case
    if phase == "decode":
        return f"{batch} x {_tokens(context)}"
    return (
        _tokens(context) if new_tokens == context else f"{_tokens(new_tokens)}@{_tokens(context)}"
    )


def _tokens(count):
    return f"{count // MILLION}M" if count % MILLION == 0 else f"{count // 1024}K"


def _number(value):
    """Three digits, as 0.83, 4.21, 119 or 2787."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


if __name__ == "__main__":
    print(render(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
