"""How each kernel is launched: one table, found by `kernels/bench/tune.py`."""

import functools
import os

import torch

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"

# kernel -> options by (head dim, block size); None is the rest
TABLE = {
    "score_prefill": {None: {"rows": 256, "span": 8, "num_warps": 8, "num_stages": 3}},
    "score_decode": {None: {"num_warps": 2, "num_stages": 3}},
    "sparse_prefill": {None: {"rows": 64, "num_warps": 4, "num_stages": 1}},
    "query_tile": {None: {"rows": 128, "num_warps": 8, "num_stages": 3}},
    "sparse_decode": {None: {"num_warps": 4, "num_stages": 1}},
    "log_sum": {None: {"rows": 64, "keys": 64, "num_warps": 4, "num_stages": 3}},
    "index_kl": {None: {"mine": 128, "others": 64, "num_warps": 8, "num_stages": 2}},
}
# Before sm_90 a program has 163 KiB of shared memory instead of 227
BEFORE_SM90 = {"query_tile": {"num_stages": 2}}
# float32 is there to be compared with: its tiles are twice as large in bytes, so fewer and small
FLOAT32 = {
    "score_prefill": {"rows": 32, "num_warps": 8, "num_stages": 1},
    "score_decode": {"num_warps": 8, "num_stages": 1},
    "sparse_prefill": {"rows": 16, "num_warps": 8},
    "query_tile": {"rows": 16, "num_warps": 8, "num_stages": 1},
    "sparse_decode": {"num_warps": 8},
    "log_sum": {"rows": 32, "keys": 32, "num_warps": 8, "num_stages": 1},
    "index_kl": {"mine": 32, "others": 32, "num_warps": 8, "num_stages": 1},
}


@functools.cache
def capability():
    """Compute capability of the current GPU; that of an H100, (9, 0), where there is none."""
    return torch.cuda.get_device_capability() if torch.cuda.is_available() else (9, 0)


def options(kernel, head_dim, block_size, dtype=None):
    """A fresh dict of launch options of one kernel; small tiles under the interpreter."""
    table = TABLE[kernel]
    found = dict(table.get((head_dim, block_size), table[None]))
    if capability() < (9, 0):
        found |= BEFORE_SM90.get(kernel, {})
    if dtype == torch.float32:
        found |= FLOAT32[kernel]
    if INTERPRETED:
        found |= {side: 32 for side in ("rows", "keys", "mine", "others") if side in found}
    return found


def precision(dtype):
    """Precision of tl.dot: plain float32 products for float32, the tensor cores' own otherwise."""
    return "ieee" if dtype == torch.float32 else "tf32"
