"""The block-selection explorer: arrays that agree with the package, words that name its blocks."""

import re

import numpy as np
import pytest

from msa_course.choosing_k import block_selection_figure
from msa_course.choosing_k.block_selection import (
    CHOSEN,
    FORCED,
    GROUP_SIZE,
    HIDDEN,
    NUM_TOKENS,
    VISIBLE,
    compute,
    describe,
    heaviest_left_out,
    scene,
    steps,
)
from msa_course.explorer import new_figure, to_png
from msa_ref import selection, sparse

NAMES = ("group", "top_k", "block_size", "init_blocks", "local_blocks")
SETTINGS = [
    dict(zip(NAMES, setting))
    for setting in (
        (0, 4, 4, 0, 1),
        (1, 4, 4, 0, 1),
        (1, 2, 8, 1, 1),
        (0, 3, 12, 0, 0),
        (1, 1, 16, 2, 2),
        (0, 8, 4, 2, 2),
    )
]


def say(**setting):
    """The explorer's sentence at this setting."""
    return describe(compute(**setting))


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_attention_shown_is_the_packages(setting):
    group, block_size = setting["group"], setting["block_size"]
    got = steps(**setting)
    q, k, _, _ = scene()
    v = np.random.default_rng(0).normal(size=k.shape)
    heads = slice(group * GROUP_SIZE, (group + 1) * GROUP_SIZE)
    out, _ = sparse.attention(
        q[:, heads],
        k[:, [group]],
        v[:, [group]],
        got.selection[None, None],
        block_size=block_size,
    )
    np.testing.assert_allclose(got.sparse @ v[0, group], out[0].mean(axis=0), atol=1e-12)


@pytest.mark.parametrize("setting", SETTINGS)
def test_states_tell_hidden_visible_chosen_and_forced_apart(setting):
    _, top_k, block_size, init_blocks, local_blocks = setting.values()
    got = steps(**setting)
    own = np.arange(NUM_TOKENS) // block_size
    block = np.arange(got.states.shape[1])
    assert got.top_k == max(top_k, init_blocks + local_blocks)
    np.testing.assert_array_equal(got.states == HIDDEN, block > own[:, None])
    read = selection.selection_mask(got.selection[None, None], len(block))[0, 0]
    np.testing.assert_array_equal(got.states >= CHOSEN, read)
    first, local = block < init_blocks, block > own[:, None] - local_blocks
    np.testing.assert_array_equal(got.states == FORCED, (first | local) & (got.states != HIDDEN))
    assert (read.sum(axis=1) == np.minimum(got.top_k, own + 1)).all()


def test_pooled_scores_are_the_best_visible_token_of_the_block():
    got = steps(group=1, top_k=4, block_size=8)
    query = 37
    for block in range(query // 8 + 1):
        tokens = got.token_scores[query, block * 8 : (block + 1) * 8]
        assert got.block_scores[query, block] == pytest.approx(tokens[tokens > -np.inf].max())
    assert (got.block_scores[query, query // 8 + 1 :] == -np.inf).all()


def test_values_of_blocks_are_repeated_for_their_tokens_up_to_the_ragged_end():
    got = steps(group=0, top_k=4, block_size=16)
    tokens = got.per_token(np.arange(4))
    assert tokens.tolist() == [token // 16 for token in range(NUM_TOKENS)]


def test_masses_sum_to_one_and_the_ideal_selection_holds_the_most():
    got = steps(group=0, top_k=4, block_size=4)
    np.testing.assert_allclose(got.mass.sum(axis=1), 1)
    np.testing.assert_allclose(got.dense.sum(axis=1), 1)
    np.testing.assert_allclose(got.sparse.sum(axis=1), 1)
    held = selection.captured_mass(got.selection[None, None], got.mass[None, None])
    most = selection.captured_mass(got.ideal[None, None], got.mass[None, None])
    assert (held <= most + 1e-12).all()
    assert (held < most - 0.05).any()


def test_the_index_agrees_with_the_main_branch_well_but_not_perfectly():
    rows = slice(16, None)
    for group in (0, 1):
        got = steps(group=group, top_k=4, block_size=4)
        chosen, ideal = got.selection[None, None], got.ideal[None, None]
        mass = got.mass[None, None]
        shares = selection.score_recall(chosen, ideal, mass)[0, 0, rows]
        assert 0.85 < shares.mean() < 0.96
        assert selection.block_recall(chosen, ideal, 15)[0, 0, rows].mean() < shares.mean()


def test_the_scene_is_the_same_whatever_signs_the_svd_gives(monkeypatch):
    """Singular vectors are defined up to their sign, and LAPACK builds differ in it."""
    here = scene()
    svd, flips = np.linalg.svd, np.random.default_rng(0)

    def flipped(matrix, full_matrices):
        u, s, vh = svd(matrix, full_matrices=full_matrices)
        signs = flips.choice([-1.0, 1.0], size=s.shape)
        return u * signs[..., None, :], s, vh * signs[..., :, None]

    monkeypatch.setattr(np.linalg, "svd", flipped)
    for array, again in zip(here, scene.__wrapped__()):
        np.testing.assert_allclose(again, array, rtol=0, atol=1e-13)


@pytest.mark.parametrize("setting", SETTINGS)
def test_words_name_the_blocks_that_are_read(setting):
    got = steps(**setting)
    group, top_k, block_size, init_blocks, local_blocks = setting.values()
    for query in range(NUM_TOKENS):
        text = say(query=query, **setting)
        assert ("k is raised" in text) == (init_blocks + local_blocks > top_k)
        assert f"Query {query} of group {group} " in text
        chosen = sorted(int(block) for block in got.selection[query] if block >= 0)
        if len(chosen) == query // block_size + 1:
            assert "dense attention" in text
            continue
        named = re.search(r" reads (.*?): (\d+) of the (\d+) tokens", text)
        ids = [int(number) for number in re.findall(r"\d+", named[1])]
        own = query // block_size
        if "not its own" in named[1]:
            ids.remove(own)
        assert sorted(ids) == chosen
        read = got.per_token(np.isin(np.arange(got.mass.shape[1]), chosen))[: query + 1]
        assert (int(named[2]), int(named[3])) == (read.sum(), query + 1)
        missed, share = heaviest_left_out(got, query)
        assert text.endswith(f"The heaviest block left out is {missed}, with {share:.0%}.")


def test_the_heaviest_block_left_out_is_visible_and_unread():
    got = steps(group=1, top_k=4, block_size=4)
    block, share = heaviest_left_out(got, 37)
    assert got.states[37, block] == VISIBLE
    assert share == got.mass[37, got.states[37] == VISIBLE].max()
    assert heaviest_left_out(got, 3)[1] == 0


def test_words_of_the_first_state_tell_the_story():
    text = say(query=37, group=1, top_k=4, block_size=4)
    assert text.startswith("Query 37 of group 1 reads blocks 0, 3, 8 and its own, 9: 14 of the 38 ")
    assert "The heaviest block left out is 5, with 11%." in text


def test_words_say_which_other_blocks_are_forced():
    setting = {"query": 37, "group": 1, "top_k": 4, "block_size": 4}
    said = say(**setting, init_blocks=1, local_blocks=2)
    assert "reads blocks 0 (forced), 3, 8 (forced) and its own, 9" in said
    assert "reads blocks 0, 3, 8 and its own, 9" in say(**setting)


def test_words_without_a_forced_own_block_say_when_it_is_left_out():
    setting = {"query": 44, "group": 1, "top_k": 1, "block_size": 4}
    assert "reads block 1 and not its own, 11" in say(**setting, local_blocks=0)
    assert "reads its own block, 11, alone" in say(**setting)
    assert "sees its own block, 0, alone" in say(query=2, group=1, top_k=4, block_size=4)


def test_all_controls_are_named_and_shown_above_the_picture():
    shell = block_selection_figure.explorer()
    sliders, picture, sentence = shell.children
    assert list(sliders.children) == list(shell.controls.values())
    assert all(control.description for control in shell.controls.values())
    assert (picture, sentence) == (shell.picture, shell.sentence)


def test_the_selection_map_stands_alone():
    figure = new_figure(3, 3)
    axes = figure.add_subplot()
    states = steps(group=0, top_k=4, block_size=4).states
    block_selection_figure.draw_selection_map(axes, states, block_size=4)
    assert axes.images[0].get_array().shape == (NUM_TOKENS, NUM_TOKENS)
    before = len(axes.collections)
    lost = np.zeros((NUM_TOKENS, 15), dtype=bool)
    lost[20, 3] = lost[37, 5] = True
    block_selection_figure.draw_selection_map(axes, states, block_size=4, lost=lost)
    tiles = axes.collections[-1].get_paths()
    assert len(axes.collections) == 2 * before + 1
    assert [path.get_extents().bounds for path in tiles] == [(12, 20, 4, 1), (20, 37, 4, 1)]
    assert to_png(figure).startswith(b"\x89PNG")
