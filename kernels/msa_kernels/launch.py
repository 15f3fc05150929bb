"""How each kernel is launched: one table, found by `kernels/bench/tune.py`."""

from __future__ import annotations

import functools

import torch
import triton
import triton.language as tl

INTERPRETED = triton.knobs.runtime.interpret  # as Triton reads TRITON_INTERPRET
LOG2E = 1.4426950408889634  # scores are scaled by it, so that weights are powers of two
LN2 = tl.constexpr(0.6931471805599453)

TABLE = {
    "score_prefill": {"rows": 256, "max_groups": 8, "num_warps": 8, "num_stages": 3},
    "score_decode": {"num_warps": 2, "num_stages": 3},
    "prefill_block_major": {"rows": 64, "num_warps": 4, "num_stages": 1},
    "prefill_query_major": {"rows": 128, "num_warps": 8, "num_stages": 3},
    "decode_split": {"num_warps": 4, "num_stages": 1},
    "lse": {"rows": 64, "cols": 64, "num_warps": 4, "num_stages": 3},
    "index_kl": {"rows": 128, "cols": 64, "num_warps": 8, "num_stages": 2},
}
# Before sm_90 a program has 163 KiB of shared memory instead of 227
BEFORE_SM90 = {"prefill_query_major": {"num_stages": 2}}
# float32 is there to be compared with: its tiles are twice as large in bytes, so fewer and small
FLOAT32 = {
    "score_prefill": {"rows": 32, "num_warps": 8, "num_stages": 1},
    "score_decode": {"num_warps": 8, "num_stages": 1},
    "prefill_block_major": {"rows": 16, "num_warps": 8},
    "prefill_query_major": {"rows": 16, "num_warps": 8, "num_stages": 1},
    "decode_split": {"num_warps": 8},
    "lse": {"rows": 32, "cols": 32, "num_warps": 8, "num_stages": 1},
    "index_kl": {"rows": 32, "cols": 32, "num_warps": 8, "num_stages": 1},
}


@functools.cache
def capability() -> tuple[int, int]:
    """Compute capability of the current GPU; that of an H100, (9, 0), where there is none."""
    return torch.cuda.get_device_capability() if torch.cuda.is_available() else (9, 0)


def options(kernel: str, dtype: torch.dtype) -> dict[str, int]:
    """A fresh dict of one kernel's launch options for a dtype; small tiles when interpreted."""
    found = dict(TABLE[kernel])
    if capability() < (9, 0):
        found |= BEFORE_SM90.get(kernel, {})
    if dtype == torch.float32:
        found |= FLOAT32[kernel]
    if INTERPRETED:
        found |= {side: 32 for side in ("rows", "cols") if side in found}
    return found


def precision(dtype: torch.dtype) -> str:
    """Precision of tl.dot: plain float32 products for float32, the tensor cores' own otherwise."""
    return "ieee" if dtype == torch.float32 else "tf32"
