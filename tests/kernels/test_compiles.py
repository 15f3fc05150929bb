"""Every kernel compiles for sm_80, sm_90 and sm_100 as it is shipped, without a GPU at hand."""

import json
import os
import subprocess
import sys

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
IS_LATER = tuple(map(int, triton.__version__.split(".")[:2])) > (3, 7)


@pytest.fixture(scope="module", params=[80, 90, 100], ids="sm_{}".format)
def compiled(request):
    """Figures by target, from a process of its own: this one may hold interpreted kernels."""
    code = f"""
import json
from bench import compiled
print(json.dumps([one._asdict() for one in compiled.compile_all([{request.param}])]))
print(json.dumps(compiled.SHARED_LIMIT[{request.param}]))
"""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    rows, limit = map(json.loads, done.stdout.splitlines()[-2:])
    return request.param, rows, limit


def test_as_shipped(compiled):
    target, rows, limit = compiled
    assert {row["name"] for row in rows} == KERNELS
    for row in rows:
        assert row["shared"] <= limit, row
        if target == 90:
            assert row["stack"] <= (LATER_STACK if IS_LATER else STACK.get(row["name"], 0)), row
            assert row["wgmma"] > 0 or row["name"] not in ON_TENSOR_CORES, row
    assert any("fp8" in row["case"] for row in rows) == (target >= 90)
    in_float32 = {row["name"] for row in rows if row["case"] == "float32"}
    # One of the table's options serves two kernels, by rows and by columns.
    assert len(in_float32) == (len(TABLE) + 1 if target == 80 else 0)
