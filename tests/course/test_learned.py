"""Figures of the learning record: what each line of them shows."""

import numpy as np
import pytest
from learned_cases import made_record

from msa_course.explorer import new_figure, to_png
from msa_course.teaching_the_index import learned, learned_figure

RECORD = made_record()


@pytest.fixture
def axes():
    """An axes that is drawn at the end."""
    figure = new_figure(4, 3)
    yield figure.add_subplot()
    assert to_png(figure).startswith(b"\x89PNG")


def line(axes, label):
    """x and y of the line with this label."""
    (found,) = [line for line in axes.get_lines() if line.get_label() == label]
    return np.asarray(found.get_xdata()).tolist(), np.asarray(found.get_ydata()).tolist()


def test_rows_are_found_by_their_values_and_dense_has_no_budget():
    found = learned.find(RECORD["perplexity"], block_size=32, top_k=8)
    assert [row["method"] for row in found] == ["window", "learned"]
    assert learned.methods(RECORD["perplexity"]) == ["learned", "window"]


def test_the_curve_of_recall_is_the_layers_mean_in_their_band(axes):
    learned_figure.draw_recall_curve(axes, RECORD, "block_recall")
    (mean,) = axes.get_lines()
    assert list(mean.get_xdata()) == [0, 50]
    assert mean.get_ydata().tolist() == [pytest.approx(0.2)] * 2
    (band,) = axes.collections
    corners = band.get_paths()[0].vertices
    assert sorted(set(corners[:, 1])) == [0.1, 0.3]


def test_recall_by_layer_has_a_line_a_method(axes):
    learned_figure.draw_by_layer(axes, RECORD, block_size=128, top_k=8)
    for label in ("learned index", "window"):
        assert line(axes, label)[1] == pytest.approx([0, 0.1, 0.2, 0.3])


def test_budgets_ascend_and_the_bars_reach_the_interval(axes):
    rows = learned.find(RECORD["perplexity"], block_size=32)
    learned_figure.draw_methods(axes, rows, "ratio", "ratio_interval", across="budget")
    assert axes.get_xlabel() == "budget (tokens)"
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["256", "1024"]
    for container in axes.containers:
        middle, _, (bars,) = container
        assert np.log2(middle.get_xdata()).round().tolist() == [8, 10]
        for value, segment in zip(middle.get_ydata(), bars.get_segments()):
            assert segment[:, 1] == pytest.approx([value - 0.01, value + 0.02])


def test_needles_are_shares_of_those_tried():
    rows = learned.needle_rows(RECORD, length=4096, block_size=32)
    assert [row["share"] for row in rows] == [8 / 40, 32 / 40] * 2
    (dense,) = learned.needle_rows(RECORD, length=1024, method="dense")
    assert dense["share"] == 38 / 40


def test_needles_are_drawn_across_lengths_as_well(axes):
    rows = learned.needle_rows(RECORD, block_size=128, top_k=8)
    learned_figure.draw_methods(axes, rows, "share", "interval", across="length")
    assert axes.get_xlabel() == "length (tokens)"
    for container in axes.containers:
        assert np.log2(container[0].get_xdata()).round().tolist() == [10, 12]
        assert container[0].get_ydata().tolist() == [32 / 40] * 2


def test_agreement_begins_with_the_second_layer_for_neighbours(axes):
    learned_figure.draw_agreement(axes, RECORD, block_size=128, top_k=8)
    assert line(axes, "two groups") == ([0, 1], [0.5, 0.6])
    assert line(axes, "layer before") == ([1], [0.3])
    assert line(axes, "chance")[1] == [0.25, 0.25]
