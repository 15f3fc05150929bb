"""The measure of contrast: it finds what cannot be read, and nothing else."""

import pytest
from contrast import contrast, low_contrast, luminance

from msa_course import figures, palette


def figure(ink, behind):
    fig = figures.new_figure(2, 1)
    fig.text(0.1, 0.4, "words", color=ink, size=12)
    fig.patch.set_facecolor(behind)
    return fig


def test_black_on_white_has_the_most():
    assert contrast(luminance([0, 0, 0]), luminance([1, 1, 1])) == pytest.approx(21)


@pytest.mark.parametrize(
    ("ink", "behind", "fine"),
    [
        (palette.INK, "white", True),
        ("white", palette.CHOSEN, True),
        (palette.INK, palette.FORCED, True),
        (palette.FORCED, "white", False),
        ("white", palette.VISIBLE, False),
        (palette.INK, palette.CHOSEN, False),
    ],
)
def test_what_can_be_read_passes(ink, behind, fine):
    found = low_contrast(figure(ink, behind))
    assert [text for text, _ in found] == ([] if fine else ["words"])
