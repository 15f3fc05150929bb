"""Figures of the lesson on the whole layer: functions of numbers that return a Figure."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.patches import Arc, Rectangle

from msa_course import palette
from msa_course.figures import new_figure
from msa_course.whole_layer import layer_map as drawing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure

THOUSAND = 1024
SMALL = 8.5


def three_lanes(chosen: Sequence[int], texts: Mapping[int, str], num_blocks: int) -> Figure:
    """Index keys lit end to end, keys and values in the chosen blocks alone, and their text."""
    fig = new_figure(8, 3.9, layout="none")
    ax = fig.add_axes((0.11, 0.02, 0.88, 0.88))
    for lane, (name, y) in enumerate({"index keys": 5.4, "keys": 4.2, "values": 3.0}.items()):
        for block in range(num_blocks):
            lit = lane == 0 or block in chosen
            fill, hatch = (palette.VISIBLE, None) if lane == 0 else (palette.CHOSEN, None)
            if lane and block == num_blocks - 1:
                fill, hatch = palette.FORCED, palette.FORCED_HATCH
            box = Rectangle((block, y), 1, 0.85, facecolor=fill if lit else palette.HIDDEN)
            box.set(edgecolor="white", linewidth=1.5, hatch=hatch if lit else None)
            ax.add_patch(box)
            if lane == 0:
                ax.text(block + 0.5, y + 0.42, block, ha="center", va="center", fontsize=SMALL)
        ax.text(-0.2, y + 0.42, name, ha="right", va="center")
    width = num_blocks / len(chosen)
    for place, block in enumerate(chosen):
        x = place * width
        ax.plot([block + 0.5, x + width / 2], [2.95, 2.25], color=palette.GREY, linewidth=1)
        ax.text(x + 0.1, 2.15, f"block {block}", va="top", fontsize=9, fontweight="bold")
        ax.text(x + 0.1, 1.75, texts[block], va="top", fontsize=8, linespacing=1.25)
    ax.set(xlim=(0, num_blocks), ylim=(-0.45, 6.4))
    ax.set_axis_off()
    fig.text(0.11, 0.93, "What one query reads: every index key; keys and values of four blocks")
    return fig


def layer_map() -> Figure:
    """One token of MiniMax-M3 on its way through the layer."""
    fig = new_figure(drawing.WIDTH, drawing.HEIGHT)
    drawing.draw(fig.subplots())
    return fig


def shared_pool(table: Sequence[int], num_pages: int, chosen: Sequence[int]) -> Figure:
    """A block table, and the pool of pages into which it points; the chosen blocks' pages lit."""
    fig = new_figure(8, 3.2, layout="none")
    ax = fig.add_axes((0.11, 0.03, 0.88, 0.86))
    step = num_pages / len(table)
    block_of = {int(page): block for block, page in enumerate(table)}

    def style(block):
        if block not in chosen:
            return {"facecolor": palette.HIDDEN}
        if block == len(table) - 1:
            return {"facecolor": palette.FORCED, "hatch": palette.FORCED_HATCH}
        return {"facecolor": palette.CHOSEN}

    for block, page in enumerate(table):
        x, ink = block * step, "white" if block in chosen[:-1] else palette.INK
        ax.add_patch(Rectangle((x, 3), step * 0.92, 0.9, edgecolor=palette.GREY, **style(block)))
        box = (
            {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
            if block == len(table) - 1
            else None
        )
        ax.text(x + step * 0.46, 3.45, int(page), ha="center", va="center", color=ink, bbox=box)
        ax.text(x + step * 0.46, 4.02, block, ha="center", va="bottom", fontsize=SMALL)
        if block in chosen:
            ends = [x + step * 0.46, page + 0.46]
            ax.plot(ends, [2.95, 1.35], color=palette.INK, linewidth=1.3)
    for page in range(num_pages):
        block = block_of.get(page)
        mine = block is not None
        look = style(block) if mine else {"facecolor": "white", "hatch": "xx"}
        ax.add_patch(Rectangle((page, 0.4), 0.92, 0.9, edgecolor=palette.GREY, **look))
        if mine:
            ink = "white" if block in chosen[:-1] else palette.INK
            box = (
                {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
                if block == len(table) - 1
                else None
            )
            ax.text(page + 0.46, 0.85, block, ha="center", va="center", color=ink, bbox=box)
        ax.text(page + 0.46, 0.28, page, ha="center", va="top", fontsize=SMALL)
    for y, name in [
        (4.2, "block"),
        (3.45, "block table:\nits page"),
        (0.85, "pool:\nblock"),
        (0.1, "page"),
    ]:
        ax.text(-0.25, y, name, ha="right", va="center", fontsize=9)
    ax.set(xlim=(0, num_pages), ylim=(-0.35, 4.5))
    ax.set_axis_off()
    fig.text(
        0.11,
        0.92,
        "Four blocks, four pages, anywhere in the pool (crossed: another conversation's)",
    )
    return fig


def ceilings(contexts: Sequence[int], lighter: Mapping[str, Sequence[float]]) -> Figure:
    """How many times fewer bytes than dense, by context, for two sizes of index keys."""
    fig = new_figure(8, 3.3)
    ax = fig.subplots()
    limits = {"bf16 index keys": 8, "one-byte index keys": 16}
    for (name, ratios), colour in zip(lighter.items(), (palette.CHOSEN, "#007A5A")):
        ax.plot(range(len(contexts)), ratios, "o-", color=colour)
        ax.axhline(limits[name], color=colour, linestyle=":")
        ax.text(0, limits[name] + 0.2, f"ceiling {limits[name]}: {name}", color=colour, va="bottom")
        end = f"{ratios[-1]:.2f}"
        ax.text(len(contexts) - 0.9, ratios[-1] - 0.35, end, color=colour, va="top")
    ax.axhline(1, color=palette.GREY, linewidth=1)
    ax.text(len(contexts) - 0.9, 1.1, "dense", color=palette.INK, va="bottom")
    ax.set_xticks(range(len(contexts)), [_short(context) for context in contexts])
    ax.set(xlabel="tokens in the cache", ylabel="times fewer bytes per step")
    ax.set(xlim=(-0.3, len(contexts) + 0.2), ylim=(0, 18))
    ax.set_title("A decode step's saving climbs to a ceiling that the index key sets")
    return fig


def _short(context: int) -> str:
    return f"{context // THOUSAND}K" if context < THOUSAND**2 else f"{context // THOUSAND**2}M"


def milliseconds(steps: Sequence[Mapping]) -> Figure:
    """Times of a decode step by context, sparse and dense: the quickest run, and the median."""
    fig = new_figure(8, 3.4, layout="none")
    ax = fig.add_axes((0.08, 0.15, 0.91, 0.76))
    places = np.arange(len(steps))
    ways = {
        "sdpa": ("dense, torch's SDPA", palette.GREY),
        "sparse": ("MSA in NumPy", palette.CHOSEN),
    }
    for shift, (way, (name, colour)) in zip((-0.2, 0.2), ways.items()):
        quickest = [step[f"{way}_ms"] for step in steps]
        ax.bar(places + shift, quickest, 0.38, color=colour, label=name)
        medians = [step[f"{way}_median_ms"] for step in steps]
        ax.plot(
            places + shift,
            medians,
            "_",
            color=palette.INK,
            markersize=14,
            label="median" * (shift > 0),
        )
        for place, value, top in zip(places, quickest, medians):
            inside = value > 8
            ax.text(
                place + shift,
                value / 2 if inside else top + 0.7,
                f"{value:.0f}",
                ha="center",
                va="center" if inside else "bottom",
                color="white" if inside else palette.INK,
                fontsize=9,
            )
    ax.set_xticks(places, [_short(step["context"]) for step in steps])
    ax.set(xlabel="tokens in the cache", ylabel="milliseconds per step")
    ax.legend(loc="upper left")
    ax.set_title("On a CPU: dense grows with the text, MSA has a fixed cost and a slow slope")
    return fig


RULES = {
    "window": ("last blocks", "#7A5195", "v"),
    "mean": ("mean key", "#B35C00", "s"),
    "learned": ("trained index", palette.CHOSEN, "o"),
    "mass": ("exact mass", "#007A5A", "D"),
}


def does_it_hurt(shares: Sequence[float], rise: Mapping, needles: Mapping, dense: int) -> Figure:
    """Perplexity's rise and needles found, by the share of the text that is read, rule by rule.

    `rise[rule]` and `needles[rule]` are rows (low, value, high), one per share.
    """
    fig = new_figure(8, 3.7)
    left, right = fig.subplots(1, 2)
    for rule, (name, colour, marker) in RULES.items():
        for ax, table in ((left, rise), (right, needles)):
            low, value, high = np.array(table[rule]).T
            bars = [np.maximum(value - low, 0), np.maximum(high - value, 0)]
            ax.errorbar(
                shares,
                value,
                bars,
                fmt=f"{marker}-",
                color=colour,
                capsize=3,
                markersize=5,
                label=name,
            )
    right.axhline(dense, color=palette.INK, linestyle=":")
    right.text(shares[0], dense - 20, f"dense attention: {dense}", va="top")
    left.set(
        ylabel="rise in perplexity (%)", title="Perplexity, against dense attention", ylim=(-1, 36)
    )
    right.set(ylabel="needles found, of 200", title="Needles", ylim=(-6, 206))
    for ax in (left, right):
        ax.set_xscale("log", base=2)
        ax.set_xticks(shares, [f"1/{1 / share:.0f}" for share in shares])
        ax.set_xlabel("share of 4,096 tokens that is read")
    left.legend(loc="upper right")
    return fig


BUG_LOOKS = {0: (0.5, 25, "s", "-"), 1: (1.3, 0.02, "^", "--"), 12: (12.5, 0.02, "o", "-")}
BUG_INK = "#B34700"  # palette.MISSED, dark enough to be read as text


def fingerprints(errors: Mapping[str, np.ndarray], budget: int) -> Figure:
    """Largest error per token: of the correct layer, and of layers with one bug each."""
    fig = new_figure(8, 3.6)
    ax = fig.subplots()
    for name, error in errors.items():
        first = int(np.argmax(error > 1e-4))
        if error[first] <= 1e-4:
            ax.semilogy(error, "o-", color=palette.CHOSEN, markersize=4.5, zorder=3)
            ax.text(len(error) - 1, 3 * error[-1], name, color=palette.CHOSEN, ha="right")
            continue
        x, y, marker, line = BUG_LOOKS[first]
        gap = " " if first == 0 else "\n"
        ax.semilogy(error, marker + line, color=palette.MISSED, markersize=4.5)
        ax.text(x, y, f"{name}:{gap}wrong from token {first}", color=BUG_INK, va="center")
    ax.axvline(budget - 0.5, color=palette.GREY, linestyle=":")
    ax.text(budget, 3e-4, f"k · bs = {budget} tokens")
    ax.set(xlabel="token", ylabel="largest difference", ylim=(1e-7, 80))
    ax.set_xticks(range(0, len(error), 4))
    ax.set_title("Each bug has its fingerprint: where the error begins")
    return fig


def two_arrows(pairs: Mapping[str, tuple[float, float]]) -> Figure:
    """A query's and a key's arrow, rotated by their positions' angles: the angle between stays."""
    fig = new_figure(8, 3.0)
    for ax, (title, (query, key)) in zip(fig.subplots(1, len(pairs)), pairs.items()):
        for name, angle, colour in (("query", query, palette.CHOSEN), ("key", key, "#B35C00")):
            tip = np.cos(angle), np.sin(angle)
            ax.annotate(
                "",
                tip,
                (0, 0),
                arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 2.5, "shrinkA": 0},
            )
            ax.text(1.28 * tip[0], 1.22 * tip[1], name, color=colour, ha="center", va="center")
        low, high = np.degrees(sorted((query, key)))
        ax.add_patch(Arc((0, 0), 0.7, 0.7, theta1=low, theta2=high, color=palette.INK, lw=1.5))
        middle = np.radians((low + high) / 2)
        ax.text(
            0.6 * np.cos(middle),
            0.6 * np.sin(middle),
            f"{high - low:.0f}°",
            ha="center",
            va="center",
        )
        ax.add_patch(Arc((0, 0), 2, 2, color=palette.GREY, lw=0.8, linestyle=":"))
        ax.set(xlim=(-1.5, 1.5), ylim=(-1.35, 1.35), aspect="equal")
        ax.set_axis_off()
        ax.set_title(title, loc="center", fontsize=10)
    return fig


def excerpts(texts: Mapping[int, str], width: int = 28, lines: int = 6) -> dict[int, str]:
    """Each text broken into short lines, as many as fit below a block."""
    broken = {}
    for block, text in texts.items():
        rows = textwrap.wrap(" ".join(text.replace("*", "").split()), width)
        broken[block] = "\n".join(rows[:lines])
    return broken
