"""The cost dial: its numbers are the package's, its curves end right, its words say who wins."""

import numpy as np
import pytest

from msa_course.what_a_million_tokens_cost import cost_dial, cost_dial_figure, figures
from msa_ref import M3, cost

MILLION = 2**20


def say(*setting):
    """The explorer's sentences at this setting."""
    return cost_dial.describe(cost_dial.compute(*setting))


@pytest.mark.parametrize("context", cost_dial.CONTEXTS)
def test_prefill_parts_add_up_to_the_package_s_flops(context):
    now = cost_dial.compute(context, "prefill")
    assert now.index + now.main == cost.prefill_flops(M3, context, context).layer
    assert now.dense == cost.prefill_flops(cost_dial.DENSE, context, context).layer
    assert now.index == now.dense / 32


@pytest.mark.parametrize("context", cost_dial.CONTEXTS)
@pytest.mark.parametrize(("game", "index_bytes"), [("decode", 2), (cost_dial.GAMES[2], 1)])
def test_decode_parts_add_up_to_the_package_s_bytes(context, game, index_bytes):
    now = cost_dial.compute(context, game)
    read = cost.decode_bytes(M3, context, index_bytes=index_bytes).layer
    assert now.index + now.main == read
    assert now.ratio == 2048 * context / read


@pytest.mark.parametrize(("game", "ratio"), list(zip(cost_dial.GAMES, (28.55, 7.88, 15.52))))
def test_the_figures_of_a_million_tokens(game, ratio):
    assert cost_dial.compute(MILLION, game).ratio == pytest.approx(ratio, abs=0.005)


@pytest.mark.parametrize(("game", "ceiling"), list(zip(cost_dial.GAMES, (32, 8, 16))))
def test_no_context_passes_the_ceiling(game, ceiling):
    curve = cost_dial.curve(game)
    assert (np.diff(curve) >= 0).all()
    assert curve[-1] < ceiling
    assert cost_dial.compute(MILLION, game).ceiling == ceiling


@pytest.mark.parametrize("context", cost_dial.CONTEXTS)
def test_prefill_waits_for_arithmetic_and_decode_for_memory(context):
    for game, longer, shorter in (("prefill", "math", "memory"), ("decode", "memory", "math")):
        now = cost_dial.compute(context, game)
        assert (np.array(getattr(now, longer)) > getattr(now, shorter)).all()


def test_the_longer_time_is_the_roofline_s():
    now = cost_dial.compute(MILLION, "decode")
    flops, size = cost.decode_flops(M3, MILLION).layer, cost.decode_bytes(M3, MILLION).layer
    assert max(now.math[1], now.memory[1]) == cost.roofline_seconds(flops, size, cost.H100)


@pytest.mark.parametrize(
    ("number", "game", "text"),
    [(999, "decode", "999.0 B"), (1000, "decode", "1.0 kB"), (18e15, "prefill", "18.0 PFLOP")],
)
def test_amounts_have_a_unit_of_their_size(number, game, text):
    assert cost_dial.amount(number, game) == text


def test_durations_have_a_unit_of_their_size():
    times = [cost_dial.duration(t) for t in (18.21, 0.6381, 81.4e-6)]
    assert times == ["18.2 s", "638.1 ms", "81.4 µs"]


def test_words_say_who_wins_and_how_long_it_takes():
    assert "28.55 times less" in say(MILLION, "prefill")
    assert "1.03 times more" in say(1024, "prefill")
    assert "MSA layer 37.7 MB" in say(2**17, "decode")
    assert "index scan is 50% of" in say(2**14, "decode")
    assert say(MILLION, "decode").endswith("At best that takes 641.0 µs and 81.4 µs.")


@pytest.mark.parametrize("context", [cost_dial.CONTEXTS[0], cost_dial.CONTEXTS[-1]])
@pytest.mark.parametrize("game", cost_dial.GAMES)
def test_every_corner_is_drawn_with_the_bars_inside_the_axes(context, game):
    for ax in cost_dial_figure.draw(cost_dial.compute(context, game)).axes[:2]:
        reach = max(bar.get_x() + bar.get_width() for bar in ax.patches)
        assert reach < ax.get_xlim()[1]


def test_pairs_have_a_letter_for_each_state_and_the_local_block_is_hatched():
    axes = figures.pairs(np.array([[3, 0, 0], [2, 3, 0], [1, 2, 3]])).axes[0]
    letters = [text.get_text() for text in axes.texts]
    assert letters == ["L", "", "", "c", "L", "", "-", "c", "L"]
    hatched = [patch.get_xy() for patch in axes.patches if patch.get_hatch()]
    assert hatched == [(0, 0), (1, 1), (2, 2)]
    assert axes.get_ylim() == (3, 0)


def test_the_longer_time_of_each_layer_is_dark():
    times = {"dense": (3.0, 1.0), "MSA": (0.2, 0.1)}
    left, right = figures.least_times(
        times, {name: pair[::-1] for name, pair in times.items()}
    ).axes
    dark = [[bar.get_facecolor()[0] < 0.2 for bar in ax.patches] for ax in (left, right)]
    assert dark == [[True, False, True, False], [False, True, False, True]]
