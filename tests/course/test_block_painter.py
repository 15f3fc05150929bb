"""The block painter: its arrays, its picture at the extremes, its words."""

import colour_vision
import numpy as np
import pytest
from matplotlib.colors import to_rgba

from msa_course import palette
from msa_course.blocks import block_painter, block_painter_figure, figures, scene
from msa_ref import blocks

SIZES = [
    (1, 1, 1, 0, 0),
    (22, 4, 4, 0, 13),
    (22, 4, 3, 7, 9),
    (40, 16, 5, 39, 39),
    (9, 16, 2, 4, 8),
]


def say(*setting):
    """The explorer's sentence at this setting."""
    return block_painter.describe(block_painter.compute(*setting))


@pytest.mark.parametrize("setting", SIZES)
def test_token_states_agree_with_a_loop_over_tokens(setting):
    num_keys, block_size, query_tile = setting[:3]
    painting = block_painter.compute(*setting)
    for row, position in enumerate(painting.positions):
        for key in range(num_keys):
            tile_rows = painting.positions[row // query_tile * query_tile :][:query_tile]
            first, stop = blocks.block_span(key // block_size, block_size, num_keys)
            seen = [j <= t for t in tile_rows for j in range(first, stop)]
            state = blocks.VISIBLE if all(seen) else blocks.PARTIAL
            wanted = state if key <= position else blocks.HIDDEN
            assert painting.token_states[row, key] == wanted


@pytest.mark.parametrize("setting", SIZES)
def test_sizes_counts_and_own_block(setting):
    num_keys, block_size, _, _, query = setting
    painting = block_painter.compute(*setting)
    assert painting.sizes.sum() == num_keys
    assert (painting.sizes[:-1] == block_size).all()
    assert painting.counts.sum() == painting.states.size
    assert painting.own == query // block_size


def test_positions_out_of_range_are_brought_into_it():
    painting = block_painter.compute(10, 4, 4, 39, 0)
    assert painting.positions.tolist() == [9]
    assert painting.query == 9
    assert block_painter.compute(10, 4, 4, 0, 39).query == 9


def test_words_name_blocks_tiles_and_the_own_block():
    text = say(22, 4, 4, 0, 13)
    assert "22 keys in blocks of 4: blocks 0 to 5, block 5 is ragged with 2." in text
    assert "15 hidden (free), 15 visible (no mask), 6 partial (masked)" in text
    assert "Query 13 lives in block 3 (tokens 12 to 15)" in text
    assert "it sees 2 of 4 there" in text


def test_words_of_a_single_token():
    text = say(1, 1, 1, 0, 0)
    assert "1 key in blocks of 1: block 0, none is ragged. Query 0 in tiles of 1" in text
    assert "(token 0)" in text


def test_words_of_a_decode_step_say_that_nothing_needs_a_mask():
    text = say(22, 4, 1, 21, 21)
    assert "Query 21 in tiles of 1: 0 hidden (free), 6 visible (no mask), 0 partial" in text


@pytest.mark.parametrize("blindness", colour_vision.SIGHTS)
def test_states_differ_in_colour_for_every_reader(blindness):
    colours = [*figures.FILLS, palette.FORCED]
    for one in range(len(colours)):
        for other in range(one):
            assert colour_vision.distance(colours[one], colours[other], blindness) > 12


@pytest.mark.parametrize("setting", SIZES)
def test_the_picture_shows_every_tile_and_the_local_block(setting):
    painting = block_painter.compute(*setting)
    tiles, bars = block_painter_figure.draw(painting).axes
    shown = [patch.get_facecolor() for patch in tiles.patches[: painting.states.size]]
    wanted = [to_rgba(figures.FILLS[state]) for state in painting.states.ravel()]
    assert shown == wanted
    local = tiles.patches[painting.states.size]
    first, stop = painting.own_span
    assert (local.get_x(), local.get_width()) == (first, stop - first)
    assert [bar.get_width() for bar in bars.patches] == painting.counts.tolist()


def test_the_scene_reads_the_block_of_the_look_up():
    steps = scene.four_steps()
    assert steps.chosen.tolist() == [0, 4, 7, 19]
    assert np.count_nonzero(steps.weights) == 3 * 32 + 5
    assert steps.weights.sum() == pytest.approx(1)
    assert steps.weights.argmax() == scene.attention_of().argmax() == 235


def test_the_texts_selection_is_of_blocks_that_queries_see():
    picks = scene.text_selection(num_tokens=128, top_k=2)
    own = np.arange(128) // scene.BLOCK_SIZE
    assert (picks.max(axis=1) == own).all()
    assert (picks[:32] == [0, -1]).all()


def test_the_figure_of_the_lists_cuts_the_strip_where_lists_begin():
    selection = np.array([[0, -1], [0, 2]], dtype=np.int32)
    offsets, queries = blocks.invert_selection(selection, 3)
    chosen = (selection[:, :, None] == np.arange(3)).any(axis=1)
    grid, strip = figures.both_lists(chosen, offsets, queries).axes
    assert [text.get_text() for text in grid.texts] == ["0", "1", "1"]
    assert [text.get_text() for text in strip.texts] == [
        "block 0",
        "block 1",
        "block 2",
        "0",
        "1",
        "1",
    ]
    assert strip.get_xticks().tolist() == offsets.tolist()
