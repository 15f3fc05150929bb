"""The pooling explorer: max keeps the needle, mean dilutes it, and the words say so."""

import re

import numpy as np
import pytest

from msa_course.explorer import new_figure
from msa_course.index_branch import pooling_figure
from msa_course.index_branch.pooling import (
    BLOCK_SIZES,
    NEEDLE_BLOCK,
    NUM_BLOCKS,
    compute,
    describe,
    found,
    mean_pool,
    needle,
    with_needle,
)


def test_mean_pool_averages_blocks_and_a_partial_last_one():
    assert mean_pool(np.array([1.0, 3.0, 5.0, 7.0, 10.0]), 2).tolist() == [2, 6, 10]


@pytest.mark.parametrize("block_size", BLOCK_SIZES)
def test_a_needle_adds_its_height_to_the_max_and_a_share_of_it_to_the_mean(block_size):
    plain, raised = compute(0, block_size), compute(12, block_size)
    token = needle(block_size)
    assert token // block_size == NEEDLE_BLOCK
    assert raised.scores[token] - plain.scores[token] == pytest.approx(12)
    assert raised.block_max[NEEDLE_BLOCK] == raised.scores[token]
    gained = raised.block_mean - plain.block_mean
    assert gained[NEEDLE_BLOCK] == pytest.approx(12 / block_size)
    assert np.delete(gained, NEEDLE_BLOCK) == pytest.approx(0)


def test_without_a_needle_both_only_guess():
    for shares in found(0):
        assert shares == pytest.approx(1 / NUM_BLOCKS, abs=0.05)


def test_the_mean_loses_as_blocks_grow_and_the_max_keeps():
    by_max, by_mean = found(6)
    assert (by_max > 0.95).all()
    assert (np.diff(by_mean) < 0).all()
    assert by_mean[-1] < 0.3


def test_raising_one_needle_leaves_the_noise_as_it_was():
    with_needle(12, 4)
    np.testing.assert_array_equal(with_needle(0, 4), with_needle(0, 4))
    assert with_needle(0, 4).max() < 12


@pytest.mark.parametrize("block_size", BLOCK_SIZES)
@pytest.mark.parametrize("height", [0, 4, 12])
def test_words_give_the_ranks_and_shares(height, block_size):
    pooled = compute(height, block_size)
    text = describe(pooled)
    ranks = [int(number) for number in re.findall(r"number (\d+)", text)]
    assert ranks == [pooled.max_rank, pooled.mean_rank]
    place = sorted(-pooled.block_max).index(-pooled.block_max[NEEDLE_BLOCK]) + 1
    assert pooled.max_rank == place
    column = BLOCK_SIZES.index(block_size)
    assert f"first in {pooled.max_found[column]:.0%}, the mean in" in text


def test_a_score_map_repeats_blocks_over_their_tokens_and_hides_the_future():
    axes = new_figure(3, 3).add_subplot()
    scores = np.array([[1.0, -np.inf, -np.inf], [2.0, 3.0, 4.0]])
    image = pooling_figure.draw_score_map(axes, scores, 2, 5)
    shown = image.get_array()
    assert shown.filled(-9).tolist() == [[1, 1, -9, -9, -9], [2, 2, 3, 3, 4]]
    assert image.get_extent() == [0, 5, 5, 3]
