"""Pictures of a selection in two rounds: groups, their blocks, numbers read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.patches import Patch

from msa_course import palette
from msa_course.explorer import Explorer, choice, new_figure, slider
from msa_course.index_scan.two_rounds import (
    GROUP_SIZES,
    MOST_BLOCKS,
    MOST_CHOSEN,
    SEEDS,
    Rounds,
    Search,
    compute,
    describe,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_groups(ax: Axes, found: Rounds) -> None:
    """Round 1: a wide bar a group, as high as its best block; the chosen ones coloured."""
    first = np.arange(len(found.maxima)) * found.group_size
    width = np.minimum(first + found.group_size, len(found.scores)) - first
    chosen = np.isin(np.arange(len(first)), found.groups)
    colours = np.where(chosen, palette.CHOSEN, palette.HIDDEN)
    colours[-1] = palette.FORCED
    floor = _floor(found)
    bars = ax.bar(
        first - 0.5, found.maxima - floor, width, bottom=floor, align="edge", color=colours,
        edgecolor="white", linewidth=1,
    )  # fmt: skip
    bars[-1].set_hatch(palette.FORCED_HATCH)
    _frame(ax, found, "best of a group")


def draw_blocks(ax: Axes, found: Rounds) -> None:
    """Round 2: a bar a block; those of the chosen groups are read, the chosen ones are dark."""
    block = np.arange(len(found.scores))
    colours = np.where(found.read, palette.VISIBLE, palette.HIDDEN)
    colours[found.chosen] = palette.CHOSEN
    colours[-1] = palette.FORCED
    floor = _floor(found)
    bars = ax.bar(block, found.scores - floor, 0.86, bottom=floor, color=colours)
    bars[-1].set_hatch(palette.FORCED_HATCH)
    _frame(ax, found, "score of a block")


def _floor(found):
    return found.scores.min() - 0.5


def _frame(ax, found, label):
    ax.set(xlim=(-1, len(found.scores)), ylim=(_floor(found), found.scores.max() + 0.3))
    ax.set(ylabel=label, yticks=[])


def chips() -> list[Patch]:
    """Legend handles of both rounds."""
    return [
        Patch(facecolor=palette.HIDDEN, label="left behind"),
        Patch(facecolor=palette.VISIBLE, label="read in round 2"),
        Patch(facecolor=palette.CHOSEN, label="chosen"),
        Patch(facecolor=palette.FORCED, hatch=palette.FORCED_HATCH, label="forced (own)"),
    ]


def draw(search: Search) -> Figure:
    """Both rounds, one above the other, and how many numbers each way reads."""
    found, ways = search
    fig = new_figure(9, 5.5, layout="none")
    first, second, count = fig.subplots(
        3, 1, height_ratios=[1.2, 1.2, 0.7],
        gridspec_kw={"left": 0.11, "right": 0.97, "top": 0.94, "bottom": 0.14, "hspace": 0.68},
    )  # fmt: skip
    draw_groups(first, found)
    first.set_title(f"Round 1: the {len(found.groups)} best of {len(found.maxima)} groups")
    first.set_xticks([])
    draw_blocks(second, found)
    second.set_title(f"Round 2: the {len(found.chosen)} best of their {found.read.sum()} blocks")
    second.set_xlabel("block", labelpad=1)
    names = ["sort", "all scores", "two rounds"]
    bars = count.barh(names, ways, color=[palette.GREY, palette.VISIBLE, palette.CHOSEN])
    count.bar_label(bars, [f"{way:,}" for way in ways], padding=3)
    count.set(xscale="log", xlim=(1, 9000), xticks=[1, 10, 100, 1000])
    count.set_xticklabels(["1", "10", "100", "1,000"])
    count.minorticks_off()
    count.invert_yaxis()
    count.set_title("Numbers read (at most, log scale)")
    fig.legend(handles=chips(), loc="lower center", ncols=4)
    return fig


def explorer() -> Explorer:
    """The explorer: how many blocks, how many are chosen, how large a group, which scores."""
    return Explorer(
        "Choosing in two rounds",
        compute,
        draw,
        describe,
        num_blocks=slider("Blocks (nb)", 96, 8, MOST_BLOCKS, 4),
        top_k=slider("Blocks to choose (k)", 4, 1, MOST_CHOSEN),
        group_size=choice("Blocks in a group", GROUP_SIZES, 8),
        seed=slider("Scores drawn with seed", 0, 0, SEEDS),
    )
