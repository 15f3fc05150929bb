"""Pooling on real layers: three ways, what they choose, and the words about it."""

import numpy as np
import pytest

from msa_course.index_branch import pooling
from msa_course.index_branch.branch import catalogue
from msa_ref import selection

HIDDEN = -np.inf


def test_mean_pool_counts_visible_tokens_alone():
    scores = np.array([[1.0, 3.0, 5.0, HIDDEN, HIDDEN]])
    assert pooling.mean_pool(scores, 2).tolist() == [[2, 5, HIDDEN]]


def test_log_sum_exp_adds_exponentials_and_leaves_hidden_blocks_out():
    scores = np.array([[0.0, np.log(3), 700.0, HIDDEN, HIDDEN]])
    assert pooling.log_sum_exp_pool(scores[:, :2], 2) == pytest.approx(np.log(4))
    assert pooling.log_sum_exp_pool(scores, 2)[0, 1:] == pytest.approx([700, HIDDEN])


def test_max_and_log_sum_exp_differ_by_the_block_size_at_most():
    scores, _ = pooling.scored(11)
    _, by_max, by_sum = scores[:, :, -1]
    assert (by_sum >= by_max - 1e-4).all()
    assert (by_sum <= by_max + np.log(pooling.BLOCK_SIZE) + 1e-4).all()


def test_recalls_are_those_of_the_lesson():
    wanted = {0: [0.948, 0.878, 0.965], 11: [0.970, 0.964, 0.992], 18: [0.606, 0.985, 0.988]}
    for layer in pooling.LAYERS:
        assert pooling.recalls(layer, 4) == pytest.approx(wanted[layer], abs=5e-4)


@pytest.mark.parametrize("query", [512, 543, 612, 1020])
@pytest.mark.parametrize("layer", pooling.LAYERS)
@pytest.mark.parametrize("top_k", [1, 4, 12])
def test_choices_are_the_packages(layer, query, top_k):
    got = pooling.compute(layer, query, top_k)
    scores, mass = pooling.scored(layer)
    sizes = {"top_k": top_k, "block_size": pooling.BLOCK_SIZE, "num_keys": query + 1}
    seen = len(got.mass)
    rows = [*scores[:, pooling.GROUP, query, :seen], mass[pooling.GROUP, query, :seen]]
    picks = [selection.select_blocks(row[None, None, None], **sizes)[0, 0, 0] for row in rows]
    np.testing.assert_array_equal([*got.chosen, got.ideal], picks)
    assert got.mass.sum() == pytest.approx(1, abs=1e-5)
    assert (got.recall <= 1).all()
    assert (got.captured <= got.mass[got.ideal].sum() + 1e-9).all()


def test_words_give_the_shares():
    text = pooling.describe(pooling.compute(18, 612, 4))
    assert "reading 4 of 20 blocks" in text
    assert "mean 3%, max 98%, log-sum-exp 98%" in text


def test_the_shipped_index_opens_the_block_of_the_look_up():
    found = catalogue()
    assert found.chosen == [0, 4, 7, 19]
    assert found.winners[7] == 235
    assert found.words[235] == " and"
