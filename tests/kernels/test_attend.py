"""The main branch of a prefill, in both orders, on given selections; and the combine."""

import numpy as np
import pytest
import torch
from kernel_cases import make_lanes, pick, whole
from rounding import assert_right, truth

from msa_kernels import geometry, prefill_query_major
from msa_kernels.arguments import Outputs, Partials, new_outputs
from msa_kernels.attention import Chunk, attend_chunk
from msa_kernels.combine import combine
from msa_ref import MSAConfig

# 4 blocks and 1 token: the last block is all but empty. 13 queries fill no tile.
KEYS, QUERIES = 65, 13
CONFIGS = {
    "three heads a group": MSAConfig(6, 2, 32, 16, 16, 3),
    "one head a group": MSAConfig(2, 2, 64, 16, 32, 2),
    "five heads a group": MSAConfig(5, 1, 16, 16, 16, 4),
}


def make_case(config, kind, dtype, device):
    lanes = make_lanes(
        config, batch=2, num_queries=QUERIES, num_keys=KEYS, dtype=dtype, device=device
    )
    ids = pick(
        kind, batch=2, groups=config.num_kv_heads, num_queries=QUERIES, num_keys=KEYS,
        block_size=config.block_size, top_k=config.top_k,
    )  # fmt: skip
    return lanes, ids, whole(2, QUERIES, KEYS, device)


@pytest.mark.parametrize(
    ("kind", "name"),
    [*((kind, "three heads a group") for kind in ("rand", "corr", "sink")),
     *(("corr", name) for name in ("one head a group", "five heads a group"))],
)  # fmt: skip
def test_block_major(dtype, device, poisoned, monkeypatch, kind, name):
    config = CONFIGS[name]
    monkeypatch.setattr(geometry, "SHORT_CONTEXT", 0)
    monkeypatch.setattr(geometry, "ITEM_SIZE", 8)
    lanes, ids, lengths = make_case(config, kind, dtype, device)
    outputs = new_outputs(lanes.q)
    chunk = Chunk(0, QUERIES, KEYS)
    attend_chunk(*lanes[:3], torch.from_numpy(ids).to(device), lengths, chunk, config, outputs)
    want = truth(*lanes.exact()[:3], ids, block_size=config.block_size, dtype=dtype, partials=True)
    assert_right(outputs.out, outputs.lse, want, dtype)


@pytest.mark.parametrize(
    ("kind", "tile"), [("rand", None), ("corr", None), ("sink", None), ("sink", 1), ("corr", 16)]
)
def test_query_major(dtype, device, poisoned, kind, tile):
    """A tile of one query is the plain query-major order; 16 queries are the most of a tile."""
    config = CONFIGS["three heads a group"]
    lanes, ids, lengths = make_case(config, kind, dtype, device)
    outputs = new_outputs(lanes.q)
    prefill_query_major.attend(
        *lanes[:3], torch.from_numpy(ids).to(device), lengths, outputs,
        block_size=config.block_size, tile=tile,
    )  # fmt: skip
    want = truth(*lanes.exact()[:3], ids, block_size=config.block_size, dtype=dtype)
    assert_right(outputs.out, outputs.lse, want, dtype)


def test_a_large_budget_narrows_the_tile(device, poisoned):
    """64 slots a query: a tile of 16 would compare 1,024 slots with each other."""
    config = MSAConfig(1, 1, 16, 16, 16, 64)
    lanes, _, lengths = make_case(config, "rand", torch.float32, device)
    ids = pick(
        "rand", batch=2, groups=1, num_queries=QUERIES, num_keys=KEYS, block_size=16, top_k=64
    )
    outputs = new_outputs(lanes.q)
    prefill_query_major.attend(
        *lanes[:3], torch.from_numpy(ids).to(device), lengths, outputs, block_size=16
    )
    want = truth(*lanes.exact()[:3], ids, block_size=16, dtype=torch.float32)
    assert_right(outputs.out, outputs.lse, want, torch.float32)


@pytest.mark.parametrize("heads", [None, 1])
def test_combine_merges_by_lse(device, poisoned, heads):
    """Parts in any order, some slots unused, one row without any."""
    rng = np.random.default_rng(0)
    parts, lses = rng.standard_normal((14, 3, 16)), 9 * rng.standard_normal((14, 3))
    where = rng.permutation(14)[:12].reshape(1, 2, 2, 3)
    where[0, 0, 1, 1:] = -1
    where[0, 1, 0] = -1
    make = {"dtype": torch.float32, "device": device}
    out, lse = torch.empty(1, 6, 2, 16, **make), torch.empty(1, 6, 2, **make)
    partials = Partials(torch.tensor(parts, **make), torch.tensor(lses, **make))
    entry_of_slot = torch.tensor(where, dtype=torch.int32, device=device)
    combine(
        partials, Outputs(out, lse, 2), shape=where.shape, entry_of_slot=entry_of_slot, heads=heads
    )
    for g, t, head in np.ndindex(2, 2, 3):
        used = where[0, g, t][where[0, g, t] >= 0]
        shares = 2.0 ** lses[used, head]
        want = shares @ parts[used, head] / shares.sum() if used.size else np.zeros(16)
        row = (0, g * 3 + head, t)
        np.testing.assert_allclose(out[row].cpu(), want, rtol=0, atol=1e-6)
        want = np.log(shares.sum()) if used.size else -np.inf
        np.testing.assert_allclose(lse[row].cpu(), want, rtol=0, atol=1e-5)


def test_combine_of_parts_side_by_side(device, poisoned):
    """A part of an empty split is 0 with LSE -inf, and weighs nothing."""
    make = {"dtype": torch.float32, "device": device}
    parts = torch.arange(2 * 2 * 3 * 16, **make).reshape(6, 2, 16)
    lses = torch.zeros(6, 2, **make)
    lses[1], parts[1] = float("-inf"), 0
    lses[3:] = float("-inf")
    out, lse = torch.empty(2, 2, 1, 16, **make), torch.empty(2, 2, 1, **make)
    combine(Partials(parts, lses), Outputs(out, lse, 1), shape=(2, 1, 1, 3), heads=1)
    torch.testing.assert_close(out[0, :, 0], (parts[0] + parts[2]) / 2)
    torch.testing.assert_close(lse[0, :, 0], torch.full((2,), np.log(2.0), **make))
    assert (out[1] == 0).all()
    assert (lse[1] == -torch.inf).all()
