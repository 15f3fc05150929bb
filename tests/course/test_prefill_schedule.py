"""The arrays behind the prefill explorer's picture, its words, and its redraws."""

import itertools

import numpy as np
import pytest

from msa_course.block_sparse_prefill import prefill_schedule as picture
from msa_course.block_sparse_prefill import prefill_schedule_figure as picture_figure

FIRST = {"kind": "sink", "tile": 4, "chunk": 16}
EXTREMES = [
    dict(zip(FIRST, setting)) for setting in itertools.product(picture.KINDS, (1, 8), (8, 64))
]


def say(**setting):
    """The explorer's sentence at this setting."""
    return picture.describe(picture.compute(**setting))


@pytest.mark.parametrize("kind", picture.KINDS)
def test_selections_are_valid_and_hold_the_own_block(kind):
    selection = picture.make_selection(kind, num_queries=20, num_blocks=6, top_k=4, block_size=5)
    own = np.arange(10, 30) // 5
    for ids, block in zip(selection, own):
        used = ids[ids >= 0]
        assert len(used) == min(4, block + 1)
        assert list(used) == sorted(set(used))
        assert used[-1] == block
        assert kind != "sink" or used[0] == 0


def test_neighbours_agree_in_corr_and_not_in_rand():
    def shared(kind):
        selection = picture.make_selection(kind)
        return np.mean([len(np.intersect1d(*pair)) for pair in itertools.pairwise(selection)])

    assert shared("corr") > 6.5
    assert shared("rand") < 4


def test_shares_of_a_case_counted_by_hand():
    selection = np.array([[0, 1], [0, 1], [0, 2], [1, 3]])
    plan = picture.schedule(selection, 4, tile=2, chunk=2)
    assert [list(union) for union in plan.unions] == [[0, 1], [0, 1, 2, 3]]
    assert plan.wanted[1].tolist() == [[True, False, True, False], [False, True, False, True]]
    assert list(plan.readers) == [3, 3, 1, 1]
    assert list(plan.item_blocks) == [0, 0, 1, 1, 2, 3]
    assert list(plan.item_sizes) == [2, 1, 2, 1, 1, 1]
    # 8 entries of 16 rows; 6 steps of 64 rows in both orders
    assert plan.query_major == plan.block_major == 8 * 16 / (6 * 64)


@pytest.mark.parametrize("setting", [FIRST, *EXTREMES])
def test_rows_drawn_are_the_rows_counted(setting):
    plan = picture.compute(**setting).schedule
    rows = [picture.union_rows(plan, number) for number in range(len(plan.unions))]
    busy = np.concatenate(rows, axis=1)
    assert busy.mean() == pytest.approx(plan.query_major)
    assert picture.item_rows(plan).mean() == pytest.approx(plan.block_major)
    assert plan.item_sizes.sum() == picture.QUERIES * picture.TOP_K
    assert plan.item_sizes.max() <= setting["chunk"]
    by_block = np.bincount(plan.item_blocks, plan.item_sizes, picture.NUM_BLOCKS)
    assert np.array_equal(by_block, plan.readers)


def test_one_query_fills_a_quarter_and_block_major_wins_where_neighbours_differ():
    alone = picture.compute(kind="rand", tile=1, chunk=16).schedule
    assert alone.query_major == alone.block_major == 0.25
    four = picture.compute(kind="rand", tile=4, chunk=16).schedule
    assert four.query_major < 0.5 < 0.85 < four.block_major


def test_the_sink_is_the_longest_list_and_is_cut():
    assert picture.compute(**FIRST).schedule.readers[0] == picture.QUERIES
    assert "block 0 with 64 readers, is cut into 4 items" in say(**FIRST)
    assert "is cut into 1 item." in say(**FIRST | {"chunk": 64})


def test_bars_are_the_items():
    plan = picture.compute(**FIRST).schedule
    bars = picture_figure.draw(picture.compute(**FIRST)).axes[2]
    heights = {round(bar.get_x() + 0.45): bar.get_height() for bar in bars.patches}
    assert [heights[item] for item in range(len(heights))] == list(plan.item_sizes)
