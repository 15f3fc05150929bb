"""The arrays behind the decode explorer's picture, and its words at the extremes."""

import itertools

import numpy as np
import pytest

from msa_course.whole_layer import decode_reads, decode_reads_figure
from msa_ref import M3, cost

FIRST = {"context": 32768, "top_k": 16, "block_size": 128, "query": 1}
EXTREMES = [
    dict(zip(FIRST, setting))
    for setting in itertools.product((1024, 2**20), (1, 32), (32, 256), (1, 8))
]


def say(**setting):
    """The explorer's sentence at this setting."""
    return decode_reads.describe(decode_reads.compute(**setting))


@pytest.mark.parametrize("setting", [FIRST, *EXTREMES])
def test_every_group_reads_its_own_page_and_the_budget(setting):
    reads = decode_reads.compute(**setting)
    pages = setting["context"] // setting["block_size"]
    assert reads.num_pages == pages
    for ids in reads.selection:
        used = ids[ids >= 0]
        assert len(set(used)) == len(used) == min(setting["top_k"], pages)
        assert used[-1] == pages - 1


def test_bytes_are_those_of_the_closed_form():
    reads = decode_reads.compute(**FIRST)
    assert reads.index_bytes == 256 * 32768
    assert reads.main_bytes == 4_194_304
    assert reads.dense_bytes == 2048 * 32768
    assert reads.index_bytes + reads.main_bytes == cost.decode_bytes(M3, 32768).layer
    at_a_million = decode_reads.compute(**FIRST | {"context": 2**20})
    assert round(at_a_million.ratio, 2) == 7.88


def test_a_larger_budget_keeps_the_pages_of_a_smaller_one():
    few, more = (decode_reads.compute(**FIRST | {"top_k": top_k}).selection for top_k in (8, 16))
    for small, large in zip(few, more):
        assert set(small) <= set(large)


def test_groups_and_queries_choose_differently_and_cost_the_same():
    one, other = (decode_reads.compute(**FIRST | {"query": query}) for query in (1, 2))
    assert not np.array_equal(one.selection, other.selection)
    assert len({tuple(ids) for ids in one.selection}) == M3.num_kv_heads
    assert one[-3:] == other[-3:]


def test_words_name_the_blocks_of_group_0():
    setting = FIRST | {"top_k": 4}
    ids = decode_reads.compute(**setting).selection[0]
    named = f"Group 0 reads blocks {ids[0]}, {ids[1]}, {ids[2]} and the local block, 255."
    assert named in say(**setting)
    assert "Group 0 reads the local block, 255." in decode_reads.describe(
        decode_reads.compute(**FIRST | {"top_k": 1})
    )


def test_words_say_when_msa_reads_more_than_dense():
    assert "5.33 times less than the 67.11 MB" in decode_reads.describe(
        decode_reads.compute(**FIRST)
    )
    assert "1.125 times the 2.10 MB" in decode_reads.describe(
        decode_reads.compute(**FIRST | {"context": 1024})
    )


def test_one_byte_index_keys_halve_their_lane_and_nothing_else():
    at = FIRST | {"context": 2**20}
    two, one = (decode_reads.compute(**at, channel_bytes=size) for size in (2, 1))
    assert two.index_bytes == 2 * one.index_bytes
    assert (two.main_bytes, two.dense_bytes) == (one.main_bytes, one.dense_bytes)
    assert 15.5 < one.ratio < 16


def test_a_group_is_named_and_changes_no_byte():
    groups = [decode_reads.compute(**FIRST, group=group) for group in range(M3.num_kv_heads)]
    for group, reads in enumerate(groups):
        assert reads.chosen == reads.selection[group].tolist()
        assert f"Group {group} reads blocks {reads.chosen[0]}," in decode_reads.describe(reads)
        assert reads[-3:] == groups[0][-3:]


def test_lit_pages_of_the_picture_are_the_selected_ones():
    setting = FIRST | {"context": 4096, "top_k": 4}
    reads = decode_reads.compute(**setting)
    lanes = decode_reads_figure.draw(decode_reads.compute(**setting)).axes[0]
    index, *rows = lanes.collections
    assert len(index.get_paths()) == reads.num_pages
    assert len(rows) == 2 * M3.num_kv_heads * 3
    for number, ids in enumerate([*reads.selection, *reads.selection]):
        _, others, own = rows[3 * number : 3 * number + 3]
        lit = [path.get_extents().x0 for path in (*others.get_paths(), *own.get_paths())]
        assert sorted(lit) == [block * 128 for block in ids]
