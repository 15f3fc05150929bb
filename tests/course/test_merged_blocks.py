"""Token 612's blocks: captured mass and error as the package has them, and the words."""

import json

import numpy as np
import pytest

from msa_course.exact_on_what_was_chosen import merged_blocks as explorer
from msa_course.exact_on_what_was_chosen import merged_blocks_figure as figure
from msa_ref import data, dense, sparse


def truth(head, blocks):
    """(captured mass, dense - sparse) from the package's two attentions."""
    q, k, v = (array.astype(float) for array in data.load_capture(explorer.LAYER))
    q, k, v = q[:, :, [612]], k[:, :, :613], v[:, :, :613]
    full, full_lse = dense.attention(q, k, v)
    selection = np.full((1, 3, 1, len(blocks)), blocks)
    out, lse = sparse.attention(q, k, v, selection, block_size=explorer.BLOCK_SIZE)
    return np.exp(lse - full_lse)[0, head, 0], (full - out)[0, head, 0]


@pytest.mark.parametrize("head", explorer.HEADS)
@pytest.mark.parametrize("blocks", [(0, 4, 7, 19), (19,), (1, 2, 3), tuple(range(20))])
def test_it_is_what_the_package_computes(head, blocks):
    state = explorer.compute(head, blocks)
    captured, error = truth(head, blocks)
    np.testing.assert_allclose(state.captured, captured)
    np.testing.assert_allclose(state.error, error, atol=1e-12)
    np.testing.assert_allclose(state.captured + state.missed, 1)
    if state.gap:
        np.testing.assert_allclose(state.missed * state.gap, state.largest_error)


def test_the_best_blocks_are_those_of_the_lesson():
    assert explorer.best_blocks(4) == (0, 4, 7, 19)
    assert explorer.best_blocks(20) == tuple(range(20))


@pytest.mark.parametrize(
    ("head", "blocks", "fragments"),
    [
        (6, (0, 4, 7, 19), ["4 blocks of 20", "96.2%", "Missed mass 0.038", "2.32", "0.087"]),
        (6, (7,), ["1 block of 20", "90.2%"]),
        (7, (), ["No block is read", "LSE is -inf"]),
        (6, tuple(range(20)), ["20 blocks", "100.0%", "0.0000"]),
    ],
)
def test_the_words_say_what_is_captured_and_lost(head, blocks, fragments):
    text = explorer.describe(explorer.compute(head, blocks))
    for fragment in fragments:
        assert fragment in text


def test_the_data_of_the_page_is_plain_json_with_the_words():
    payload = figure.payload()
    json.dumps(payload)
    assert "suite and continues" in payload["texts"][7]
    assert len(payload["texts"]) == explorer.NUM_BLOCKS
