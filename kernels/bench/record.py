"""The record of one run: a header and one row a key, written as JSON after every case."""

import json
import os
import platform
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

from bench.bounds import ceiling

KEY = (
    "phase", "batch", "new_tokens", "context", "selection", "index_dtype", "shape", "impl", "piece",
)  # fmt: skip
ROW = (*KEY, "ms", "bound_ms", "ratio_to_dense")
DENSE = ("fa3", "cudnn", "flash")
ALLOWED = {
    "phase": ("prefill", "decode"),
    "selection": ("corr", "rand", "real", None),
    "index_dtype": ("bf16", "fp8"),
    "shape": ("M3", "M2"),
    "impl": ("msa", *DENSE),
    "piece": ("total", "score", "select", "plan", "attend", "combine"),
}


def default_path(gpu):
    """msa_ref/data/measured/h100.json for "NVIDIA H100 80GB HBM3"."""
    found = re.search(r"\b[A-Z]{1,3}\d{2,4}\b", gpu)
    name = found[0] if found else re.sub(r"\W+", "_", gpu)
    return Path(__file__).parents[2] / "msa_ref" / "data" / "measured" / f"{name.lower()}.json"


def header():
    """GPU, driver, versions, date and command of this run."""
    import torch
    import triton

    gpu = torch.cuda.get_device_name()
    machine = ceiling(gpu)
    return {
        "gpu": gpu,
        "driver": _driver(),
        "torch": torch.__version__,
        "triton": triton.__version__,
        "python": platform.python_version(),
        "date": date.today().isoformat(),
        "command": " ".join(
            ["PYTHONPATH=.:kernels python3", os.path.relpath(sys.argv[0]), *sys.argv[1:]]
        ),
        "ceilings": {"flops": machine.peak_flops, "bytes": machine.bandwidth},  # a second
        "checks": {},
        "fp8_overlap": {},
    }


class Record:
    """Rows by key, and the file they go to."""

    def __init__(self, path, header):
        self.path = Path(path)
        self.header = header
        self.rows = {}

    def add(self, key, ms, bound_ms):
        """Add one row. Raises ValueError on a key that is incomplete or there already."""
        if set(key) != set(KEY):
            raise ValueError(f"key: got {sorted(key)}, takes {sorted(KEY)}")
        for name, allowed in ALLOWED.items():
            if key[name] not in allowed:
                raise ValueError(f"{name}: got {key[name]!r}, takes one of {allowed}")
        at = tuple(key[name] for name in KEY)
        if at in self.rows:
            raise ValueError(f"row: got {at} twice")
        self.rows[at] = {**dict(zip(KEY, at)), "ms": ms, "bound_ms": bound_ms}

    def finished(self):
        """The rows with their ratio to the best dense time of the same case and shape."""
        best = {}
        for row in self.rows.values():
            if row["impl"] in DENSE:
                case = _case(row)
                best[case] = min(best.get(case, row["ms"]), row["ms"])
        finished = []
        for row in self.rows.values():
            dense = best.get(_case(row))
            ratio = dense / row["ms"] if dense else None
            rounded = {name: _round(row[name]) for name in ("ms", "bound_ms")}
            finished.append({**row, **rounded, "ratio_to_dense": _round(ratio)})
        return finished

    def as_dict(self):
        """What the file holds."""
        return {**self.header, "rows": self.finished()}

    def write(self):
        """Write the file anew, a line a row; a run cut short leaves the last whole one."""
        fields = [f"  {json.dumps(name)}: {_text(value)}" for name, value in self.as_dict().items()]
        text = "{\n" + ",\n".join(fields) + "\n}\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_suffix(".part")
        beside.write_text(text, encoding="utf-8")
        beside.replace(self.path)


def _text(value):
    """JSON of a header's field or of a list of rows."""
    if not isinstance(value, list):
        return json.dumps(value)
    return "[\n    " + ",\n    ".join(map(json.dumps, value)) + "\n  ]"


def _case(row):
    return tuple(row[name] for name in ("phase", "batch", "new_tokens", "context", "shape"))


def _round(number):
    return None if number is None else float(f"{number:.4g}")


def _driver():
    """The driver's version as nvidia-smi says it, None where there is none."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.split()[0]
