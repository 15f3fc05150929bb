"""Index scores of a prefill and of a decode step against the reference's."""

import numpy as np
import pytest
import torch
from kernel_cases import ODD, ints, make_lanes, whole

from msa_kernels import PagedCache
from msa_kernels.arguments import Lengths, as_block_scores
from msa_kernels.index_score import score_decode, score_prefill
from msa_ref import MSAConfig, scoring


def check(result, want, blocks_per_max):
    """Compare where the reference sees something; maxima are those of whole groups of scores."""
    scores, maxima = (x.double().cpu().numpy() for x in result[:2])
    at = np.isfinite(want)
    got = scores[..., : want.shape[-1]]
    # float32 sums of exact products, in another order
    np.testing.assert_allclose(got[at], want[at], rtol=0, atol=2e-6 * np.abs(want[at]).max())
    missing = -want.shape[-1] % blocks_per_max
    padded = np.pad(
        np.where(at, got, -np.inf), [(0, 0)] * 3 + [(0, missing)], constant_values=-np.inf
    )
    most = padded.reshape(*padded.shape[:3], -1, blocks_per_max).max(-1)
    at = np.isfinite(most)
    np.testing.assert_array_equal(maxima[at], most[at])


@pytest.mark.parametrize(("num_queries", "num_keys"), [(19, 65), (7, 300)])
def test_prefill(dtype, device, poisoned, num_queries, num_keys):
    lanes = make_lanes(
        ODD, batch=2, num_queries=num_queries, num_keys=num_keys, dtype=dtype, device=device
    )
    lengths = whole(2, num_queries, num_keys, device)
    result = score_prefill(lanes.index_q, lanes.index_k, lengths, block_size=16, num_keys=num_keys)
    want = scoring.block_scores(*lanes.exact()[3:], block_size=16)
    check(result, want, 16)


def test_prefill_of_one_group_and_of_a_later_chunk(device, poisoned):
    config = MSAConfig(2, 1, 16, 16, 32, 2)
    lanes = make_lanes(
        config, batch=1, num_queries=40, num_keys=97, dtype=torch.float32, device=device
    )
    lengths = whole(1, 40, 97, device)._replace(first_query=11)
    result = score_prefill(
        lanes.index_q[:, :, 11:30], lanes.index_k, lengths, block_size=32, num_keys=87, scale=0.5
    )
    want = scoring.block_scores(*lanes.exact()[3:], block_size=32, scale=0.5)[:, :, 11:30]
    check(result, want, 16)


def test_prefill_of_right_padded_sequences(device, poisoned):
    lanes = make_lanes(ODD, batch=3, num_queries=9, num_keys=50, dtype=torch.float32, device=device)
    queries, keys = [9, 4, 0], [50, 33, 50]
    lanes.index_k[1, :, 33:] = float("nan")
    lengths = Lengths(ints(queries, device), ints(keys, device))
    result = score_prefill(lanes.index_q, lanes.index_k, lengths, block_size=16, num_keys=50)
    for b in range(2):
        index_q, index_k = (x[b : b + 1].double().cpu().numpy() for x in lanes[3:])
        want = scoring.block_scores(
            index_q[:, :, : queries[b]], index_k[:, :, : keys[b]], block_size=16
        )
        part = np.s_[b : b + 1, :, : queries[b]]
        check([x[part] for x in result[:2]], want, 16)


@pytest.mark.parametrize("blocks_per_max", [1, 2, 4])
def test_decode(dtype, device, blocks_per_max):
    lengths = [70, 16, 33]
    lanes = make_lanes(ODD, batch=3, num_queries=1, num_keys=70, dtype=dtype, device=device)
    cache = PagedCache(
        ODD, num_pages=11, batch=3, max_pages=6, dtype=dtype, index_dtype=dtype, device=device
    )
    cache.append(lanes.k, lanes.v, lanes.index_k, new_lengths=lengths)
    nan = {"device": device, "dtype": torch.float32}
    scores = torch.full((3, 2, 1, 6), float("nan"), **nan)
    maxima = torch.full((3, 2, 1, -(-6 // blocks_per_max)), float("nan"), **nan)
    result = as_block_scores(scores, maxima)
    score_decode(lanes.index_q, cache, blocks_per_max=blocks_per_max, result=result)
    assert not maxima.isnan().any()
    for b, length in enumerate(lengths):
        index_q, index_k = (x[b : b + 1].double().cpu().numpy() for x in lanes[3:])
        want = scoring.block_scores(index_q, index_k[:, :, :length], block_size=16)
        used = -(-want.shape[3] // blocks_per_max)
        check([scores[b : b + 1], maxima[b : b + 1, ..., :used]], want, blocks_per_max)
        assert (maxima[b, ..., used:] == -torch.inf).all()
