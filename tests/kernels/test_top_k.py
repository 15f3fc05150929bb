"""Selection: the ids of the reference, ties, NaN, forced blocks, rows that see little."""

import numpy as np
import pytest
import torch
from kernel_cases import ints, whole

from msa_kernels import top_k
from msa_kernels.arguments import Lengths, as_block_scores
from msa_ref import MSAConfig, selection

BLOCK = 16


def padded(scores, blocks_per_max, device):
    """Scores padded to whole maxima, and the maxima, NaN left out."""
    missing = -scores.shape[-1] % blocks_per_max
    scores = np.pad(scores, [(0, 0)] * 3 + [(0, missing)], constant_values=-np.inf)
    known = np.where(np.isnan(scores), -np.inf, scores)
    maxima = known.reshape(*scores.shape[:3], -1, blocks_per_max).max(-1)
    make = {"dtype": torch.float32, "device": device}
    return as_block_scores(torch.tensor(scores, **make), torch.tensor(maxima, **make))


def choose(scores, config, num_keys, device, *, blocks_per_max=16):
    """The kernel's ids and the reference's, which takes NaN for -inf."""
    batch, _, num_queries, _ = scores.shape
    got = top_k.select_blocks(
        padded(scores, blocks_per_max, device), whole(batch, num_queries, num_keys, device),
        config=config, blocks_per_max=blocks_per_max,
    )  # fmt: skip
    want = selection.select_blocks(
        np.where(np.isnan(scores), -np.inf, scores),
        top_k=config.top_k, block_size=BLOCK, num_keys=num_keys,
        init_blocks=config.init_blocks, local_blocks=config.local_blocks,
    )  # fmt: skip
    return got.cpu().numpy(), want


def config_of(budget, init_blocks=0, local_blocks=1):
    return MSAConfig(4, 2, 16, 16, BLOCK, budget, init_blocks, local_blocks)


@pytest.mark.parametrize("local_blocks", [0, 1, 2])
@pytest.mark.parametrize("init_blocks", [0, 1, 2])
def test_forced_blocks_and_ties(device, poisoned, init_blocks, local_blocks):
    """Scores of a few values only, so that most decisions are ties."""
    num_keys = 39 * BLOCK + 1
    scores = np.random.default_rng(0).integers(-2, 3, (1, 2, 6, 40)).astype(np.float64)
    config = config_of(5, init_blocks, local_blocks)
    np.testing.assert_array_equal(*choose(scores, config, num_keys, device))


@pytest.mark.parametrize(("init_blocks", "local_blocks"), [(0, 1), (1, 1), (0, 2), (1, 0)])
def test_forced_blocks_of_the_lowest_maxima(device, poisoned, init_blocks, local_blocks):
    """Five maxima and two slots: the first and the last block score least."""
    scores = 35.0 - np.abs(np.arange(70.0) - 35)
    got, want = choose(
        scores[None, None, None], config_of(2, init_blocks, local_blocks), 70 * BLOCK, device
    )
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("blocks_per_max", [2, 4, 16])
def test_maxima_of_decode(device, poisoned, blocks_per_max):
    scores = np.random.default_rng(1).standard_normal((2, 2, 3, 41))
    np.testing.assert_array_equal(
        *choose(scores, config_of(6), 41 * BLOCK - 3, device, blocks_per_max=blocks_per_max)
    )


def test_rows_that_see_fewer_than_k_blocks(device, poisoned):
    scores = np.random.default_rng(2).standard_normal((1, 1, 35, 3))
    got, want = choose(scores, config_of(2), 35, device)
    np.testing.assert_array_equal(got, want)
    assert got[0, 0, [0, 15, 16, 34]].tolist()[:3] == [[0, -1], [0, -1], [0, 1]]


def test_nan_and_minus_infinity_are_never_chosen_unless_forced(device, poisoned):
    rng = np.random.default_rng(3)
    scores = rng.standard_normal((1, 2, 6, 36))
    scores[rng.random(scores.shape) < 0.8] = np.nan
    scores[rng.random(scores.shape) < 0.1] = -np.inf
    scores[:, :, 4] = np.nan
    got, want = choose(scores, config_of(7), 36 * BLOCK, device)
    np.testing.assert_array_equal(got, want)
    assert (got[0, 0, 4] == [35] + [-1] * 6).all()


def test_minus_zero_ties_with_zero_and_infinities_rank(device, poisoned):
    scores = np.full((1, 1, 1, 20), -3.0)
    scores[..., [3, 7, 11, 15]] = [-0.0, 0.0, np.finfo(np.float32).max, 0.0]
    got, want = choose(scores, config_of(4), 20 * BLOCK, device)
    np.testing.assert_array_equal(got, want)
    assert got.ravel().tolist() == [3, 7, 11, 19]


def test_sixty_four_blocks(device, poisoned):
    scores = np.random.default_rng(4).standard_normal((1, 1, 3, 130))
    np.testing.assert_array_equal(*choose(scores, config_of(64, 2, 2), 130 * BLOCK, device))


def test_padded_rows_and_empty_sequences_hold_minus_one(device, poisoned):
    scores = np.random.default_rng(5).standard_normal((3, 2, 4, 6))
    got = top_k.select_blocks(
        padded(scores, 16, device), Lengths(ints([4, 2, 0], device), ints([90, 33, 20], device)),
        config=config_of(3), blocks_per_max=16,
    ).cpu()  # fmt: skip
    assert (got[0] >= 0).all()
    assert (got[1, :, :2, :2] >= 0).all()
    assert (got[1, :, 2:] == -1).all()
    assert (got[2] == -1).all()
    empty = top_k.select_blocks(
        padded(scores[:, :, :1], 2, device), Lengths(None, ints([90, 0, 1], device)),
        config=config_of(3), blocks_per_max=2,
    ).cpu()  # fmt: skip
    assert (empty[1] == -1).all()
    assert (empty[2] == torch.tensor([0, -1, -1])).all()


def test_four_rows_a_program_choose_as_one_does(device, poisoned):
    """A long prefill's launch, which a small test never reaches."""
    given = padded(np.random.default_rng(6).standard_normal((1, 2, 11, 40)), 16, device)
    lengths, named = whole(1, 11, 40 * BLOCK, device), {"blocks_per_max": 16}
    want = top_k.select_blocks(given, lengths, config=config_of(5), rows=1, **named)
    got = top_k.select_blocks(given, lengths, config=config_of(5), rows=4, **named)
    assert torch.equal(got, want)
