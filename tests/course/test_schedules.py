"""The two schedules: every (query, block) is served by one load, and the loads are counted."""

import numpy as np

from msa_course.figures import new_figure
from msa_course.two_orders import schedules, schedules_figure
from msa_ref import selection as selecting

SELECTION = np.array([[0, -1], [0, 1], [1, -1], [0, 3], [-1, -1]], dtype=np.int32)


def test_query_major_loads_once_for_every_chosen_block_of_every_query():
    load = schedules.loads(SELECTION, 4, "query-major")
    np.testing.assert_array_equal(
        load, [[1, 0, 0, 0], [2, 3, 0, 0], [0, 4, 0, 0], [5, 0, 0, 6], [0, 0, 0, 0]]
    )


def test_block_major_loads_once_for_every_block_that_anyone_chose():
    load = schedules.loads(SELECTION, 4, "block-major")
    np.testing.assert_array_equal(
        load, [[1, 0, 0, 0], [1, 2, 0, 0], [0, 2, 0, 0], [1, 0, 0, 3], [0, 0, 0, 0]]
    )


def test_both_orders_serve_exactly_what_was_chosen():
    scores = np.random.default_rng(0).standard_normal((1, 1, 19, 5))
    selection = selecting.select_blocks(scores, top_k=3, block_size=4, num_keys=19)[0, 0]
    chosen = selecting.selection_mask(selection, 5)
    for order in schedules.ORDERS:
        np.testing.assert_array_equal(schedules.loads(selection, 5, order) > 0, chosen)
    assert schedules.loads(selection, 5, "query-major").max() == chosen.sum()


def test_the_picture_numbers_every_load():
    for order, count in zip(schedules.ORDERS, (6, 3)):
        ax = new_figure(4, 4).add_subplot()
        schedules_figure.draw_order(ax, SELECTION, 4, order)
        assert f"{order}: {count} loads" in (ax.get_title(loc="left"), ax.get_title())
        assert [text.get_text() for text in ax.texts] == [str(n + 1) for n in range(count)]
