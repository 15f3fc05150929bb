"""Explorer of a selection in two rounds: groups of blocks first, then the blocks of the best."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.patches import Patch

from msa_course import palette
from msa_course.explorer import Explorer, choice, new_figure, slider

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int64
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_BLOCKS = 128
MOST_CHOSEN = 16
GROUP_SIZES = [(str(size), size) for size in (2, 4, 8, 16)]
SEEDS = 9


class Rounds(NamedTuple):
    """One row of block scores and what the two rounds make of it; the last block is the own one."""

    group_size: int
    scores: Float[np.ndarray, "nb"]
    maxima: Float[np.ndarray, "ng"]
    groups: Int64[np.ndarray, "kg"]  # chosen groups, ascending
    read: Bool[np.ndarray, "nb"]  # blocks of those groups
    chosen: Int64[np.ndarray, "k"]  # chosen blocks, ascending


class Reads(NamedTuple):
    """Numbers read by three ways to the same selection."""

    sort: int
    all_scores: int
    two_rounds: int


def best(ranked: Float[np.ndarray, "n"], top_k: int) -> Int64[np.ndarray, "k"]:
    """Places of the `top_k` largest, ascending; ties to the lower place."""
    return np.sort(np.argsort(-ranked, kind="stable")[:top_k])


def rounds(scores: Float[np.ndarray, "nb"], top_k: int, group_size: int) -> Rounds:
    """The two rounds on one row of scores, the last block forced."""
    first = np.arange(0, len(scores), group_size)
    maxima = np.maximum.reduceat(scores, first)
    forced = scores.copy()
    forced[-1] = np.inf
    groups = best(np.maximum.reduceat(forced, first), top_k)
    read = np.isin(np.arange(len(scores)) // group_size, groups)
    chosen = best(np.where(read, forced, -np.inf), min(top_k, len(scores)))
    return Rounds(group_size, scores, maxima, groups, read, chosen)


def values(*, num_blocks: int, top_k: int, group_size: int, seed: int) -> Rounds:
    """The two rounds on random scores: a smooth swell, as neighbours are alike, and noise."""
    rng = np.random.default_rng(seed)
    swell = np.convolve(rng.normal(size=MOST_BLOCKS + 8), np.ones(9) / 3, mode="valid")
    noise = rng.normal(size=MOST_BLOCKS)
    return rounds((swell + noise)[:num_blocks], top_k, group_size)


def reads(num_blocks: int, top_k: int, group_size: int) -> Reads:
    """Numbers read by a bitonic sort, by one look at all scores, by two rounds at most.

    A bitonic sort of 2**p numbers passes over all of them p * (p + 1) / 2 times.
    """
    power = (num_blocks - 1).bit_length()
    passes = power * (power + 1) // 2
    num_groups = -(-num_blocks // group_size)
    candidates = min(top_k * group_size, num_blocks)
    return Reads(2**power * passes, num_blocks, num_groups + candidates)


def draw_groups(axes: Axes, found: Rounds) -> None:
    """Round 1: a wide bar a group, as high as its best block; the chosen ones coloured."""
    first = np.arange(len(found.maxima)) * found.group_size
    width = np.minimum(first + found.group_size, len(found.scores)) - first
    chosen = np.isin(np.arange(len(first)), found.groups)
    colours = np.where(chosen, palette.CHOSEN, palette.HIDDEN)
    colours[-1] = palette.FORCED
    floor = _floor(found)
    bars = axes.bar(
        first - 0.5, found.maxima - floor, width, bottom=floor, align="edge", color=colours,
        edgecolor="white", linewidth=1,
    )  # fmt: skip
    bars[-1].set_hatch(palette.FORCED_HATCH)
    _frame(axes, found, "best of a group")


def draw_blocks(axes: Axes, found: Rounds) -> None:
    """Round 2: a bar a block; those of the chosen groups are read, the chosen ones are dark."""
    block = np.arange(len(found.scores))
    colours = np.where(found.read, palette.VISIBLE, palette.HIDDEN)
    colours[found.chosen] = palette.CHOSEN
    colours[-1] = palette.FORCED
    floor = _floor(found)
    bars = axes.bar(block, found.scores - floor, 0.86, bottom=floor, color=colours)
    bars[-1].set_hatch(palette.FORCED_HATCH)
    _frame(axes, found, "score of a block")


def _floor(found):
    return found.scores.min() - 0.5


def _frame(axes, found, label):
    axes.set(xlim=(-1, len(found.scores)), ylim=(_floor(found), found.scores.max() + 0.3))
    axes.set(ylabel=label, yticks=[])


def chips() -> list[Patch]:
    """Legend handles of both rounds."""
    return [
        Patch(facecolor=palette.HIDDEN, label="left behind"),
        Patch(facecolor=palette.VISIBLE, label="read in round 2"),
        Patch(facecolor=palette.CHOSEN, label="chosen"),
        Patch(facecolor=palette.FORCED, hatch=palette.FORCED_HATCH, label="forced (own)"),
    ]


def render(*, num_blocks: int, top_k: int, group_size: int, seed: int) -> Figure:
    """Both rounds, one above the other, and how many numbers each way reads."""
    setting = {"num_blocks": num_blocks, "top_k": top_k, "group_size": group_size}
    found = values(**setting, seed=seed)
    figure = new_figure(9, 5.5, layout="none")
    first, second, count = figure.subplots(
        3, 1, height_ratios=[1.2, 1.2, 0.7],
        gridspec_kw={"left": 0.11, "right": 0.97, "top": 0.94, "bottom": 0.14, "hspace": 0.68},
    )  # fmt: skip
    draw_groups(first, found)
    first.set_title(f"Round 1: the {len(found.groups)} best of {len(found.maxima)} groups")
    first.set_xticks([])
    draw_blocks(second, found)
    second.set_title(f"Round 2: the {len(found.chosen)} best of their {found.read.sum()} blocks")
    second.set_xlabel("block", labelpad=1)
    ways = reads(**setting)
    names = ["sort", "all scores", "two rounds"]
    bars = count.barh(names, ways, color=[palette.GREY, palette.VISIBLE, palette.CHOSEN])
    count.bar_label(bars, [f"{way:,}" for way in ways], padding=3)
    count.set(xscale="log", xlim=(1, 9000), xticks=[1, 10, 100, 1000])
    count.set_xticklabels(["1", "10", "100", "1,000"])
    count.minorticks_off()
    count.invert_yaxis()
    count.set_title("Numbers read (at most, log scale)")
    figure.legend(handles=chips(), loc="lower center", ncols=4)
    return figure


def words(*, num_blocks: int, top_k: int, group_size: int, seed: int) -> str:
    """How many groups and blocks were looked at, which blocks were chosen, what was saved."""
    setting = {"num_blocks": num_blocks, "top_k": top_k, "group_size": group_size}
    found = values(**setting, seed=seed)
    ways = reads(**setting)
    looked = f"Of {len(found.maxima)} groups of {group_size} the best {len(found.groups)} are"
    if len(found.groups) == 1:
        looked = f"Of {len(found.maxima)} groups of {group_size} the best is"
    opened = f"opened, and of their {found.read.sum()} blocks {_listed(found.chosen)} chosen."
    total = len(found.maxima) + int(found.read.sum())
    verdict = "no saving here" if total >= ways.all_scores else f"instead of {ways.all_scores}"
    return f"{looked} {opened} Numbers read: {len(found.maxima)} + {found.read.sum()} = " + (
        f"{total}, {verdict}; a sort reads {ways.sort:,}."
    )


def _listed(ids):
    verb = "is" if len(ids) == 1 else "are"
    return f"{', '.join(map(str, ids))} {verb}"


def two_rounds() -> Explorer:
    """The explorer: how many blocks, how many are chosen, how large a group, which scores."""
    return Explorer(
        "Choosing in two rounds",
        render,
        words,
        num_blocks=slider("Blocks (nb)", 96, 8, MOST_BLOCKS, 4),
        top_k=slider("Blocks to choose (k)", 4, 1, MOST_CHOSEN),
        group_size=choice("Blocks in a group", GROUP_SIZES, 8),
        seed=slider("Scores drawn with seed", 0, 0, SEEDS),
    )
