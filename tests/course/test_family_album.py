"""The family's toy and its two explorers: what is drawn is what the systems did."""

import numpy as np
import pytest

from msa_course.explorer import new_figure
from msa_course.family_album import family_album as album
from msa_course.family_album import family_album_figure as album_figure
from msa_course.family_album import family_design as design
from msa_course.family_album import family_design_figure as design_figure
from msa_course.family_album import family_toy as toy
from msa_ref import cost, dense
from msa_ref.family import SYSTEMS, Branch, FamilyOutput

PNG = b"\x89PNG\r\n\x1a\n"
READS_ITS_BUDGET = ("window", "moba", "quest", "infllm", "msa", "dsa")
UNITS_OF = {"moba": 16, "quest": 16, "infllm": 16, "msa": 16, "nsa": 8}


def test_the_album_holds_all_systems():
    assert list(toy.NAMES) == [
        "dense", "window", "moba", "quest", "infllm", "msa", "nsa", "dsa", "csa", "hca",
    ]  # fmt: skip
    assert toy.systems_on(toy.REAL_TEXT) == tuple(toy.NAMES)[:6]
    assert toy.systems_on("needle") == tuple(toy.NAMES)


@pytest.mark.parametrize("name", toy.NAMES)
def test_weights_that_choose_replace_drawn_ones_of_their_shape(name):
    config = toy.config_of(name, 64)
    drawn = SYSTEMS[name].init_weights(config, np.random.default_rng(1))
    weights = toy.weights_of(name, config)
    assert {n: w.shape for n, w in weights.items()} == {n: w.shape for n, w in drawn.items()}


@pytest.mark.parametrize("budget", [32, 128])
@pytest.mark.parametrize("name", READS_ITS_BUDGET)
def test_a_query_with_enough_behind_it_reads_its_budget(name, budget):
    """Less only what lies in the future: the local block's tail, or a page that is half full."""
    for kind in ("random", toy.REAL_TEXT):
        if name not in toy.systems_on(kind):
            continue
        raw, summary = toy.reach(name, kind, budget)
        read = raw[:, -toy.NUM_RATED :].sum(axis=-1)
        assert read.max() == budget
        assert read.min() > budget - UNITS_OF.get(name, 1)
        assert not summary.any()


@pytest.mark.parametrize("budget", [32, 64, 160])
def test_systems_with_summaries_read_what_their_sizes_say(budget):
    raw, summary = toy.reach("nsa", "random", budget)
    assert raw[:, -1].sum(axis=-1).max() <= 3 * budget // 4 + budget // 4
    assert (raw | summary)[:, -1, : toy.NUM_TOKENS].all()
    raw, summary = toy.reach("csa", "random", budget)
    assert (raw[:, -1].sum(axis=-1) == budget // 4).all()
    assert 0 < summary[:, -1].sum(axis=-1).max() <= 8 * 3 * budget // 16
    raw, summary = toy.reach("hca", "random", budget)
    assert raw[:, -1].sum() == toy.NUM_HEADS * budget // 4
    assert (raw | summary)[:, -1].all()


@pytest.mark.parametrize("kind", toy.MADE)
@pytest.mark.parametrize("name", toy.NAMES)
def test_nobody_reaches_the_future(name, kind):
    hidden = ~dense.causal_mask(toy.NUM_TOKENS, toy.NUM_TOKENS)
    for part in toy.reach(name, kind, 64):
        assert not part[:, hidden].any()


@pytest.mark.parametrize("name", [*READS_ITS_BUDGET, "dense"])
def test_the_whole_budget_holds_all_the_mass_and_a_small_one_does_not(name):
    assert sum(toy.mean_held(name, "paragraphs", toy.NUM_TOKENS)) == pytest.approx(1)
    small = sum(toy.mean_held(name, "paragraphs", 32))
    assert small == pytest.approx(1) if name == "dense" else small < 0.8


def test_the_needle_is_where_dense_attention_looks():
    weights = toy.attention("needle")[:, -toy.NUM_RATED :]
    assert (weights.mean(axis=1).argmax(axis=-1) == toy.NEEDLE).all()
    assert weights[..., toy.NEEDLE].mean() > 0.5
    assert toy.attention("random")[:, -toy.NUM_RATED :].max(axis=-1).mean() < 0.2


def test_max_bound_and_token_proxies_find_the_needle_and_means_do_not():
    for name, found in {
        "quest": True, "msa": True, "dsa": True, "moba": False, "infllm": False, "window": False,
    }.items():  # fmt: skip
        raw = toy.reach(name, "needle", 64).raw[:, -64:, toy.NEEDLE]
        assert (raw.mean() > 0.9) == found, name


def test_reached_tokens_are_those_of_the_entries():
    entries = np.array([[0, 3], [4, 7], [5, 5], [8, 8]])
    allowed = np.array([[[[True, False, True, False], [False, True, True, True]]]])
    output = FamilyOutput(np.zeros((1, 1, 2, 1)), (Branch(entries, allowed, None),))
    raw, summary = toy.seen(output, 9)
    assert np.flatnonzero(raw[0, 0]).tolist() == [5]
    assert np.flatnonzero(summary[0, 0]).tolist() == [0, 1, 2, 3]
    assert np.flatnonzero(raw[0, 1]).tolist() == [5, 8]
    assert np.flatnonzero(summary[0, 1]).tolist() == [4, 6, 7]


def test_msa_on_real_text_scores_with_the_mean_of_the_groups_queries():
    q, k, _ = toy.real_qkv()
    scores = q[0, 3:6].mean(axis=0) @ k[0, 1].T
    row, position = 200, 968
    blocks = np.maximum.reduceat(scores[row, : position + 1], np.arange(0, position + 1, 16))
    wanted = {position // 16, *np.argsort(-blocks[:-1])[:3].tolist()}
    raw = toy.reach("msa", toy.REAL_TEXT, 64).raw[4, row]
    assert set((np.flatnonzero(raw) // 16).tolist()) == wanted


def test_states_agree_with_what_is_reached():
    got = album.mask("csa", "needle", 64).states
    raw, summary = (part[0] for part in toy.reach("csa", "needle", 64))
    assert ((got == album.RAW) == raw).all()
    assert ((got == album.IN_SUMMARY) == summary).all()
    assert (got[~dense.causal_mask(256, 256)] == album.HIDDEN).all()
    for mask in (album.mask("csa", "needle", 64), album.mask("dense", toy.REAL_TEXT, 64)):
        assert album_figure.dots(mask).shape == (128, 128, 3)
    assert album.mask("csa", toy.REAL_TEXT, 64) is None


def test_words_say_who_finds_the_heaviest_token():
    text = album.describe(album.compute("needle", 64, 200))
    assert "Dense attention puts most on token 100" in text
    assert "Read: Quest, MSA, DSA." in text
    assert "MoBA" in text.partition("Missed:")[2]
    assert "query 968" in album.describe(album.compute(toy.REAL_TEXT, 64, 200))
    assert "Missed" not in album.describe(album.compute("needle", 256, 200))


def test_proxies_score_units_as_their_names_say():
    q = np.array([[[[1.0, -2.0]]]])
    k = np.array([[[[1.0, 0.0], [3.0, 2.0], [-1.0, -1.0], [0.0, 1.0], [2.0, 0.0]]]])
    scores = {proxy: design.proxy_scores(q, k, proxy, 2)[0, 0, 0] for proxy in design.PROXIES}
    assert scores["index key"].tolist() == [1, 1, 2]
    assert scores["mean key"].tolist() == [0, -0.5, 2]
    assert scores["bound"].tolist() == [3, 2, 2]
    assert (np.diff(scores["position"]) > 0).all()


def test_with_units_of_one_all_proxies_that_look_agree():
    held = {p: design.mass_held("paragraphs", p, 1, 64) for p in design.PROXIES}
    assert held["mean key"] == held["bound"] == held["index key"] > held["position"]


def test_an_index_key_keeps_the_needle_and_a_mean_loses_it_as_units_grow():
    by_mean, by_index = (
        [design.mass_held("needle", proxy, unit, 64) for unit in design.UNITS]
        for proxy in ("mean key", "index key")
    )
    assert by_mean[2] > 0.6 > 0.3 > by_mean[3]
    assert min(by_index) > 0.6


def test_a_design_that_copies_msa_costs_what_msa_does():
    mine, system = design.layer_cost("index key", 128, 2048), cost.SYSTEMS["msa"]
    assert mine.decode_bytes(4096) == system.decode_bytes(4096)
    assert mine.decode_flops(4096) == system.decode_flops(4096)


def test_a_bound_costs_twice_a_mean_and_position_only_what_is_read():
    got = {proxy: design.design("needle", proxy, 16, 64) for proxy in design.PROXIES}
    assert got["position"].bytes == got["position"].flops == 64 / 256
    assert got["mean key"].bytes - 1 / 4 == pytest.approx(1 / 2 / 16)
    assert got["bound"].bytes - 1 / 4 == pytest.approx(1 / 16)
    assert got["index key"].bytes - 1 / 4 == pytest.approx(1 / 8)


def test_words_of_a_design_name_a_better_one_or_none():
    mine = design.design("needle", "mean key", 16, 64)
    said = f"Holds {mine.mass:.0%} of the mass for {mine.bytes:.0%} of dense attention's bytes"
    assert said in design.describe(design.compute("needle", "mean key", 16, 64))
    text = design.describe(design.compute("needle", "index key", 16, 64))
    assert "Index key with units of 1 holds" in text
    assert "No design of this budget" in design.describe(
        design.compute("needle", "index key", 1, 64)
    )


def test_every_proxy_is_a_line_and_the_chosen_design_is_ringed():
    space = design.compute("random", "bound", 8, 32)
    ax = new_figure(3, 3).add_subplot()
    design_figure.draw_designs(ax, space, "flops")
    *lines, ring = ax.lines
    assert len(lines) == len(design.PROXIES)
    chosen = space.designs["bound", 8]
    assert ring.get_xydata().tolist() == [[pytest.approx(np.log2(chosen.flops)), chosen.mass]]
