"""msa_attention whole, against the reference on the same numbers."""

import numpy as np
import pytest
import torch
from kernel_cases import ODD, Lanes, ints, make_lanes, pick, reference
from rounding import assert_right, assert_selected, truth

import msa_ref
from msa_kernels import attend, geometry, msa_attention, select
from msa_kernels.attention import prefill_chunks
from msa_ref import MSAConfig

SLACK = 1e-5  # float32 sums of exact products


@pytest.fixture(params=["query-major", "block-major"])
def order(request, monkeypatch):
    """Both orders, which the number of keys decides between."""
    if request.param == "block-major":
        monkeypatch.setattr(geometry, "SHORT_CONTEXT", 0)
    return request.param


def check(lanes, config, got, order):
    """Selection and output are right, the output for the selection that was made."""
    out, lse, ids = got
    dtype = lanes.q.dtype
    assert out.dtype == dtype
    assert lse.dtype == torch.float32
    assert ids.dtype == torch.int32
    want = reference(lanes, config)
    num_queries, num_keys = lanes.q.shape[2], lanes.k.shape[2]
    positions = np.arange(num_keys - num_queries, num_keys)
    assert_selected(ids, want.block_scores, config=config, positions=positions, slack=SLACK)
    right = truth(
        *lanes.exact()[:3], ids.cpu().numpy(), block_size=config.block_size, dtype=dtype,
        partials=order == "block-major",
    )  # fmt: skip
    assert_right(out, lse, right, dtype)


SHAPES = {
    "every size another, T < S": (ODD, 2, 9, 77),
    "m blocks and one token": (ODD, 1, 13, 81),
    "a whole prefill": (MSAConfig(5, 1, 16, 32, 16, 2, 1, 1), 1, 37, 37),
    "block 32, two local blocks": (MSAConfig(4, 2, 64, 16, 32, 3, 0, 2), 1, 10, 150),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_matches_the_reference(dtype, device, poisoned, order, shape):
    config, batch, num_queries, num_keys = SHAPES[shape]
    lanes = make_lanes(
        config, batch=batch, num_queries=num_queries, num_keys=num_keys, dtype=dtype, device=device
    )
    check(lanes, config, msa_attention(*lanes, config, check=True), order)


@pytest.mark.parametrize(("d", "di", "block"), [(128, 64, 64), (64, 128, 128)])
def test_large_heads_and_blocks(dtype, device, poisoned, order, d, di, block):
    config = MSAConfig(4, 2, d, di, block, 2)
    lanes = make_lanes(
        config, batch=1, num_queries=6, num_keys=4 * block + 1, dtype=dtype, device=device
    )
    check(lanes, config, msa_attention(*lanes, config), order)


def test_ties_go_to_the_lower_id(dtype, device, poisoned):
    """Whole numbers, whose products are exact: the very ids of the reference."""
    rng = np.random.default_rng(0)
    config = MSAConfig(4, 2, 16, 16, 16, 3)
    lanes = make_lanes(config, batch=1, num_queries=20, num_keys=150, dtype=dtype, device=device)
    few = [torch.from_numpy(rng.integers(-1, 2, lane.shape)).to(lane) for lane in lanes[3:]]
    lanes = Lanes(*lanes[:3], *few)
    _, _, ids = msa_attention(*lanes, config)
    np.testing.assert_array_equal(ids.cpu(), reference(lanes, config).selection)


def test_query_chunks_change_nothing(device, poisoned, order, monkeypatch):
    lanes = make_lanes(ODD, batch=2, num_queries=7, num_keys=60, dtype=torch.float32, device=device)
    want = msa_attention(*lanes, ODD)
    monkeypatch.setattr(geometry, "MAX_QUERIES", 3)
    got = msa_attention(*lanes, ODD)
    assert torch.equal(got[2], want[2])
    check(lanes, ODD, got, order)


@pytest.mark.parametrize("chunk", [5, 8192])
def test_right_padded_sequences(device, poisoned, order, monkeypatch, chunk):
    """Each sequence as if alone; beyond its lengths lies NaN, and nothing comes of it."""
    monkeypatch.setattr(geometry, "MAX_QUERIES", chunk)
    queries, keys = [12, 7, 0], [70, 33, 50]
    lanes = make_lanes(
        ODD, batch=3, num_queries=12, num_keys=70, dtype=torch.float32, device=device
    )
    for lane, lengths in zip(lanes, (queries, keys, keys, queries, keys)):
        for b, length in enumerate(lengths):
            lane[b, :, length:] = float("nan")
    out, lse, ids = msa_attention(
        *lanes, ODD, query_lengths=ints(queries, device), key_lengths=ints(keys, device), check=True
    )
    for b in range(3):
        n = queries[b]
        assert (out[b, :, n:] == 0).all()
        assert (lse[b, :, n:] == -torch.inf).all()
        assert (ids[b, :, n:] == -1).all()
        if n:
            stops = (n, keys[b], keys[b], n, keys[b])
            alone = Lanes(*(x[b : b + 1, :, :stop] for x, stop in zip(lanes, stops)))
            part = (x[b : b + 1, :, :n] for x in (out, lse, ids))
            check(alone, ODD, tuple(part), order)


def test_a_budget_of_all_blocks_is_dense_attention(dtype, device, poisoned, order):
    config = MSAConfig(4, 2, 32, 16, 16, 4)
    lanes = make_lanes(config, batch=1, num_queries=19, num_keys=61, dtype=dtype, device=device)
    out, lse, _ = msa_attention(*lanes, config)
    exact = lanes.exact()[:3]
    every = pick("rand", batch=1, groups=2, num_queries=19, num_keys=61, block_size=16, top_k=4)
    want = truth(*exact, every, block_size=16, dtype=dtype, partials=order == "block-major")
    dense_out, dense_lse = msa_ref.dense.attention(*exact)
    np.testing.assert_allclose(want.out, dense_out, rtol=0, atol=1e-12)
    np.testing.assert_allclose(want.lse, dense_lse, rtol=0, atol=1e-12)
    assert_right(out, lse, want, dtype)


def test_two_runs_give_the_same_bits(dtype, device, order):
    # The interpreter runs one program after another; a GPU needs many for their order to differ.
    rows = 40 if device.type == "cuda" else 5
    lanes = make_lanes(ODD, batch=1, num_queries=rows, num_keys=90, dtype=dtype, device=device)
    first, second = (msa_attention(*lanes, ODD) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second))


def test_views_of_other_layouts_are_read_right(device, poisoned, order):
    """Token-major memory seen as head-major, as a model's projections give it."""
    lanes = make_lanes(ODD, batch=2, num_queries=6, num_keys=50, dtype=torch.float32, device=device)
    turned = Lanes(*(lane.transpose(1, 2).contiguous().transpose(1, 2) for lane in lanes))
    got, want = msa_attention(*turned, ODD), msa_attention(*lanes, ODD)
    assert got[0].is_contiguous()
    assert all(torch.equal(a, b) for a, b in zip(got, want))


@pytest.mark.filterwarnings("ignore:All-NaN slice:RuntimeWarning")  # the NaN given, not idle rows
def test_unchecked_nan_counts_as_the_lowest_score(device, poisoned):
    """A block of NaN index keys is never chosen, but as a query's own."""
    lanes = make_lanes(
        ODD, batch=1, num_queries=10, num_keys=80, dtype=torch.float32, device=device
    )
    lanes.index_k[:, :, 16:32] = float("nan")
    _, _, ids = msa_attention(*lanes, ODD)
    assert not (ids == 1).any()
    assert (ids >= 0).all()


@pytest.mark.parametrize("queries", [None, [7, 4]])
@pytest.mark.parametrize("chunk", [3, 8192])
def test_it_is_select_and_attend(device, poisoned, order, monkeypatch, chunk, queries):
    monkeypatch.setattr(geometry, "MAX_QUERIES", chunk)
    lanes = make_lanes(ODD, batch=2, num_queries=7, num_keys=60, dtype=torch.float32, device=device)
    lengths = {}
    if queries:
        lengths = {"query_lengths": ints(queries, device), "key_lengths": ints([60, 41], device)}
    out, lse, ids = msa_attention(*lanes, ODD, **lengths)
    selection = select(lanes.index_q, lanes.index_k, ODD, **lengths)
    assert torch.equal(selection, ids)
    strided = torch.stack([selection, selection], dim=-1)[..., 0].transpose(1, 2).contiguous()
    got = attend(*lanes[:3], strided.transpose(1, 2), ODD, **lengths)
    assert torch.equal(got[0], out)
    assert torch.equal(got[1], lse)


def test_chunks_cover_the_queries_and_end_at_the_last_visible_key(device, monkeypatch):
    monkeypatch.setattr(geometry, "MAX_QUERIES", 5)
    q = torch.zeros(2, 6, 13, 32, device=device)
    assert prefill_chunks(q, 60, ODD) == [(0, 5, 52), (5, 10, 57), (10, 13, 60)]
    assert prefill_chunks(q, 60, ODD, ragged=True) == [(0, 5, 60), (5, 10, 60), (10, 13, 60)]


def test_few_queries_of_a_ragged_batch_see_all_their_keys(device, poisoned, monkeypatch):
    """The first chunk ends at key 255 for a sequence of 12 queries, at key 262 for one of 3."""
    monkeypatch.setattr(geometry, "MAX_QUERIES", 5)
    lanes = make_lanes(
        ODD, batch=2, num_queries=12, num_keys=262, dtype=torch.float32, device=device
    )
    lengths = {"query_lengths": ints([12, 3], device), "key_lengths": ints([262, 262], device)}
    ids = select(lanes.index_q, lanes.index_k, ODD, **lengths)
    scores = msa_ref.scoring.block_scores(*(x[1:].double().cpu().numpy() for x in (
        lanes.index_q[:, :, :3], lanes.index_k)), block_size=16)  # fmt: skip
    assert_selected(ids[1:, :, :3], scores, config=ODD, positions=np.arange(259, 262), slack=SLACK)


def test_a_block_of_the_future_adds_nothing(device, poisoned, order):
    """A selection made elsewhere may name blocks that a query does not see."""
    lanes = make_lanes(ODD, batch=1, num_queries=4, num_keys=20, dtype=torch.float32, device=device)
    ids = torch.tensor([0, -1, -1], dtype=torch.int32, device=device).expand(1, 2, 4, 3)
    early = lanes.k[:, :, :16], lanes.v[:, :, :16]
    want = attend(lanes.q, *early, ids, ODD)
    more = torch.tensor([0, 1, -1], dtype=torch.int32, device=device).expand(1, 2, 4, 3)
    keys = ints([16], device)
    got = attend(lanes.q, lanes.k, lanes.v, more, ODD, key_lengths=keys)
    torch.testing.assert_close(got[0], want[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(got[1], want[1], rtol=0, atol=1e-6)
