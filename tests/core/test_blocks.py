"""Token and block arithmetic, and selections read both ways."""

import numpy as np
import pytest
from cases import random_selection

from msa_ref import blocks
from msa_ref.blocks import HIDDEN, PARTIAL, VISIBLE


@pytest.mark.parametrize(
    ("num_keys", "block_size", "want"),
    [(1, 1, 1), (1, 128, 1), (128, 128, 1), (129, 128, 2), (256, 128, 2), (2**20, 128, 8192)],
)
def test_num_blocks(num_keys, block_size, want):
    assert blocks.num_blocks(num_keys, block_size) == want


@pytest.mark.parametrize(
    ("block", "want"), [(0, (0, 4)), (1, (4, 8)), (2, (8, 10))], ids=["first", "whole", "partial"]
)
def test_block_span(block, want):
    assert blocks.block_span(block, 4, 10) == want


def test_block_spans_cover_every_token_once():
    spans = [range(*blocks.block_span(b, 7, 30)) for b in range(blocks.num_blocks(30, 7))]
    assert [token for span in spans for token in span] == list(range(30))


def test_query_positions_end_with_the_last_key():
    assert blocks.query_positions(3, 10).tolist() == [7, 8, 9]
    assert blocks.query_positions(4, 4).tolist() == [0, 1, 2, 3]


def test_tile_states_of_a_prefill():
    states = blocks.tile_states(6, 6, query_tile=2, block_size=2)
    assert states.tolist() == [
        [PARTIAL, HIDDEN, HIDDEN],
        [VISIBLE, PARTIAL, HIDDEN],
        [VISIBLE, VISIBLE, PARTIAL],
    ]
    assert states.dtype == np.int8


@pytest.mark.parametrize("query_tile", [1, 2, 3, 5, 40])
@pytest.mark.parametrize("block_size", [1, 2, 4, 7, 40])
@pytest.mark.parametrize(("num_queries", "num_keys"), [(13, 13), (5, 17), (1, 9)])
def test_tile_states_say_who_sees_what(num_queries, num_keys, query_tile, block_size):
    sees = np.arange(num_keys) <= np.arange(num_keys - num_queries, num_keys)[:, None]
    states = blocks.tile_states(num_queries, num_keys, query_tile=query_tile, block_size=block_size)
    for tile, block in np.ndindex(states.shape):
        rows = slice(tile * query_tile, (tile + 1) * query_tile)
        seen = sees[rows, block * block_size : (block + 1) * block_size]
        want = VISIBLE if seen.all() else PARTIAL if seen.any() else HIDDEN
        assert states[tile, block] == want
    assert states.shape == (-(-num_queries // query_tile), -(-num_keys // block_size))


def test_invert_selection_lists_queries_by_block():
    selection = np.array([[0, -1], [0, 2], [1, 2], [-1, -1]])
    offsets, queries = blocks.invert_selection(selection, 4)
    assert offsets.tolist() == [0, 2, 3, 5, 5]
    assert queries.tolist() == [0, 1, 2, 1, 2]


def test_selection_from_lists_is_ascending_and_padded():
    offsets, queries = np.array([0, 2, 3, 5, 5]), np.array([1, 0, 2, 2, 1])
    selection = blocks.selection_from_lists(offsets, queries, num_queries=4, top_k=3)
    assert selection.tolist() == [[0, -1, -1], [0, 2, -1], [1, 2, -1], [-1, -1, -1]]
    assert selection.dtype == np.int32


@pytest.mark.parametrize("seed", range(5))
def test_lists_and_selections_are_inverses(seed):
    selection = random_selection(17, 40, 3, 5, seed=seed)[0, 0]
    offsets, queries = blocks.invert_selection(selection, 14)
    assert offsets.shape == (15,)
    back = blocks.selection_from_lists(offsets, queries, num_queries=17, top_k=5)
    np.testing.assert_array_equal(back, selection)


def test_lists_of_nothing():
    selection = np.full((3, 2), -1)
    offsets, queries = blocks.invert_selection(selection, 2)
    assert offsets.tolist() == [0, 0, 0]
    assert queries.size == 0
    back = blocks.selection_from_lists(offsets, queries, num_queries=3, top_k=2)
    np.testing.assert_array_equal(back, selection)
