"""Top-k with forced blocks, and how good a selection is."""

import numpy as np
import pytest
from cases import ODD, assert_close, make_lanes

from msa_ref import dense, selection

INF = np.inf


def select(rows, **options):
    """Selection of one group whose score rows are given, its queries the last of the keys."""
    scores = np.array(rows, dtype=float)[None, None]
    return selection.select_blocks(scores, **options)[0, 0].tolist()


def test_forced_blocks_are_the_first_and_the_last_visible():
    forced = selection.forced_blocks(
        np.array([0, 3, 4, 9, 14]), 5, block_size=3, init_blocks=1, local_blocks=2
    )
    assert forced.astype(int).tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 0, 1, 1, 0],
        [1, 0, 0, 1, 1],
    ]


def test_own_block_alone_is_forced_by_default():
    forced = selection.forced_blocks(np.arange(6), 3, block_size=2)
    assert forced.argmax(axis=1).tolist() == [0, 0, 1, 1, 2, 2]
    assert (forced.sum(axis=1) == 1).all()


def test_init_blocks_of_the_future_are_not_forced():
    forced = selection.forced_blocks(np.array([1]), 4, block_size=2, init_blocks=3, local_blocks=0)
    assert forced.tolist() == [[True, False, False, False]]


def test_best_blocks_besides_the_own_one_in_ascending_order():
    rows = [[5, 9, 7, 1, -4]]
    assert select(rows, top_k=3, block_size=2, num_keys=10) == [[1, 2, 4]]
    assert select(rows, top_k=1, block_size=2, num_keys=10) == [[4]]
    assert select(rows, top_k=3, block_size=2, num_keys=10, local_blocks=0) == [[0, 1, 2]]
    assert select(rows, top_k=3, block_size=2, num_keys=10, local_blocks=2) == [[1, 3, 4]]
    assert select(rows, top_k=3, block_size=2, num_keys=10, init_blocks=2) == [[0, 1, 4]]


def test_ties_go_to_the_lower_id():
    assert select([[2, 3, 2, 2, 0]], top_k=3, block_size=1, num_keys=5) == [[0, 1, 4]]
    assert select([[0.0, -0.0, 0, 0]], top_k=2, block_size=1, num_keys=4, local_blocks=0) == [
        [0, 1]
    ]


def test_a_block_forced_twice_counts_once():
    got = select([[4, 3, 2, 1]], top_k=3, block_size=1, num_keys=4, init_blocks=1, local_blocks=2)
    assert got == [[0, 2, 3]]
    got = select([[1, 2]], top_k=3, block_size=1, num_keys=2, init_blocks=2, local_blocks=1)
    assert got == [[0, 1, -1]]


def test_rows_that_see_few_blocks_take_them_all():
    rows = [[1, 0, 0], [1, 2, 0], [1, 2, 3]]
    got = select(rows, top_k=3, block_size=1, num_keys=3)
    assert got == [[0, -1, -1], [0, 1, -1], [0, 1, 2]]
    got = select([[3.0]], top_k=4, block_size=8, num_keys=5)
    assert got == [[0, -1, -1, -1]]


def test_future_blocks_are_never_taken_whatever_they_score():
    got = select([[0, 9, 9], [0, 0, 9]], top_k=2, block_size=2, num_keys=5)
    assert got == [[0, 1], [0, 2]]
    got = select([[0, 9, 9], [0, 0, 9]], top_k=2, block_size=1, num_keys=3)
    assert got == [[0, 1], [0, 2]]


def test_blocks_without_a_visible_token_are_taken_only_when_forced():
    got = select([[-INF, 1, -INF, -INF]], top_k=3, block_size=1, num_keys=4)
    assert got == [[1, 3, -1]]
    got = select([[-INF, -INF]], top_k=1, block_size=1, num_keys=2, local_blocks=0)
    assert got == [[-1]]


def test_every_group_selects_for_itself():
    scores = np.zeros((2, 3, 1, 4))
    for row, (b, g) in enumerate(np.ndindex(2, 3)):
        scores[b, g, 0, row % 3] = 1
    chosen = selection.select_blocks(scores, top_k=2, block_size=1, num_keys=4)
    assert chosen[:, :, 0].tolist() == [[[0, 3], [1, 3], [2, 3]]] * 2
    assert chosen.dtype == np.int32


def test_selection_mask():
    mask = selection.selection_mask(np.array([[0, 2], [1, -1], [-1, -1]], np.int32), 3)
    assert mask.astype(int).tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]


WEIGHTS = np.array([[[[0.5, 0.1, 0.4]], [[0.1, 0.1, 0.8]], [[0.0, 1.0, 0.0]], [[0.2, 0.2, 0.6]]]])


def test_block_mass_adds_tokens_and_averages_heads():
    mass = selection.block_mass(WEIGHTS, num_kv_heads=2, block_size=2)
    assert_close(mass, np.array([[[[0.4, 0.6]], [[0.7, 0.3]]]]), 1e-15)
    assert_close(selection.block_mass(WEIGHTS, num_kv_heads=4, block_size=1), WEIGHTS, 1e-15)


def test_block_mass_of_dense_attention_sums_to_one():
    q, k, *_ = make_lanes()
    weights, _ = dense.attention_weights(q, k)
    mass = selection.block_mass(weights, num_kv_heads=2, block_size=ODD.block_size)
    assert mass.shape == (3, 2, 11, 5)
    assert_close(mass.sum(axis=-1), np.ones((3, 2, 11)), 1e-14)


MASS = np.array([[[[0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.25, 0.25]]]])
CHOSEN = np.array([[[[0, 3], [2, -1]]]], np.int32)
IDEAL = np.array([[[[2, 3], [0, 3]]]], np.int32)


def test_captured_mass():
    assert_close(selection.captured_mass(CHOSEN, MASS), np.array([[[0.5, 0.25]]]), 1e-15)


def test_block_recall_is_the_share_of_the_ideal_blocks():
    assert selection.block_recall(CHOSEN, IDEAL, 4).tolist() == [[[0.5, 0.0]]]
    assert selection.block_recall(IDEAL, IDEAL, 4).tolist() == [[[1.0, 1.0]]]
    assert selection.block_recall(IDEAL, CHOSEN, 4).tolist() == [[[0.5, 0.0]]]


def test_score_recall_is_the_share_of_the_ideal_mass():
    assert_close(selection.score_recall(CHOSEN, IDEAL, MASS), np.array([[[4 / 7, 0]]]), 1e-15)
    assert_close(selection.score_recall(IDEAL, IDEAL, MASS), np.ones((1, 1, 2)), 1e-15)


def test_recall_takes_selections_of_different_widths():
    wide = np.array([[[[0, 1, 3], [0, 2, 3]]]], np.int32)
    assert selection.block_recall(wide, IDEAL, 4).tolist() == [[[0.5, 1.0]]]


def test_ideal_selection_has_full_recall_and_most_mass():
    q, k, *_ = make_lanes()
    weights, _ = dense.attention_weights(q, k)
    mass = selection.block_mass(weights, num_kv_heads=2, block_size=5)
    sizes = {"top_k": 2, "block_size": 5, "num_keys": 23}
    ideal = selection.select_blocks(mass, **sizes)
    other = selection.select_blocks(np.zeros_like(mass), **sizes)
    assert (selection.block_recall(ideal, ideal, 5) == 1).all()
    assert (selection.captured_mass(ideal, mass) >= selection.captured_mass(other, mass)).all()


@pytest.mark.parametrize("top_k", [3, 9])
def test_selection_is_always_top_k_wide(top_k):
    assert len(select([[1.0, 2.0]], top_k=top_k, block_size=4, num_keys=8)[0]) == top_k
