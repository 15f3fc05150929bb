"""Every kernel compiles for sm_90 as it is shipped, without a GPU at hand.

The page with the figures for sm_80 and sm_100 is held to the code that it was made from: to compile
for all three takes three minutes.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import triton

from msa_kernels.launch import TABLE

ON_TENSOR_CORES = {
    "score_prefill_kernel", "attend_block_major_kernel", "attend_query_major_kernel",
    "base2_lse_kernel", "index_kl_rows_kernel", "index_kl_cols_kernel",
}  # fmt: skip
KERNELS = ON_TENSOR_CORES | {
    "score_decode_kernel", "select_blocks_kernel", "tile_union_kernel", "plan_count_kernel",
    "plan_place_kernel", "plan_fill_kernel", "plan_cut_kernel", "decode_split_kernel",
    "combine_kernel",
}  # fmt: skip
# Bytes of registers spilled on sm_90 by Triton 3.6 and 3.7. Tiles that spill none were slower.
STACK = {"index_kl_rows_kernel": 16, "index_kl_cols_kernel": 8, "attend_query_major_kernel": 8}
# What any kernel may spill with a later Triton: 3.9 spills 160 bytes of index_kl_rows_kernel.
LATER_STACK = 256
PAGE = Path(__file__).parents[2] / "docs" / "kernels_compiled.md"
IS_LATER = tuple(map(int, triton.__version__.split(".")[:2])) > (3, 7)


@pytest.fixture(scope="module")
def compiled():
    """Figures and the digest, from a process of its own: this one may hold interpreted kernels."""
    code = """
import json
from bench import compiled
rows = [one._asdict() for one in compiled.compile_all([90])]
print(json.dumps([rows, compiled.SHARED_LIMIT, compiled.digest()]))
"""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    rows, limits, digest = json.loads(done.stdout.splitlines()[-1])
    return rows, {int(target): limit for target, limit in limits.items()}, digest


def test_as_shipped_for_sm_90(compiled):
    rows, limits, _ = compiled
    assert {row["name"] for row in rows} == KERNELS
    for row in rows:
        assert row["shared"] <= limits[90], row
        assert row["stack"] <= (LATER_STACK if IS_LATER else STACK.get(row["name"], 0)), row
        assert row["wgmma"] > 0 or row["name"] not in ON_TENSOR_CORES, row
    assert any("fp8" in row["case"] for row in rows)


def test_the_page_is_of_this_code_and_says_that_all_fit(compiled):
    """python kernels/bench/compiled.py writes it."""
    _, limits, digest = compiled
    page = PAGE.read_text(encoding="utf-8")
    assert f"`{digest}`" in page
    parts = re.split(r"^## sm_(\d+)$", page, flags=re.MULTILINE)
    assert [int(target) for target in parts[1::2]] == list(limits)
    for target, part in zip(map(int, parts[1::2]), parts[2::2]):
        rows = [
            [cell.strip(" `") for cell in line.strip("|").split("|")]
            for line in part.splitlines() if line.startswith("| `")
        ]  # fmt: skip
        assert {name for name, *_ in rows} == KERNELS
        assert all(int(shared) <= limits[target] for *_, shared in rows)
        cases = [case for _, case, *_ in rows]
        assert any("fp8" in case for case in cases) == (target >= 90)
        # One of the table's options serves two kernels, by rows and by columns.
        in_float32 = {name for name, case, *_ in rows if case == "float32"}
        assert len(in_float32) == (len(TABLE) + 1 if target == 80 else 0)
