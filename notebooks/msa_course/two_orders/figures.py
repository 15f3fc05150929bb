"""The lesson's figures: each takes numbers and gives a Figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from msa_course import palette
from msa_course.figures import new_figure
from msa_course.two_orders import online_softmax, online_softmax_figure, schedules, schedules_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def two_orders(selection, words, first) -> Figure:
    """Both orders over the queries (their words) and the blocks that any of them chose."""
    fig = new_figure(8.4, 4.6)
    axes = fig.subplots(1, 2, sharey=True)
    ids = np.unique(selection[selection >= 0])
    columns = np.searchsorted(ids, selection)
    names = [f"{first + row} {word.strip() or 'new line'}" for row, word in enumerate(words)]
    for ax, order in zip(axes, schedules.ORDERS):
        schedules_figure.draw_order(ax, columns, len(ids), order)
        ax.set(xticklabels=ids, xlabel="block")
        ax.set(yticks=np.arange(len(words)) + 0.5, yticklabels=names, ylabel="")
        ax.tick_params(labelsize=9)
    return fig


def paper_walk(totals, factors, outs) -> Figure:
    """The running sum after each block of the paper case: what was kept, and what was added."""
    fig = new_figure(8.4, 3.0)
    ax = fig.add_subplot()
    before = np.append(0, totals[:-1])
    kept = before * factors
    step = np.arange(len(totals))
    edge = {"edgecolor": palette.GREY, "linewidth": 0.6, "width": 0.6}
    ax.bar(step, kept, color=palette.VISIBLE, label="kept", **edge)
    ax.bar(step, totals - kept, bottom=kept, color=palette.CHOSEN, label="added", **edge)
    for x, (old, factor, total, out) in enumerate(zip(before, factors, totals, outs)):
        if 0 < factor < 1:
            ax.bar(x, old, fill=False, edgecolor=palette.INK, linestyle="--", width=0.6)
            shrunk = f"was {old:g},\n$\\times$ 1/{1 / factor:.0f}"
            ax.text(x - 0.34, old, shrunk, ha="right", va="top", fontsize=9)
        high = max(total, old if factor < 1 else 0)
        ax.text(x, high + 0.08, f"sum {total:g}, output {out:.2f}", ha="center", fontsize=9)
    names = [f"block {block}" for block in range(len(totals))]
    ax.set(xticks=step, xticklabels=names, ylim=(0, 3.5), ylabel="sum, in units of exp(peak)")
    ax.set_title("One worker reads four blocks; at block 1 the peak rises from ln 1 to ln 8")
    ax.legend(loc="upper left", fontsize=9)
    return fig


def real_walks(walks, channel) -> Figure:
    """Token 612's running output in one channel, block by block, in several orders."""
    fig = new_figure(8.4, 3.2)
    axes = fig.subplots(1, len(walks), sharey=True)
    for ax, (name, (order, factors, outs)) in zip(axes, walks.items()):
        step = np.arange(len(order))
        ax.axhline(outs[-1], color=palette.INK, linestyle="--", linewidth=1)
        ax.plot(step, outs, "o-", color=palette.CHOSEN)
        for x, factor in enumerate(factors):
            if 0 < factor < 1:
                ax.annotate(
                    f"new peak: all before\nx {factor:.4f}", (x, outs[x]), (30, -38),
                    textcoords="offset points", fontsize=9, ha="center",
                )  # fmt: skip
        ax.set(xticks=step, xticklabels=[f"block {block}" for block in order], title=name)
        ax.set(xlim=(-0.4, len(order) - 0.4), ylim=(-1.2, 5.2))
        ax.text(-0.3, outs[-1] + 0.12, f"the end: {outs[-1]:.3f}", fontsize=9)
        ax.tick_params(labelsize=9)
    axes[0].set(ylabel=f"running output, channel {channel}")
    return fig


def trade(bars, scratch) -> Figure:
    """GiB moved by each way of working, stacked by what is moved; scratch space at the right."""
    fig = new_figure(8.4, 2.9)
    ax = fig.add_subplot()
    kinds = list(next(iter(bars.values())))
    colours = dict(zip(kinds, (palette.HIDDEN, palette.CHOSEN, palette.VISIBLE, palette.FORCED)))
    hatches = dict(zip(kinds, ("", "", "", palette.FORCED_HATCH)))
    for line, (name, parts) in enumerate(bars.items()):
        left = 0.0
        for kind, gib in parts.items():
            ax.barh(
                line, gib, left=left, color=colours[kind], hatch=hatches[kind], height=0.6,
                edgecolor=palette.INK, linewidth=0.5, label=kind if line == 0 else None,
            )  # fmt: skip
            left += gib
        ax.text(
            left + 50, line, f"{left:,.0f} GiB; scratch {scratch[name]}", va="center", fontsize=9
        )
    ax.set(yticks=range(len(bars)), yticklabels=bars, ylim=(len(bars) - 0.5, -0.5))
    ax.set(xlim=(0, 5600), xlabel="GiB asked for, one layer of M3, prefill of a million tokens")
    ax.legend(loc="lower right", fontsize=9)
    return fig


def lost_rescale(wrong) -> Figure:
    """Share of rows that come out wrong when the shrink is forgotten, by layer and order."""
    fig = new_figure(8.4, 2.9)
    ax = fig.add_subplot()
    hatches = dict(zip(next(iter(wrong.values())), ("", "....")))
    for place, shares in enumerate(wrong.values()):
        for side, (order, share) in zip((-0.2, 0.2), shares.items()):
            ax.bar(
                place + side, share, width=0.36, color=palette.MISSED, hatch=hatches[order],
                edgecolor="white", linewidth=0.5, label=order if place == 0 else None,
            )  # fmt: skip
            ax.text(place + side, share + 0.02, f"{share:.0%}", ha="center", fontsize=9)
    ax.set(
        xticks=range(len(wrong)), xticklabels=wrong, ylim=(0, 1.12), ylabel="rows that are wrong"
    )
    ax.set_title("The shrink is forgotten: whether it shows depends on the order of the blocks")
    ax.legend(loc="upper left", fontsize=9, ncols=2)
    return fig


def four_cases() -> Figure:
    """The stepper's four kinds of scores after their last step, two keys at a time."""
    fig = new_figure(8.4, 4.2)
    axes = fig.subplots(2, 4, sharey="row")
    for column, case in zip(axes.T, online_softmax.CASES):
        trace = online_softmax.compute(step=online_softmax.NUM_KEYS, chunk=2, case=case)
        online_softmax_figure.draw_scores(column[0], trace)
        online_softmax_figure.draw_sum(column[1], trace)
        column[0].set(title=case, xticks=[0, 3, 6, 9])
        column[0].title.set_fontsize(10)
        column[1].set(ylabel="running sum", ylim=(0, 4.6))
        if case != "one needle":
            column[0].set_ylabel("")
            column[1].set_ylabel("")
    return fig
