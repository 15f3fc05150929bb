"""The block-selection explorer: numbers of the package, words that name its blocks."""

import itertools
import re

import numpy as np
import pytest

from msa_course.choosing_k import block_selection_figure, own_rule, real
from msa_course.choosing_k.block_selection import (
    BLOCK_SIZE,
    CHOSEN,
    FIRST_QUERY,
    FORCED,
    HIDDEN,
    NUM_BLOCKS,
    NUM_KEYS,
    VISIBLE,
    compute,
    describe,
    read,
    scene,
)
from msa_course.figures import to_png
from msa_ref import data, dense, selection, sparse

RULES = list(itertools.product((1, 2, 4, 8), (0, 1, 2), (0, 1, 2)))  # k, init, local
QUERIES = (576, 607, 608, 612, 639)


def every_setting():
    for query, group, (top_k, init_blocks, local_blocks) in itertools.product(
        QUERIES, range(3), RULES
    ):
        yield {
            "query": query,
            "group": group,
            "top_k": top_k,
            "init_blocks": init_blocks,
            "local_blocks": local_blocks,
        }


@pytest.fixture(scope="module")
def capture():
    q, k, v = data.load_capture(18)
    return q[:, :, :NUM_KEYS], k[:, :, :NUM_KEYS], v[:, :, :NUM_KEYS]


def test_the_selection_is_the_packages():
    scores = real.layer(18).block_scores[:, :, :NUM_KEYS, :NUM_BLOCKS]
    for top_k, init_blocks, local_blocks in RULES:
        sizes = {
            "top_k": max(top_k, init_blocks + local_blocks),
            "init_blocks": init_blocks,
            "local_blocks": local_blocks,
        }
        lists = selection.select_blocks(scores, block_size=BLOCK_SIZE, num_keys=NUM_KEYS, **sizes)
        for query, group in itertools.product(QUERIES, range(3)):
            got = compute(
                query=query,
                group=group,
                top_k=top_k,
                init_blocks=init_blocks,
                local_blocks=local_blocks,
            )
            assert got.selection == lists[0, group, query].tolist()
            assert got.raised == (sizes["top_k"] > top_k)


def test_the_attention_over_the_selection_is_the_packages(capture):
    q, k, v = capture
    for query, group in itertools.product(QUERIES, range(3)):
        got = compute(query=query, group=group, top_k=4)
        ids = np.array(got.selection, dtype=np.int32)[None, None, None]
        heads = slice(3 * group, 3 * group + 3)
        # Values that name their block: the output is the attention of every block.
        names = np.repeat(np.eye(NUM_BLOCKS, 64, dtype=v.dtype), BLOCK_SIZE, axis=0)[: query + 1]
        out, _ = sparse.attention(
            q[:, heads, [query]], k[:, [group], : query + 1], names[None, None], ids,
            block_size=BLOCK_SIZE,
        )  # fmt: skip
        attended = out[0, :, 0].mean(axis=0)[:NUM_BLOCKS]
        np.testing.assert_allclose(got.sparse, attended, atol=1e-5)


def test_masses_are_those_of_dense_attention(capture):
    weights, _ = dense.attention_weights(*capture[:2])
    mass = selection.block_mass(weights, num_kv_heads=3, block_size=BLOCK_SIZE)
    for query, group in itertools.product(QUERIES, range(3)):
        got = compute(query=query, group=group, top_k=4)
        np.testing.assert_allclose(got.dense, mass[0, group, query], atol=1e-6)
        assert got.held == pytest.approx(got.dense[got.selection].sum())
        assert got.held <= got.best + 1e-9


def test_states_ranks_and_winners_fit_the_scores():
    for setting in every_setting():
        got = compute(**setting)
        local = setting["query"] // BLOCK_SIZE
        block = np.arange(NUM_BLOCKS)
        np.testing.assert_array_equal(got.states == HIDDEN, block > local)
        np.testing.assert_array_equal(np.flatnonzero(got.states >= CHOSEN), got.selection)
        forced = (block < setting["init_blocks"]) | (block > local - setting["local_blocks"])
        np.testing.assert_array_equal(got.states == FORCED, forced & (block <= local))
        assert sorted(got.ranks[: local + 1]) == list(range(1, local + 2))
        visible = got.states != HIDDEN
        np.testing.assert_array_equal(
            got.token_scores[got.winners[visible]], got.block_scores[visible]
        )
        assert (got.winners // BLOCK_SIZE)[visible].tolist() == block[visible].tolist()


def test_the_case_of_the_course():
    got = compute(query=612, group=2, top_k=4)
    assert got.selection == [0, 4, 7, 19]
    assert got.winners[7] == 235
    assert scene().words[235] == " and"
    assert got.held == pytest.approx(0.98, abs=0.005)
    assert (got.tokens_read, got.tokens_seen) == (101, 613)
    assert got.ranks[[7, 0, 4]].tolist() == [1, 2, 3]


def test_words_name_the_blocks_that_are_read():
    for setting in every_setting():
        got = compute(**setting)
        text = describe(got)
        assert text.startswith("k is raised") == got.raised
        named = re.search(r" reads blocks? (.*?): (\d+) of the (\d+) tokens", text)
        assert list(map(int, re.findall(r"\d+", named[1]))) == got.selection
        assert named[1].count("(local)") == (setting["query"] // BLOCK_SIZE in got.selection)
        assert text.endswith(f"left out is {got.missed}, with {100 * got.missed_share:.1f} %.")
        assert got.states[got.missed] == VISIBLE


def test_every_extreme_is_drawn():
    for query, top_k, forced in ((576, 1, 0), (639, 8, 2), (608, 1, 2)):
        figure = block_selection_figure.draw(
            compute(query=query, group=0, top_k=top_k, init_blocks=forced, local_blocks=forced)
        )
        assert len(to_png(figure)) > 1000


# A rule of the reader's own.

ASKED = {"query": 612, "group": 2, "top_k": 4}


def test_a_rule_gets_the_visible_scores_and_its_ids_are_sorted():
    def rule(scores, local, top_k):
        assert (len(scores), local, top_k) == (20, 19, 4)
        scores[:] = 0  # its own copy
        return np.array([19, 7, -1, 7])

    for _ in range(2):
        got = own_rule.answer(rule, ASKED)
        assert got == {"settings": ASKED, "ids": [7, 19], "error": ""}
    assert scene().block_scores[2, 612 - FIRST_QUERY, 7] > 8


@pytest.mark.parametrize(
    ("ids", "message"),
    [([20], "got blocks [20], expected some of 0 to 19"), ([], "got blocks []"), (3, "TypeError")],
)
def test_a_rule_that_goes_wrong_is_told_so_and_reads_the_local_block(ids, message):
    got = own_rule.answer(lambda scores, local, top_k: ids, ASKED)
    assert got["ids"] == [19]
    assert message in got["error"]


def test_what_a_rule_reads_is_described_without_forced_blocks():
    got = read(612, 2, [16, 17, 18, 19])
    assert (got.states != FORCED).all()
    assert "reads blocks 16, 17, 18, 19 (local)" in describe(got)
    assert read(612, 2, [0]).tokens_read == BLOCK_SIZE


# ipywidgets 8.1.0 reads a trait's metadata in a way that traitlets has deprecated.
@pytest.mark.filterwarnings("ignore:Deprecated in traitlets:DeprecationWarning")
def test_the_widget_answers_what_it_is_asked():
    pytest.importorskip("anywidget")

    def window(scores, local, top_k):
        return range(local - top_k + 1, local + 1)

    first = own_rule.answer(window, ASKED)
    made = own_rule.widget(window, {"words": []}, first)
    assert made.answer["ids"] == [16, 17, 18, 19]
    made.asked = ASKED | {"query": 600, "top_k": 2}
    assert made.answer == {"settings": made.asked, "ids": [17, 18], "error": ""}
    assert made.bundle("a text")["text/plain"] == "a text"
    assert own_rule.VIEW in made.bundle("a text")
