"""Index scores of a prefill and of a decode step against the reference's."""

import numpy as np
import pytest
import torch
from kernel_cases import ODD, ints, make_lanes, whole

from msa_kernels import PagedCache
from msa_kernels.index_score import score_decode, score_prefill
from msa_ref import MSAConfig, scoring


def seen(scores, maxima, want, group):
    """Compare where the reference sees something; maxima are those of whole groups of scores."""
    scores, maxima = scores.double().cpu().numpy(), maxima.double().cpu().numpy()
    at = np.isfinite(want)
    got = scores[..., : want.shape[-1]]
    # float32 sums of exact products, in another order
    np.testing.assert_allclose(got[at], want[at], rtol=0, atol=2e-6 * np.abs(want[at]).max())
    missing = -want.shape[-1] % group
    padded = np.pad(
        np.where(at, got, -np.inf), [(0, 0)] * 3 + [(0, missing)], constant_values=-np.inf
    )
    most = padded.reshape(*padded.shape[:3], -1, group).max(-1)
    at = np.isfinite(most)
    np.testing.assert_array_equal(maxima[at], most[at])


@pytest.mark.parametrize(("num_queries", "num_keys"), [(19, 65), (7, 300)])
def test_prefill(dtype, device, poisoned, num_queries, num_keys):
    lanes = make_lanes(
        ODD, batch=2, num_queries=num_queries, num_keys=num_keys, dtype=dtype, device=device
    )
    lengths = whole(2, num_queries, device), whole(2, num_keys, device)
    scores, maxima = score_prefill(
        lanes.index_q, lanes.index_k, *lengths, block_size=16, num_keys=num_keys
    )
    want = scoring.block_scores(*lanes.exact()[3:], block_size=16)
    seen(scores, maxima, want, 16)


def test_prefill_of_one_group_and_of_a_later_chunk(device, poisoned):
    config = MSAConfig(2, 1, 16, 16, 32, 2)
    lanes = make_lanes(
        config, batch=1, num_queries=40, num_keys=97, dtype=torch.float32, device=device
    )
    scores, maxima = score_prefill(
        lanes.index_q[:, :, 11:30], lanes.index_k, whole(1, 40, device), whole(1, 97, device),
        block_size=32, num_keys=87, first_query=11, scale=0.5,
    )  # fmt: skip
    want = scoring.block_scores(*lanes.exact()[3:], block_size=32, scale=0.5)[:, :, 11:30]
    seen(scores, maxima, want, 16)


def test_prefill_of_right_padded_sequences(device, poisoned):
    lanes = make_lanes(ODD, batch=3, num_queries=9, num_keys=50, dtype=torch.float32, device=device)
    queries, keys = [9, 4, 0], [50, 33, 50]
    lanes.index_k[1, :, 33:] = float("nan")
    scores, maxima = score_prefill(
        lanes.index_q, lanes.index_k, ints(queries, device), ints(keys, device),
        block_size=16, num_keys=50,
    )  # fmt: skip
    for b in range(2):
        index_q, index_k = (x[b : b + 1].double().cpu().numpy() for x in lanes[3:])
        want = scoring.block_scores(
            index_q[:, :, : queries[b]], index_k[:, :, : keys[b]], block_size=16
        )
        part = np.s_[b : b + 1, :, : queries[b]]
        seen(scores[part], maxima[part], want, 16)


@pytest.mark.parametrize("group", [1, 2, 4])
def test_decode(dtype, device, group):
    lengths = [70, 16, 33]
    lanes = make_lanes(ODD, batch=3, num_queries=1, num_keys=70, dtype=dtype, device=device)
    cache = PagedCache(
        ODD, num_pages=11, batch=3, max_pages=6, dtype=dtype, index_dtype=dtype, device=device
    )
    cache.append(lanes.k, lanes.v, lanes.index_k, new_lengths=lengths)
    nan = {"device": device, "dtype": torch.float32}
    scores = torch.full((3, 2, 6), float("nan"), **nan)
    maxima = torch.full((3, 2, -(-6 // group)), float("nan"), **nan)
    score_decode(lanes.index_q.contiguous(), cache, group=group, scores=scores, maxima=maxima)
    assert not maxima.isnan().any()
    for b, length in enumerate(lengths):
        index_q, index_k = (x[b : b + 1].double().cpu().numpy() for x in lanes[3:])
        want = scoring.block_scores(index_q, index_k[:, :, :length], block_size=16)
        seen(scores[b : b + 1, :, None], maxima[b : b + 1, :, None, : -(-want.shape[3] // group)],
             want, group)  # fmt: skip
        assert (maxima[b, :, -(-want.shape[3] // group) :] == -torch.inf).all()
