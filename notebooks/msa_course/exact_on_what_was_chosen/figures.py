"""The lesson's figures: each takes numbers and gives a Figure."""

from __future__ import annotations

from textwrap import shorten
from typing import TYPE_CHECKING

import numpy as np

from msa_course import palette
from msa_course.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STATE_OF_READ = {True: palette.CHOSEN, False: palette.HIDDEN}


def reading_list(mass, chosen, texts) -> Figure:
    """Attention mass of every block, the chosen ones filled, and the chosen blocks' words below."""
    fig = new_figure(8.4, 4.2)
    top, below = fig.subplots(2, 1, height_ratios=[3, 2])
    ids = np.arange(len(mass))
    colours = [STATE_OF_READ[block in chosen] for block in ids]
    top.bar(ids, mass, color=colours, edgecolor=palette.GREY, linewidth=0.6)
    for block in ids:
        label = f"{mass[block]:.0%}" if mass[block] >= 0.005 else "<1%"
        top.text(block, mass[block] + 0.02, label, ha="center", fontsize=8)
    top.set(xticks=ids, ylim=(0, 1.05), ylabel="share of the look", xlabel="block of 32 tokens")
    top.set_title("Where token 612 looks: four blocks of twenty are read (blue)")
    below.axis("off")
    below.set(xlim=(0, 1), ylim=(len(chosen), 0))
    for line, (block, text) in enumerate(zip(chosen, texts)):
        below.text(0.0, line + 0.5, f"block {block}", fontsize=9, weight="bold", va="center")
        below.text(0.1, line + 0.5, shorten(text, 100), fontsize=8.5, va="center")
    return fig


def balance(points, marks) -> Figure:
    """Means as discs on one line, a disc's area is its weight; and the means of them together."""
    fig = new_figure(8.4, 2.6)
    ax = fig.add_subplot()
    ax.axhline(0, color=palette.INK, linewidth=1)
    for name, (place, weight, read) in points.items():
        fill = STATE_OF_READ[read]
        ax.scatter(place, 0, s=110 * weight, color=fill, edgecolor=palette.INK, zorder=2)
        ink = "white" if read else palette.INK
        ax.text(place, 0, f"{weight}", ha="center", va="center", color=ink, weight="bold")
        side, level = ("left", -0.62) if name == "unread" else ("center", 0.68)
        ax.text(place, level, f"{name}\n{place:.2f}", ha=side, va="center", fontsize=9)
    for name, (place, level, bug) in marks.items():
        colour = palette.MISSED if bug else palette.INK
        ax.plot([place, place], [level + 0.16, -0.05], color=colour, linewidth=1.4, zorder=3)
        ax.plot(place, -0.07, "^", color=colour, markersize=9, zorder=4)
        side, shift = ("left", 0.5) if bug else ("right", -0.5)
        ax.text(place + shift, level, f"{name} {place:.2f}", ha=side, va="center", fontsize=9)
    ax.set(xlim=(25, 85), ylim=(-1.35, 0.95), yticks=[], xlabel="value")
    ax.spines["left"].set_visible(False)
    ax.set_title("A merge is a balance: each mean pulls with its weight")
    return fig


def four_partials(blocks, outs, share, merged, dense, channels) -> Figure:
    """Some channels of the partial outputs, of their merge and of dense attention."""
    fig = new_figure(8.4, 3.6)
    ax = fig.add_subplot()
    place = np.arange(len(channels))
    ax.bar(place, merged[channels], width=0.74, color=palette.VISIBLE, label="the four, merged")
    aside = np.linspace(-0.29, 0.29, len(blocks))
    for block, out, part, shift in zip(blocks, outs, share, aside):
        for x, y in zip(place + shift, out[channels]):
            edge = palette.INK if part == share.max() else palette.GREY
            box = {"facecolor": "white", "edgecolor": edge, "pad": 1.2, "linewidth": 0.6}
            ax.text(x, y, f"{block}", fontsize=8, ha="center", va="center", bbox=box)
    for x, y in zip(place, dense[channels]):
        ax.plot([x - 0.45, x + 0.45], [y, y], color=palette.INK, linewidth=2)
    ax.plot([], [], color=palette.INK, linewidth=2, label="dense attention")
    ax.plot([], [], "s", mfc="white", mec=palette.GREY, label="one block alone (its id)")
    ax.axhline(0, color=palette.GREY, linewidth=0.8)
    ax.set(xticks=place, xticklabels=channels, xlabel="channel of the output (the ten largest)")
    top, bottom = outs[:, channels].max(), outs[:, channels].min()
    ax.set(ylabel="output", xlim=(-0.6, len(channels) - 0.4), ylim=(bottom - 0.5, top + 0.5))
    ax.legend(loc="upper center", ncols=3, bbox_to_anchor=(0.5, 1.2), fontsize=9)
    return fig


def one_budget(captured, error, added) -> Figure:
    """One query: captured mass and largest error at every k, and which block k brought."""
    fig = new_figure(8.4, 3.6)
    left, right = fig.subplots(1, 2)
    budgets = np.arange(1, len(captured) + 1)
    for ax, values in ((left, captured), (right, error)):
        ax.plot(budgets, values, "o-", color=palette.CHOSEN, markersize=4)
        ax.set(xlabel="k, blocks read of 20", xticks=[1, 2, 3, 4, 8, 12, 16, 20])
        ax.tick_params(labelsize=9)
    near = {"textcoords": "offset points", "fontsize": 9, "va": "center"}
    left.annotate(f"block {added[0]}, the local one", (1, captured[0]), (10, 3), **near)
    left.annotate(f"+ block {added[1]}", (2, captured[1]), (8, -12), **near)
    rest = ", ".join(map(str, added[2:6]))
    left.text(4.2, 0.76, f"then blocks {rest}, ...", fontsize=9, va="center")
    left.set(ylim=(-0.03, 1.06), ylabel="captured mass", title="Token 612: captured mass")
    for k in (1, 2, 4):
        right.annotate(
            f"{error[k - 1]:.2f}", (k, error[k - 1]), (6, 5), textcoords="offset points", fontsize=9
        )
    right.set(ylabel="largest error of the output", title="Token 612: largest error", ylim=(0, 3.2))
    return fig


def layers_budget(budgets, curves) -> Figure:
    """Captured mass and error at every budget, one line per layer, labelled at the line."""
    fig = new_figure(8.4, 3.6)
    axes = fig.subplots(1, 2)
    styles = zip(curves.items(), ("o", "^", "s"), palette.LINES)
    spots = {
        "layer 0": ((14.8, 0.62), (17, 0.058)),
        "layer 11": ((14, 0.895), (6.6, 0.022)),
        "layer 18": ((6, 1.045), (7, 0.0035)),
    }
    for (name, (mass, error)), marker, colour in styles:
        style = {"marker": marker, "markersize": 4, "color": colour}
        axes[0].plot(budgets, mass, **style)
        axes[1].semilogy(budgets, error, **style)
        for ax, (x, y) in zip(axes, spots[name]):
            ax.text(x, y, name, fontsize=9, va="center")
    axes[0].annotate(
        "layer 18's\nsecond block\nis the sink", (1.75, 0.68), (3.4, 0.66), va="center",
        fontsize=8.5, arrowprops={"arrowstyle": "->", "color": palette.INK},
    )  # fmt: skip
    axes[0].set(ylabel="captured mass", ylim=(0, 1.1), title="What is read")
    axes[1].set(ylabel="error / RMS of values", title="What it costs")
    for ax in axes:
        ax.set(xlabel="k, blocks read of 32", xticks=[1, 4, 8, 12, 16, 20, 24, 28, 31])
        ax.tick_params(labelsize=9)
    return fig


def wrong_merges(truth, rules) -> Figure:
    """Merged outputs against the right ones, one panel per rule."""
    fig = new_figure(8.4, 3.1)
    axes = fig.subplots(1, len(rules), sharey=True, sharex=True)
    ends = np.array([truth.min(), truth.max()])
    for ax, (name, got) in zip(axes, rules.items()):
        bug = "right" not in name
        colour = palette.MISSED if bug else palette.CHOSEN
        ax.plot(truth, got, ".", color=colour, markersize=2, rasterized=True)
        ax.plot(ends, ends, color=palette.INK, linewidth=1)
        ax.text(0.97, 0.06, "line: equal", transform=ax.transAxes, ha="right", fontsize=9)
        ax.set(title=name, xlabel="right output")
        ax.title.set_fontsize(10)
    axes[0].set(ylabel="merged output")
    return fig


def margins(rules) -> Figure:
    """How much of what each rule allows a right kernel and a broken one use, on a log scale."""
    fig = new_figure(8.4, 3.0)
    ax = fig.add_subplot()
    for line, (right, broken) in enumerate(rules.values()):
        missed = broken <= 1
        ax.plot([right, broken], [line, line], color=palette.GREY, linewidth=0.8)
        ax.plot(right, line, "o", color=palette.CHOSEN, markersize=7)
        ax.plot(broken, line, "X", color=palette.MISSED, markersize=9)
        verdict = "accepts the bug" if missed else "catches the bug"
        ax.text(6, line, verdict, va="center", fontsize=9, weight="normal" if missed else "bold")
    ax.axvline(1, color=palette.INK, linewidth=1.2)
    ax.text(0.9, -0.75, "accepted", ha="right", fontsize=9)
    ax.text(1.1, -0.75, "refused", ha="left", fontsize=9)
    ax.plot([], [], "o", color=palette.CHOSEN, label="right kernel")
    ax.plot([], [], "X", color=palette.MISSED, label="a block lost")
    ax.legend(loc="center left", fontsize=9)
    ax.set_xscale("log")
    ax.set(yticks=range(len(rules)), yticklabels=rules, ylim=(len(rules) - 0.5, -1.1))
    ax.set(xlim=(1e-4, 150), xlabel="difference / what the rule allows (0 at the left end)")
    return fig
