"""The lesson's figures: each takes the numbers and gives a Figure."""

from __future__ import annotations

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from msa_course import palette
from msa_course.figures import new_figure

MISSING = {"facecolor": palette.MISSED, "hatch": "....", "linewidth": 0}
FORCED = {"facecolor": palette.FORCED, "hatch": palette.FORCED_HATCH, "linewidth": 0}


def four_blocks(num_blocks: int, shares: dict[int, float], texts: dict[int, str]) -> Figure:
    """The row of blocks a query sees, and the text of the few it reads with their share."""
    fig = new_figure(8, 3.1)
    strip, page = fig.subplots(2, 1, height_ratios=(1, 5))
    local = num_blocks - 1
    for block in range(num_blocks):
        look = {"color": palette.HIDDEN, "ec": "white"}
        if block in shares:
            look = FORCED if block == local else {"color": palette.CHOSEN, "ec": "white"}
        strip.bar(block, 1, 0.94, **look)
        light = block in shares and block != local
        at = {
            "color": "white" if light else palette.INK,
            "weight": "bold" if block in shares else "normal",
        }
        if block == local:
            at["bbox"] = {"facecolor": palette.FORCED, "linewidth": 0, "pad": 1}
        strip.text(block, 0.5, str(block), ha="center", va="center", **at)
    strip.set(xlim=(-0.6, num_blocks - 0.4), ylim=(0, 1))
    strip.set_title(f"{len(shares)} of {num_blocks} blocks of 32 tokens are read", size=11)
    page.set(xlim=(0, 1), ylim=(0.35 - len(texts), 0.1))
    for line, (block, text) in enumerate(texts.items()):
        page.text(0, -line, f"{block}", weight="bold", va="top", size=12)
        page.text(0.05, -line, f"{shares[block]:.1%}", va="top", weight="bold")
        page.text(0.14, -line, "\n".join(textwrap.wrap(text, 92)), va="top", size=9)
    for ax in (strip, page):
        ax.axis("off")
    return fig


def selection_maps(maps: dict[str, np.ndarray], forced: np.ndarray) -> Figure:
    """Which blocks each query reads, [T, nb] a panel: queries down, blocks across."""
    fig = new_figure(8, 3.7)
    axes = fig.subplots(1, len(maps), sharey=True)
    queries, num_blocks = forced.shape
    for ax, (title, chosen) in zip(axes, maps.items()):
        visible = np.arange(num_blocks) <= np.arange(queries)[:, None] // (queries // num_blocks)
        states = visible.astype(int) + (chosen & visible) + (forced & visible)
        ax.imshow(states, cmap=palette.STATES, vmin=0, vmax=3, aspect="auto", interpolation="none")
        for block in range(num_blocks):
            rows = np.flatnonzero(forced[:, block])
            ax.add_patch(Rectangle((block - 0.5, rows[0] - 0.5), 1, len(rows), **FORCED))
        ax.set_title(title, size=10)
        ax.set(xlabel="block", xticks=range(0, num_blocks, 8), yticks=range(0, queries + 1, 256))
    axes[0].set_ylabel("query (token)")
    chips = [Patch(color=palette.HIDDEN, label="future")]
    chips += [Patch(color=palette.VISIBLE, label="visible, not read")]
    chips += [Patch(color=palette.CHOSEN, label="chosen"), Patch(label="forced (local)", **FORCED)]
    fig.legend(handles=chips, ncols=4, loc="outside lower center")
    return fig


def mass_by_k(budgets, chosen: dict[str, list], best: dict[str, list]) -> Figure:
    """Share of attention in k blocks, a line per layer; the best choice dotted."""
    fig = new_figure(8, 3.4)
    ax = fig.subplots()
    for (name, shares), colour, mark in zip(chosen.items(), palette.LINES, "os^"):
        ax.plot(budgets, 100 * np.array(shares), f"{mark}-", color=colour)
        ax.plot(budgets, 100 * np.array(best[name]), ":", color=palette.INK, linewidth=1)
        ax.text(budgets[-1] + 0.3, 100 * shares[-1], name, va="bottom" if mark == "^" else "top")
    ax.set(xlabel="k, blocks of 32 tokens read", ylabel="attention held (%)", ylim=(0, 108))
    ax.set(xticks=budgets, xlim=(0.7, budgets[-1] + 2.6))
    ax.set_title("A few blocks hold a sink and a look-up; no few blocks hold a broad head")
    ax.text(2.2, 22, "dotted: the best k blocks there are", size=9)
    return fig


def recalls(noises, block, score, reported: dict[str, tuple]) -> Figure:
    """Both recalls as the index gets blurred, and the bands that the paper reports."""
    fig = new_figure(8, 3.6)
    ax = fig.subplots()
    lines = {
        "score recall": (score, palette.LINES[0], "o-"),
        "block recall": (block, "#007A59", "s--"),
    }
    for name, (shares, colour, mark) in lines.items():
        low, high = reported[name]
        ax.axhspan(low, high, color=colour, alpha=0.13, linewidth=0)
        ax.text(noises[0], (low + high) / 2, f"{name} in the paper", va="center", size=9)
        ax.plot(noises, shares, mark, color=colour)
        ax.text(noises[0] + 0.03, shares[0] + 0.012, name, color=colour, weight="bold")
    ax.set(xlabel="noise added to the keys (standard deviation)", ylabel="recall", ylim=(0.5, 1.03))
    ax.set_title(
        "A blurred index loses light blocks first: block recall falls, score recall hardly"
    )
    return fig


def lost_row(steps, chosen: np.ndarray, mass: np.ndarray) -> Figure:
    """Above, where one query's attention lies; below, what an index chose as it was trained."""
    fig = new_figure(8, 4.3)
    top, grid = fig.subplots(2, 1, sharex=True, height_ratios=(1, 1.5))
    top.bar(range(len(mass)), 100 * mass, color=palette.INK)
    for block in np.flatnonzero(mass > 0.01):
        top.text(block, 100 * mass[block] + 2, f"{mass[block]:.0%}", ha="center", size=9)
    top.set(ylabel="attention (%)", ylim=(0, 72))
    top.set_title("Where the attention of query 612 lies, and what the index opened as it learned")
    for row, picks in enumerate(chosen):
        for block, picked in enumerate(picks):
            local = block == len(mass) - 1
            look = (
                (FORCED if local else {"color": palette.CHOSEN})
                if picked
                else {"color": palette.HIDDEN}
            )
            grid.add_patch(Rectangle((block - 0.46, row - 0.44), 0.92, 0.88, **look))
    heavy = int(mass.argmax())
    grid.add_patch(Rectangle((heavy - 0.5, -0.5), 1, len(steps), fill=False, ec=palette.INK, lw=2))
    grid.text(
        heavy, len(steps) / 2 - 0.5, "never opened", rotation=90, ha="center", va="center", size=9
    )
    grid.set(
        xlabel="block (blue: opened; hatched: the local block, forced)",
        ylabel="training step",
        ylim=(len(steps) - 0.5, -0.5),
    )
    grid.set(
        xticks=range(len(mass)),
        yticks=range(len(steps)),
        yticklabels=steps,
        xlim=(-0.6, len(mass) - 0.4),
    )
    return fig


def merged(wanted: np.ndarray, shared: np.ndarray, mass: np.ndarray) -> Figure:
    """Three groups' own lists, and beside them the list they are made to share."""
    fig = new_figure(8, 3.8)
    axes = fig.subplots(1, 2, sharey=True)
    for ax, read, title in zip(
        axes, (wanted, shared), ("Each group its own list", "One list for all (bug)")
    ):
        for group, row in enumerate(read):
            for block in range(len(row)):
                lost = wanted[group, block] and not row[block]
                look = {"color": palette.CHOSEN if row[block] else palette.HIDDEN}
                ax.add_patch(
                    Rectangle((block - 0.46, group - 0.3), 0.92, 0.6, **(MISSING if lost else look))
                )
                if mass[group, block] >= 0.02:
                    _share(ax, block, group, mass[group, block], lost, bool(row[block]))
        held = (mass * read).sum(axis=-1)
        for group, share in enumerate(held):
            ax.text(len(row) - 0.5, group - 0.42, f"holds {share:.0%}", ha="right", size=9)
        ax.set_title(title)
        ax.spines["left"].set_visible(False)
        ax.set(
            xlim=(-0.6, len(row) - 0.4),
            ylim=(2.5, -0.75),
            xlabel="block",
            xticks=range(0, len(row), 4),
        )
    axes[0].set(yticks=range(3), yticklabels=[f"group {group}" for group in range(3)])
    chips = [Patch(color=palette.CHOSEN, label="read"), Patch(label="wanted, not read", **MISSING)]
    chips += [Patch(color=palette.HIDDEN, label="not read")]
    fig.legend(handles=chips, ncols=3, loc="outside lower center")
    return fig


def _share(ax: Axes, block, group, share, lost, light):
    at = {"ha": "center", "va": "center", "size": 8, "color": "white" if light else "black"}
    if lost:
        at["bbox"] = {"facecolor": palette.MISSED, "linewidth": 0, "pad": 0.5}
    ax.text(block, group, f"{100 * share:.0f}", **at)
