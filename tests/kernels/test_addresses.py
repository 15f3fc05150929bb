"""Every address is computed in 64 bits: tiny tensors whose elements lie 2**31 apart.

A stride stays below 2**31, so that Triton passes 32 bits, and its product with an index does not.
The memory between the elements is never touched: on a CPU it costs nothing.
"""

import pytest
import torch
from kernel_cases import ints, make_lanes, pick, whole

from msa_kernels import PagedCache, attend, combine, decode, geometry, index_kl, select
from msa_kernels.arguments import BlockScores, Outputs, Partials
from msa_kernels.top_k import select_blocks
from msa_ref import MSAConfig

CONFIG = MSAConfig(num_heads=3, num_kv_heads=3, head_dim=16, index_dim=16, block_size=16, top_k=2)
FAR = 2**31


def spread(tensor, dim):
    """A copy whose elements along one dimension, of at least 3, lie FAR apart at the end."""
    inner = tensor.movedim(dim, 0).contiguous()
    step = 16 * (FAR // (16 * (len(inner) - 1)) + 1)
    assert step < FAR <= (len(inner) - 1) * step
    memory = torch.empty((len(inner) - 1) * step + inner[0].numel(), dtype=tensor.dtype,
                         device=tensor.device)  # fmt: skip
    view = memory.as_strided(inner.shape, (step, *inner.stride()[1:])).movedim(0, dim)
    return view.copy_(tensor)


def lanes_of(device):
    return make_lanes(
        CONFIG, batch=3, num_queries=3, num_keys=20, dtype=torch.float16, device=device
    )


def same(got, want):
    return all(torch.equal(a, b) for a, b in zip(got, want))


@pytest.mark.parametrize("dim", [0, 1, 2], ids=["batch", "head", "token"])
@pytest.mark.parametrize("short_context", [0, 8192], ids=["block-major", "query-major"])
def test_attend(device, monkeypatch, short_context, dim):
    monkeypatch.setattr(geometry, "SHORT_CONTEXT", short_context)
    given = lanes_of(device)[:3]
    ids = pick("rand", batch=3, groups=3, num_queries=3, num_keys=20, block_size=16, top_k=2)
    ids = torch.from_numpy(ids).to(device)
    want = attend(*given, ids, CONFIG)
    assert same(attend(*(spread(tensor, dim) for tensor in given), ids, CONFIG), want)


@pytest.mark.parametrize("name", ["index_q", "index_k"])
@pytest.mark.parametrize("dim", [0, 1, 2], ids=["batch", "head", "token"])
def test_select(device, name, dim):
    given = lanes_of(device)._asdict()
    given = {each: given[each] for each in ("index_q", "index_k")}
    if given[name].shape[dim] == 1:
        return
    want = select(**given, config=CONFIG)
    given[name] = spread(given[name], dim)
    assert torch.equal(select(**given, config=CONFIG), want)


@pytest.mark.parametrize("dim", [0, 1, 2], ids=["batch", "head", "token"])
def test_index_kl(device, dim):
    lanes = make_lanes(
        CONFIG, batch=3, num_queries=20, num_keys=20, dtype=torch.float16, device=device
    )
    given = {"index_q": lanes.index_q, "index_k": lanes.index_k, "q": lanes.q, "k": lanes.k}
    ids = torch.zeros(3, 3, 20, 1, dtype=torch.int32, device=device)
    for selection in (None, ids):
        want = index_kl(**given, selection=selection)
        far = {
            name: tensor if tensor.shape[dim] == 1 else spread(tensor, dim)
            for name, tensor in given.items()
        }
        assert same(index_kl(**far, selection=selection), want)


@pytest.mark.parametrize("dim", [0, 1, 2], ids=["page", "head", "token"])
def test_pages(device, dim):
    lanes = make_lanes(
        CONFIG, batch=3, num_queries=3, num_keys=40, dtype=torch.float16, device=device
    )
    cache = PagedCache(
        CONFIG, num_pages=9, batch=3, max_pages=3, dtype=torch.float16,
        index_dtype=torch.float16, device=device,
    )  # fmt: skip
    cache.append(lanes.k, lanes.v, lanes.index_k)
    # The farthest page scores best: as the second block of one sequence, the first of another.
    cache.block_table[1:] = ints([[3, 8, 5], [8, 7, 6]], device)
    cache.index_pages[8] = 9.0
    queries = lanes.q[:, :, -1:], lanes.index_q[:, :, -1:].abs()
    want = decode(*queries, cache)
    assert want[2][1:, 0, 0].tolist() == [[1, 2], [0, 2]]
    cache.k_pages, cache.v_pages = spread(cache.k_pages, dim), spread(cache.v_pages, dim)
    if dim == 0:
        cache.index_pages = spread(cache.index_pages, 0)
        cache.block_table = spread(cache.block_table, 0)
    assert same(decode(*queries, cache), want)
    if dim < 2:
        assert same(decode(*(spread(x, dim) for x in queries), cache), want)


def test_scores_and_selection(device):
    """Three rows of 2**30 + 16 scores each, of which a query sees 17 blocks."""
    nb = 2**30 + 16
    scores = torch.empty(2 * nb + 32, device=device)
    rows = scores.as_strided((1, 1, 3, 17), (0, 0, nb, 1))
    rows.copy_(torch.arange(51.0, device=device).remainder(13).view(1, 1, 3, 17))
    maxima = torch.stack([rows[..., :16].amax(-1), rows[..., 16]], dim=-1)
    given = BlockScores(rows, maxima.contiguous(), nb, 2)
    near = BlockScores(torch.nn.functional.pad(rows, (0, 15)), given.maxima, nb=32, num_maxima=2)
    lengths = whole(1, 3, 17 * 16, device)
    named = {"config": CONFIG, "blocks_per_max": 16}
    assert torch.equal(
        select_blocks(given, lengths, **named), select_blocks(near, lengths, **named)
    )


def test_partial_results_and_outputs(device):
    """Entries beyond 2**27, of 16 channels each, and three heads of 2**27 rows each."""
    entry = 2**27 + 3
    out = torch.empty((entry + 1) * 16, dtype=torch.float16, device=device).view(-1, 1, 16)
    lse = torch.empty(entry + 1, 1, device=device)
    for at, value in ((0, 1.0), (entry, 3.0)):
        out[at], lse[at] = value, 0.0
    outputs = Outputs(
        torch.empty(3 * entry * 16, dtype=torch.float16, device=device),
        torch.empty(3 * entry, device=device),
        entry,
    )
    entry_of_slot = ints([[0, entry]], device).expand(1, 3, 1, 2).contiguous()
    combine.combine(
        Partials(out, lse), outputs, shape=(1, 3, 1, 2), entry_of_slot=entry_of_slot,
        first_query=entry - 1,
    )  # fmt: skip
    rows = outputs.out.view(3, entry, 16)[:, -1]
    assert torch.equal(rows, torch.full_like(rows, 2.0))
    assert torch.allclose(outputs.lse.view(3, entry)[:, -1].exp(), torch.tensor(2.0, device=device))
