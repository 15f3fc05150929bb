"""The README's picture: its arrays say what its title says, and the stored file is this picture."""

from pathlib import Path

import numpy as np

from msa_course import explorer, overview, overview_figure

STORED = Path(__file__).parents[2] / "docs" / "overview.png"


def test_dense_reads_every_earlier_pair():
    tokens = overview.NUM_TOKENS
    assert np.count_nonzero(overview.compute().causal) == tokens * (tokens + 1) // 2


def test_msa_reads_at_most_its_budget_and_always_its_own_block():
    states = overview.compute().states
    read = (states >= 2).sum(axis=1)
    position = np.arange(overview.NUM_TOKENS)
    others = np.minimum(position // overview.BLOCK_SIZE, overview.TOP_K - 1)
    assert np.array_equal(read, position % overview.BLOCK_SIZE + 1 + others * overview.BLOCK_SIZE)
    assert np.array_equal((states == 3).sum(axis=1), position % overview.BLOCK_SIZE + 1)


def test_nothing_of_the_future_is_visible():
    arrays = overview.compute()
    assert (arrays.states[~arrays.causal] == 0).all()
    assert (arrays.states[arrays.causal] > 0).all()


def test_what_is_read_scores_no_lower_than_what_is_not():
    arrays = overview.compute()
    last = arrays.block_scores[-1, :-1]
    read = arrays.states[-1, :: overview.BLOCK_SIZE][:-1] == 2
    assert last[read].min() >= last[~read].max()


def test_the_titles_count_the_pairs_of_the_arrays():
    arrays = overview.compute()
    left, _, right = overview_figure.draw(arrays).axes[:3]
    assert f"{np.count_nonzero(arrays.causal):,} pairs" in left.get_title(loc="left")
    assert f"{np.count_nonzero(arrays.states >= 2):,} pairs" in right.get_title(loc="left")


def test_the_stored_picture_is_a_small_opaque_png():
    assert explorer.to_png(overview_figure.draw(overview.compute())).startswith(b"\x89PNG")
    assert STORED.read_bytes().startswith(b"\x89PNG")
    assert STORED.stat().st_size < 100_000
