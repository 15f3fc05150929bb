"""The cost dial: its numbers are the package's, its curves end right, its controls work."""

import numpy as np
import pytest

from msa_course.explorer import new_figure
from msa_course.what_a_million_tokens_cost import cost_dial, cost_dial_figure
from msa_ref import M3, cost

PNG = b"\x89PNG\r\n\x1a\n"
MILLION = 2**20


def say(*setting):
    """The explorer's sentence at this setting."""
    return cost_dial.describe(cost_dial.compute(*setting))


@pytest.mark.parametrize("count", cost_dial.COUNTS)
@pytest.mark.parametrize("context", cost_dial.CONTEXTS)
def test_prefill_parts_add_up_to_the_package_s_flops(context, count):
    now = cost_dial.layer_costs(context, "prefill", count)
    assert now.index + now.main == cost.prefill_flops(M3, context, context, count).layer
    assert now.dense == cost.prefill_flops(cost_dial.DENSE, context, context, count).layer
    assert now.index == now.dense / 32


@pytest.mark.parametrize("context", cost_dial.CONTEXTS)
@pytest.mark.parametrize(("game", "index_bytes"), [("decode", 2), (cost_dial.GAMES[2], 1)])
def test_decode_parts_add_up_to_the_package_s_bytes(context, game, index_bytes):
    now = cost_dial.layer_costs(context, game, "exact")
    read = cost.decode_bytes(M3, context, index_bytes=index_bytes).layer
    assert now.index + now.main == read
    assert now.ratio == 2048 * context / read


def test_both_counts_of_a_decode_step_agree_from_the_budget_on():
    for game in cost_dial.GAMES[1:]:
        exact, paper = (cost_dial.curve(game, count) for count in cost_dial.COUNTS)
        large = np.array(cost_dial.CONTEXTS) >= M3.attention.budget
        np.testing.assert_array_equal(exact[large], paper[large])
        assert (exact[~large] > paper[~large]).all()


@pytest.mark.parametrize(
    ("game", "count", "ratio"),
    [
        ("prefill", "exact", 28.55),
        ("prefill", "paper", 28.44),
        ("decode", "exact", 7.88),
        (cost_dial.GAMES[2], "exact", 15.52),
    ],
)
def test_the_figures_of_a_million_tokens(game, count, ratio):
    costs = cost_dial.layer_costs(MILLION, game, count)
    assert costs.ratio == pytest.approx(ratio, abs=0.005)


@pytest.mark.parametrize(("game", "ceiling"), list(zip(cost_dial.GAMES, (32, 8, 16))))
def test_no_context_passes_the_ceiling(game, ceiling):
    for count in cost_dial.COUNTS:
        curve = cost_dial.curve(game, count)
        assert (np.diff(curve) >= 0).all()
        assert curve[-1] < ceiling
    assert cost_dial.layer_costs(MILLION, game, "exact").ceiling == ceiling


def test_prefill_waits_for_arithmetic_and_decode_for_memory():
    ridge = cost.H100.peak_flops / cost.H100.bandwidth
    for context in cost_dial.CONTEXTS:
        assert min(cost_dial.layer_costs(context, "prefill", "exact").intensity) > ridge
        assert max(cost_dial.layer_costs(context, "decode", "exact").intensity) < ridge


def test_seconds_are_flops_over_peak_in_prefill_and_bytes_over_bandwidth_in_decode():
    prefill = cost_dial.layer_costs(MILLION, "prefill", "exact")
    assert prefill.seconds[0] == pytest.approx(prefill.dense / cost.H100.peak_flops)
    decode = cost_dial.layer_costs(MILLION, "decode", "exact")
    assert decode.seconds[1] == pytest.approx((decode.index + decode.main) / cost.H100.bandwidth)


@pytest.mark.parametrize(
    ("number", "game", "text"),
    [(999, "decode", "999.0 B"), (1000, "decode", "1.0 kB"), (18e15, "prefill", "18.0 PFLOP")],
)
def test_amounts_have_a_unit_of_their_size(number, game, text):
    assert cost_dial.amount(number, game) == text


def test_durations_have_a_unit_of_their_size():
    assert [cost_dial.duration(t) for t in (18.21, 0.6381, 81.4e-6)] == [
        "18.2 s",
        "638 ms",
        "81.4 µs",
    ]


def test_words_say_who_wins():
    assert "28.55 times less" in say(MILLION, "prefill", "exact")
    assert "4.03 times more" in say(1024, "prefill", "paper")
    assert "MSA layer 37.7 MB" in say(2**17, "decode", "exact")
    assert "index scan is 50% of" in say(2**17, "prefill", "paper")


@pytest.mark.parametrize("context", [cost_dial.CONTEXTS[0], cost_dial.CONTEXTS[-1]])
@pytest.mark.parametrize("game", cost_dial.GAMES)
@pytest.mark.parametrize("count", cost_dial.COUNTS)
def test_every_corner_renders_with_the_sparse_bar_inside_the_axes(context, game, count):
    bars = cost_dial_figure.draw(cost_dial.compute(context, game, count)).axes[0]
    reach = max(bar.get_x() + bar.get_width() for bar in bars.patches)
    assert reach < bars.get_xlim()[1]


def test_pairs_are_drawn_with_a_letter_for_each_state_and_the_own_block_hatched():
    axes = new_figure(3, 3).add_subplot()
    cost_dial_figure.draw_pairs(axes, np.array([[3, 0, 0], [2, 3, 0], [1, 2, 3]]))
    assert [text.get_text() for text in axes.texts] == [
        *("own", "", ""),
        *("c", "own", ""),
        *("-", "c", "own"),
    ]
    hatched = [patch.get_xy() for patch in axes.patches if patch.get_hatch()]
    assert hatched == [(0, 0), (1, 1), (2, 2)]
    assert axes.get_ylim() == (3, 0)
