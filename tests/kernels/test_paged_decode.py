"""The paged cache, and decode on it: the last row of a prefill, read from scattered pages."""

import numpy as np
import pytest
import torch
from kernel_cases import ODD, Lanes, make_lanes, reference
from rounding import assert_right, assert_selected, truth

from conftest import ON_GPU
from msa_kernels import PagedCache, decode, geometry
from msa_kernels.cache import as_stored
from msa_ref import MSAConfig, scoring

STATE = ("k_pages", "v_pages", "index_pages", "block_table", "lengths")


def make_cache(config, dtype, device, *, batch, num_pages, max_pages, index_dtype=None):
    return PagedCache(
        config, num_pages=num_pages, batch=batch, max_pages=max_pages, dtype=dtype,
        index_dtype=index_dtype or dtype, device=device,
    )  # fmt: skip


def append(cache, lanes, start, stop, new_lengths=None):
    k, v, index_k = (lane[:, :, start:stop] for lane in (lanes.k, lanes.v, lanes.index_k))
    cache.append(k, v, index_k, new_lengths=new_lengths)


def poison(cache):
    """NaN wherever no stored token lies."""
    free = torch.ones(cache.k_pages.shape[0], cache.block_size, dtype=torch.bool)
    for pages, length in zip(cache.block_table.cpu(), cache.lengths.tolist()):
        for token in range(length):
            free[pages[token // cache.block_size], token % cache.block_size] = False
    free = free.to(cache.k_pages.device)
    cache.index_pages[free] = float("nan")
    for pages in (cache.k_pages, cache.v_pages):
        pages.transpose(1, 2)[free] = float("nan")


def check(lanes, lengths, config, got):
    """Each sequence's row is the last of a prefill of its own length."""
    out, lse, ids = got
    for b, length in enumerate(lengths):
        alone = Lanes(*(x[b : b + 1, :, : min(x.shape[2], length)] for x in lanes))
        scores = reference(alone, config).block_scores
        part = slice(b, b + 1)
        assert_selected(ids[part], scores, config=config, positions=[length - 1], slack=1e-5)
        want = truth(
            *alone.exact()[:3], ids[part].cpu().numpy(), block_size=config.block_size,
            dtype=lanes.q.dtype,
        )  # fmt: skip
        yield out[part], lse[part], want


CONFIGS = {
    "three heads a group": ODD,
    "one group of five, forced blocks": MSAConfig(5, 1, 64, 16, 16, 5, 1, 2),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_decode_is_the_last_row_of_a_prefill(dtype, device, poisoned, name):
    """Tokens come in three pieces, lengths differ, unread parts of the pages are NaN."""
    config, lengths = CONFIGS[name], [97, 16, 50]
    lanes = make_lanes(config, batch=3, num_queries=1, num_keys=97, dtype=dtype, device=device)
    cache = make_cache(config, dtype, device, batch=3, num_pages=17, max_pages=8)
    append(cache, lanes, 0, 7)
    append(cache, lanes, 7, 40, [33, 9, 33])
    append(cache, lanes, 40, 97, [57, 0, 10])
    assert cache.lengths.tolist() == lengths
    poison(cache)
    got = decode(lanes.q, lanes.index_q, cache)
    rows = list(check(lanes, lengths, config, got))
    outs, lses, wants = zip(*rows)
    want = type(wants[0])(*(np.concatenate(one) for one in zip(*wants)))
    assert_right(torch.cat(outs), torch.cat(lses), want, dtype)
    again = decode(lanes.q, lanes.index_q, cache)
    assert all(torch.equal(a, b) for a, b in zip(got, again))


@pytest.mark.parametrize("splits", [1, 2])
def test_how_blocks_are_split_changes_nothing(device, poisoned, monkeypatch, splits):
    """Of three blocks, one program attends to three, or two attend to two and one."""
    lanes = make_lanes(ODD, batch=1, num_queries=1, num_keys=70, dtype=torch.float32, device=device)
    cache = make_cache(ODD, torch.float32, device, batch=1, num_pages=5, max_pages=5)
    append(cache, lanes, 0, 70)
    want = decode(lanes.q, lanes.index_q, cache)
    monkeypatch.setattr(geometry, "decode_splits", lambda *sizes: splits)
    got = decode(lanes.q, lanes.index_q, cache)
    for ours, theirs in zip(got, want):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def test_an_empty_sequence_gets_nothing(device, poisoned):
    lanes = make_lanes(ODD, batch=2, num_queries=1, num_keys=20, dtype=torch.float32, device=device)
    cache = make_cache(ODD, torch.float32, device, batch=2, num_pages=4, max_pages=2)
    append(cache, lanes, 0, 20, [0, 20])
    out, lse, ids = decode(lanes.q, lanes.index_q, cache)
    assert (out[0] == 0).all()
    assert (lse[0] == -torch.inf).all()
    assert (ids[0] == -1).all()
    assert out[1].isfinite().all()
    lanes.q[0], lanes.index_q[0] = float("nan"), float("nan")  # of no token
    checked = decode(lanes.q, lanes.index_q, cache, check=True)
    assert all(torch.equal(a, b) for a, b in zip(checked, (out, lse, ids)))
    cache.lengths[0] = -1
    with pytest.raises(ValueError, match=r"^cache\.lengths: got -1 to 20"):
        decode(lanes.q, lanes.index_q, cache, check=True)


def test_pages_are_taken_lowest_id_first(device):
    lanes = make_lanes(ODD, batch=2, num_queries=1, num_keys=50, dtype=torch.float32, device=device)
    cache = make_cache(ODD, torch.float32, device, batch=2, num_pages=7, max_pages=4)
    append(cache, lanes, 0, 17, [17, 3])
    assert cache.block_table.tolist() == [[0, 1, -1, -1], [2, -1, -1, -1]]
    cache.block_table[1], cache.lengths[1] = -1, 0  # the second sequence is over
    append(cache, lanes, 17, 50, [20, 33])
    assert cache.block_table.tolist() == [[0, 1, 2, -1], [3, 4, 5, -1]]
    stored = cache.k_pages[cache.block_table[0, :3].long()].transpose(1, 2).reshape(48, 2, 32)
    assert torch.equal(stored[:37], lanes.k[0, :, :37].transpose(0, 1))


REFUSED = {
    "beyond a sequence's pages": (slice(0, 40), None, "cache: got lengths up to 50"),
    "more pages than are free": (slice(0, 30), None, "cache: got 4 pages to take"),
    "new_lengths too long": (slice(0, 4), [5, 0], "new_lengths: got"),
    "new_lengths below 0": (slice(0, 4), [-1, 0], "new_lengths: got"),
    "new_lengths of another batch": (slice(0, 4), [1], "new_lengths: got"),
    "new_lengths no integers": (slice(0, 4), [1.5, 0.0], "new_lengths: got"),
    "NaN": (slice(40, 44), None, "index_k: got NaN"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_append_changes_nothing(device, name):
    part, new_lengths, message = REFUSED[name]
    lanes = make_lanes(ODD, batch=2, num_queries=1, num_keys=44, dtype=torch.float32, device=device)
    lanes.index_k[1, :, 41] = float("nan")
    cache = make_cache(ODD, torch.float32, device, batch=2, num_pages=5, max_pages=3)
    append(cache, lanes, 0, 10)
    before = [getattr(cache, name).clone() for name in STATE]
    with pytest.raises(ValueError, match=f"^{message}"):
        append(cache, lanes, part.start, part.stop, new_lengths)
    assert all(torch.equal(getattr(cache, name), old) for name, old in zip(STATE, before))


def test_nan_beyond_new_lengths_is_not_looked_at(device):
    lanes = make_lanes(ODD, batch=2, num_queries=1, num_keys=9, dtype=torch.float32, device=device)
    lanes.k[1, :, 4:] = float("nan")
    cache = make_cache(ODD, torch.float32, device, batch=2, num_pages=2, max_pages=1)
    append(cache, lanes, 0, 9, [9, 4])
    assert not cache.k_pages.isnan().any()


@pytest.mark.parametrize(("page", "got"), [(-1, "-1 to 0"), (4, "0 to 4")])
def test_check_reads_the_block_table(device, page, got):
    lanes = make_lanes(ODD, batch=1, num_queries=1, num_keys=20, dtype=torch.float32, device=device)
    cache = make_cache(ODD, torch.float32, device, batch=1, num_pages=4, max_pages=2)
    append(cache, lanes, 0, 20)
    cache.block_table[0, 1] = page
    with pytest.raises(ValueError, match=rf"^cache\.block_table: got pages {got}"):
        decode(lanes.q, lanes.index_q, cache, check=True)


@pytest.mark.skipif(not ON_GPU, reason="the interpreter computes fp8 wrongly")
def test_fp8_index_keys(device):
    """The selection is right by the index keys as stored; the output by the selection."""
    lanes = make_lanes(
        ODD, batch=2, num_queries=1, num_keys=90, dtype=torch.bfloat16, device=device
    )
    lanes.index_k[0, 0, 0, 0] = 1000.0  # beyond the range of e4m3
    cache = make_cache(
        ODD, torch.bfloat16, device, batch=2, num_pages=12, max_pages=6,
        index_dtype=torch.float8_e4m3fn,
    )  # fmt: skip
    append(cache, lanes, 0, 90)
    assert not cache.index_pages.float().isnan().any()
    out, lse, ids = decode(lanes.q, lanes.index_q, cache)
    stored = lanes.index_k.clamp(-448, 448).to(torch.float8_e4m3fn).double().cpu().numpy()
    scores = scoring.block_scores(lanes.exact()[3], stored, block_size=16)
    assert_selected(ids, scores, config=ODD, positions=[89], slack=1e-3)
    want = truth(*lanes.exact()[:3], ids.cpu().numpy(), block_size=16, dtype=torch.bfloat16)
    assert_right(out, lse, want, torch.bfloat16)


@pytest.mark.skipif(not ON_GPU, reason="graphs are CUDA's")
def test_a_captured_step_follows_the_cache(device):
    """The graph is captured at one length and replayed at another."""
    lanes = make_lanes(
        ODD, batch=2, num_queries=1, num_keys=90, dtype=torch.bfloat16, device=device
    )
    cache = make_cache(ODD, torch.bfloat16, device, batch=2, num_pages=12, max_pages=6)
    append(cache, lanes, 0, 40)
    decode(lanes.q, lanes.index_q, cache)  # compiles outside the capture
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = decode(lanes.q, lanes.index_q, cache)
    append(cache, lanes, 40, 90)
    graph.replay()
    want = decode(lanes.q, lanes.index_q, cache)
    assert all(torch.equal(a, b) for a, b in zip(captured, want))


def test_pages_join_no_graph(device):
    lanes = make_lanes(ODD, batch=1, num_queries=1, num_keys=9, dtype=torch.float32, device=device)
    cache = make_cache(ODD, torch.float32, device, batch=1, num_pages=2, max_pages=2)
    for lane in (lanes.k, lanes.v, lanes.index_k):
        lane.requires_grad_()
    append(cache, lanes, 0, 9)
    for pages in (cache.k_pages, cache.v_pages, cache.index_pages):
        assert not pages.requires_grad
        assert pages.any()


def test_pages_of_other_strides_are_read_and_written(device):
    """Keys token by token, values head by head, padded, a slice of a wider table."""
    lanes = make_lanes(ODD, batch=2, num_queries=1, num_keys=80, dtype=torch.float32, device=device)
    caches = [make_cache(ODD, torch.float32, device, batch=2, num_pages=12, max_pages=5)
              for _ in range(2)]  # fmt: skip
    other = caches[1]
    other.k_pages = torch.zeros(12, 16, 3, 32, device=device).transpose(1, 2)[:, :2]
    other.v_pages = torch.zeros(2, 12, 16, 40, device=device).transpose(0, 1)[..., :32]
    assert not set(other.k_pages.stride()[:3]) & set(other.v_pages.stride()[:3])
    other.index_pages = torch.zeros(12, 3, 16, 64, device=device)[:, 1]
    wider = torch.zeros(2, 9, dtype=torch.int32, device=device)
    other.block_table = wider[:, 2:7].fill_(-1)
    for cache in caches:
        append(cache, lanes, 0, 80, [80, 75])
    want, got = (decode(lanes.q, lanes.index_q, cache) for cache in caches)
    assert all(torch.equal(a, b) for a, b in zip(got, want))


def test_numbers_beyond_fp8_are_stored_as_its_largest(monkeypatch):
    cast = torch.Tensor.to

    def checked(tensor, dtype):
        """Some versions of torch clamp here, others make NaN of what lies beyond."""
        assert dtype != torch.float8_e4m3fn or tensor.abs().max() <= 448
        return cast(tensor, dtype)

    monkeypatch.setattr(torch.Tensor, "to", checked)
    numbers = torch.tensor([1000.0, -1000.0, 448.0, 3.3, float("inf")])
    stored = as_stored(numbers, torch.float8_e4m3fn).float()
    assert stored.tolist() == [448.0, -448.0, 448.0, 3.25, 448.0]
    assert as_stored(numbers.half(), torch.float16).tolist() == numbers.half().tolist()
