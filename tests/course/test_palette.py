"""The palette: its colours stay apart for every kind of sight, and text can be read."""

from itertools import combinations

import numpy as np
import pytest
from colour_vision import SIGHTS, as_seen, distance
from matplotlib import colormaps
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex

from msa_course import palette

# CIE Lab distances. Below about 10 neighbouring areas are confused. The four states of a block lie
# side by side in small cells, so they get twice that; lines also differ in place and label.
STATES_APART = 20
LINES_APART = 15

STATES = {name: getattr(palette, name) for name in ("HIDDEN", "VISIBLE", "CHOSEN", "FORCED")}


def closest(colours, sight):
    """Smallest distance of any two of the colours, and which two."""
    return min((distance(one, other, sight), one, other) for one, other in combinations(colours, 2))


def test_the_states_are_the_okabe_ito_colours():
    assert STATES == {
        "HIDDEN": "#F0F0F0",
        "VISIBLE": "#56B4E9",
        "CHOSEN": "#0072B2",
        "FORCED": "#E69F00",
    }
    assert [to_hex(colour).upper() for colour in palette.STATES.colors] == list(STATES.values())


@pytest.mark.parametrize("sight", SIGHTS)
def test_the_states_of_a_block_stay_apart(sight):
    assert closest(STATES.values(), sight) >= (STATES_APART,)


@pytest.mark.parametrize("sight", SIGHTS)
def test_a_missed_block_is_told_from_every_state(sight):
    for name, colour in STATES.items():
        assert distance(palette.MISSED, colour, sight) >= LINES_APART, name


@pytest.mark.parametrize("sight", SIGHTS)
def test_lines_stay_apart_and_show_on_white(sight):
    assert len(set(palette.LINES)) == len(palette.LINES)
    assert closest([*palette.LINES, "#FFFFFF"], sight) >= (LINES_APART,)


def test_forced_does_not_rest_on_colour_alone():
    # Without colour, as printed in grey, forced and visible are nearly one lightness.
    assert palette.FORCED_HATCH


@pytest.mark.parametrize("sight", SIGHTS)
def test_the_continuous_map_grows_lighter_all_along(sight):
    shades = colormaps[palette.CONTINUOUS](np.linspace(0, 1, 33))
    lightness = [as_seen(to_hex(shade), sight)[0] for shade in shades]
    assert (np.diff(lightness) > 0).all()


@pytest.mark.parametrize("colour", [palette.INK, palette.GREY])
def test_text_has_enough_contrast_on_white(colour):
    lightness = as_seen(colour, None)[0]
    luminance = ((lightness + 16) / 116) ** 3
    assert 1.05 / (luminance + 0.05) >= 4.5  # WCAG's AA for small text


@pytest.mark.parametrize("sight", SIGHTS)
def test_greys_are_seen_alike_by_all(sight):
    assert as_seen("#FFFFFF", sight) == pytest.approx([100, 0, 0], abs=0.05)
    assert as_seen("#000000", sight) == pytest.approx([0, 0, 0], abs=0.05)
    assert as_seen("#777777", sight)[1:] == pytest.approx([0, 0], abs=0.05)


def test_the_simulation_confuses_what_such_readers_confuse():
    # A red and a green of one lightness: far apart for most, close without the long cones' signal.
    red, green = "#A52A2A", "#556B2F"
    assert distance(red, green) > 40
    assert distance(red, green, "protanopia") < distance(red, green) / 2
    assert distance(red, green, "deuteranopia") < distance(red, green) / 2


def test_distance_is_symmetric_and_zero_for_one_colour():
    assert distance("#123456", "#123456") == 0
    assert distance("#123456", "#654321") == distance("#654321", "#123456")


def test_every_figure_gets_an_opaque_white_ground():
    assert palette.STYLE["figure.facecolor"] == palette.STYLE["savefig.facecolor"] == "white"


def sample():
    """Pixels of a figure with every kind of artist that the lessons draw."""
    fig, axes = plt.subplots(2, 3, figsize=(6, 4))
    rng = np.random.default_rng(0)
    numbers = rng.random((4, 5))
    axes[0, 0].plot(numbers[0], label="line")
    axes[0, 0].scatter(range(5), numbers[1], label="dots")
    axes[0, 0].legend(title="legend")
    axes[0, 0].set(title="title", xlabel="x", ylabel="y")
    bars = axes[0, 1].bar(range(5), numbers[1], hatch="//")
    axes[0, 1].bar_label(bars, fmt="%.1f")
    axes[0, 1].errorbar(range(5), numbers[2], 0.1, capsize=3)
    fig.colorbar(axes[0, 2].imshow(numbers))
    axes[1, 0].boxplot(numbers.T)
    axes[1, 1].hist(numbers.ravel())
    axes[1, 1].grid(True)
    axes[1, 1].annotate("here", (0.5, 2), (0.2, 1), arrowprops={"arrowstyle": "->"})
    axes[1, 2].stairs(numbers[3], fill=True)
    axes[1, 2].set_xscale("symlog")
    fig.suptitle("all")
    fig.canvas.draw()
    pixels = np.asarray(fig.canvas.buffer_rgba()).copy()
    plt.close(fig)
    return pixels


@pytest.fixture(scope="module")
def plain():
    palette.use_style()
    return sample()


@pytest.mark.parametrize("before", ["dark_background", "seaborn-v0_8", "ggplot", "classic"])
def test_the_readers_style_leaves_no_trace(before, plain):
    try:
        plt.style.use(before)
        assert not np.array_equal(sample(), plain)
        palette.use_style()
        assert np.array_equal(sample(), plain)
    finally:
        palette.use_style()
