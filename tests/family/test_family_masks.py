"""Masks of windows and chosen blocks, top-k, and what a tie is."""

import numpy as np
import oracle_deepseek
import pytest

from msa_ref.family import masks


@pytest.mark.parametrize(
    ("count", "total", "want"), [(0, 5, []), (2, 5, [3, 4]), (3, 3, [0, 1, 2])]
)
def test_newest_are_the_last_indices(count, total, want):
    assert masks.newest(count, total).tolist() == want


def test_a_window_ends_with_the_query():
    got = masks.window_mask(np.array([3, 9]), np.arange(12), 4)
    assert [np.flatnonzero(row).tolist() for row in got] == [[0, 1, 2, 3], [6, 7, 8, 9]]
    assert masks.window_mask(np.array([3]), np.array([2, 3, 4]), 1).tolist() == [
        [False, True, False]
    ]


def test_scores_keep_thirty_bits():
    exact = np.array([[0.0, 1.0, -0.75, 2.0**29 + 1, 1 / 1024, -np.inf, np.inf]])
    np.testing.assert_array_equal(masks.round_scores(exact), exact)
    for score in (1.0, -3.0, 1e-200, 7e90):
        close, apart = score * (1 + 2.0**-33), score * (1 + 2.0**-28)
        rounded = masks.round_scores(np.array([score, close, apart]))
        assert rounded[0] == rounded[1] != rounded[2]
        assert abs(rounded[0] / score - 1) <= 2.0**-30
    singles = np.random.default_rng(0).standard_normal(100).astype(np.float32)
    assert masks.round_scores(singles).dtype == np.float32
    np.testing.assert_array_equal(masks.round_scores(singles), singles)


def test_scores_apart_by_rounding_alone_are_ties():
    third, sum_of_tenths = 1 / 3, 0.1 + 0.2
    scores = np.array([[0.3, sum_of_tenths, third, third * (1 + 1e-15), 0.1]])
    assert scores[0, 1] > scores[0, 0]
    assert scores[0, 3] > scores[0, 2]
    assert np.flatnonzero(masks.top_k_mask(scores, 1)).tolist() == [2]
    assert np.flatnonzero(masks.top_k_mask(scores, 3)).tolist() == [0, 2, 3]
    chosen = masks.tokens_of_best_blocks(
        scores[None, None], top_k=1, block_size=2, num_keys=10, num_heads=1
    )
    assert np.flatnonzero(chosen).tolist() == [4, 5]


def test_a_row_with_fewer_entries_than_top_k_takes_those_it_has():
    scores = np.array([[-4.0, -np.inf, -np.inf, -np.inf], [-np.inf] * 4, [1, -3, -2, -np.inf]])
    chosen = masks.top_k_mask(scores, 2)
    assert chosen.tolist() == [[1, 0, 0, 0], [0, 0, 0, 0], [1, 0, 1, 0]]
    assert masks.top_k_mask(scores[:, :0], 2).shape == (3, 0)


def test_equal_scores_go_to_the_lower_entry():
    scores = np.array([0.0, 2, 0, -1, 0, 2, 0])
    assert np.flatnonzero(masks.top_k_mask(scores, 4)).tolist() == [0, 1, 2, 5]
    rng = np.random.default_rng(0)
    for _ in range(20):
        ties = rng.integers(0, 3, 100).astype(float)
        assert np.flatnonzero(masks.top_k_mask(ties, 40)).tolist() == oracle_deepseek.best(ties, 40)


@pytest.mark.parametrize("num_heads", [2, 6])
@pytest.mark.parametrize(
    ("forced", "want"),
    [
        ({}, [3, 4, 5, 9, 10, 11]),
        ({"init_blocks": 1}, [0, 1, 2, 9, 10, 11]),
        ({"local_blocks": 1}, [9, 10, 11, 12]),
        ({"init_blocks": 1, "local_blocks": 1}, [0, 1, 2, 12]),
    ],
    ids=str,
)
def test_the_best_blocks_of_every_group_are_read(num_heads, forced, want):
    scores = np.array([[[[1.0, 5, -2, 7, 3]], [[1, 6, -2, 7, 5]]]])
    got = masks.tokens_of_best_blocks(
        scores, top_k=2, block_size=3, num_keys=13, num_heads=num_heads, **forced
    )
    assert got.shape == (1, num_heads, 1, 13)
    for row in got[0, :, 0]:
        assert np.flatnonzero(row).tolist() == want


def test_tokens_of_blocks_are_the_visible_ones():
    selection = np.array([[[[0, 2, -1], [1, -1, -1]], [[-1, -1, -1], [0, 1, 2]]]], dtype=np.int32)
    got = masks.tokens_of_blocks(selection, block_size=3, num_keys=8, num_heads=4)
    assert got.shape == (1, 4, 2, 8)
    rows = [[0, 1, 2, 6], [3, 4, 5], [], [0, 1, 2, 3, 4, 5, 6, 7]]
    for head, row, want in ((0, 0, 0), (1, 0, 0), (1, 1, 1), (2, 0, 2), (3, 1, 3)):
        assert np.flatnonzero(got[0, head, row]).tolist() == rows[want]


def test_heads_that_make_no_groups_are_refused():
    selection = np.zeros((1, 2, 1, 1), dtype=np.int32)
    with pytest.raises(ValueError, match=r"^num_kv_heads: got 2, takes a divisor of 3"):
        masks.tokens_of_blocks(selection, block_size=3, num_keys=3, num_heads=3)
