"""Figures of the lesson on dense attention: sentence, rows, heads, masks, bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import FancyBboxPatch, PathPatch, Rectangle
from matplotlib.path import Path

from msa_course import palette
from msa_course.figures import new_figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUES = LinearSegmentedColormap.from_list("blues", ["white", palette.VISIBLE, palette.CHOSEN])
BUG = palette.MISSED
BUG_INK = "#B34700"  # the same as text, which needs more contrast
GREEN = "#007A5A"
SMALL = 9


def settled(fig: Figure) -> Figure:
    """The figure, its axes where constrained layout puts them once."""
    fig.draw_without_rendering()
    fig.set_layout_engine("none")
    return fig


def sentence(words: Sequence[str], above: tuple, below: tuple) -> Figure:
    """The words on a line, with an arc from one word to every word it reads.

    `above` and `below` are (head's name, query, weights [S]) of two heads.
    """
    fig = new_figure(9, 3.6, layout="none")
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set(xlim=(-0.7, len(words) - 0.3), ylim=(-2.35, 2.35))
    ax.axis("off")
    queries = {above[1]: palette.CHOSEN, below[1]: GREEN}
    for j, word in enumerate(words):
        colour = queries.get(j, palette.INK)
        weight = "bold" if j in queries else "normal"
        ax.text(j, 0, word, ha="center", va="center", size=16, color=colour, weight=weight)
    for (name, query, weights), side, colour in ((above, 1, palette.CHOSEN), (below, -1, GREEN)):
        _draw_arcs(ax, query, weights, side, colour)
        place = (-0.6, 2.15 * side)
        text = f"\u201c{words[query]}\u201d asks: {name}"
        ax.text(*place, text, color=colour, weight="bold", size=11, va="center")
    return fig


def _draw_arcs(ax, query, weights, side, colour):
    for j in range(query + 1):
        share = weights[j]
        if j != query:
            height = side * (0.55 + 0.52 * (query - j) ** 0.8)
            start, end = (query, 0.3 * side), (j, 0.42 * side)
            curve = Path([start, (query, height), (j, height), end], [1, 4, 4, 4])
            patch = PathPatch(curve, fill=False, edgecolor=colour, linewidth=0.6 + 9 * share)
            ax.add_patch(patch).set_alpha(1 if share > 0.3 else 0.55)
        strong = share > 0.3
        place = (j + (0.13 if j != query else 0.0), side * (0.62 if j != query else 0.42))
        if strong:
            ax.text(*place, f"{share:.2f}", size=13, color=colour, weight="bold", va="center")


def one_row(words, query: int, stages: list[tuple], answer: str) -> Figure:
    """One query's way through attention, a column per word, and what the last stage adds up to.

    A stage is (label, note below it, numbers or texts per word, shades per word or None); the
    numbers of a word are one or several. Words after the query are grey from the second stage on.
    """
    fig = new_figure(9.8, 5.4, layout="none")
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set(xlim=(-2.55, len(words) - 0.4), ylim=(len(stages) + 1.1, -0.5))
    ax.axis("off")
    for j, word in enumerate(words):
        colour = palette.INK if j <= query else palette.GREY
        weight = "bold" if j == query else "normal"
        ax.text(j, -0.1, word, ha="center", va="center", size=12, color=colour, weight=weight)
    for row, (label, note, numbers, shades) in enumerate(stages):
        y = row + 0.65
        ax.text(-2.5, y - 0.1, label, va="center", size=10.5, weight="bold")
        ax.text(
            -2.5,
            y + 0.19,
            note.replace("-inf", "\u2212\u221e").replace("*", "\u00d7"),
            va="center",
            size=8,
        )
        for j in range(len(words)):
            dead = j > query and row > 0
            face = palette.HIDDEN if dead else "white" if shades is None else BLUES(shades[j])
            _draw_cell(ax, j, y, numbers[j], face, "#595959" if dead else "black")
    y = len(stages) + 0.62
    box = FancyBboxPatch((-0.42, y - 0.27), 6.84, 0.54, boxstyle="round,pad=0.02")
    box.set(facecolor=palette.CHOSEN, edgecolor="none")
    ax.add_patch(box)
    ax.text(3, y, answer, ha="center", va="center", size=12, color="white", weight="bold")
    for j in range(query + 1):
        ax.plot([j, j], [y - 0.68, y - 0.3], color=palette.GREY, linewidth=0.9, zorder=0)
    return fig


def _draw_cell(ax, j, y, number, face, ink):
    box = FancyBboxPatch((j - 0.44, y - 0.27), 0.88, 0.54, boxstyle="round,pad=0.01")
    box.set(facecolor=face, edgecolor=palette.GREY, linewidth=0.8)
    ax.add_patch(box)
    text = number if isinstance(number, str) else "  ".join(map(_short, np.atleast_1d(number)))
    size = 9.5 if np.size(number) > 1 else 11
    ax.text(j, y, text, ha="center", va="center", size=size, color=ink)


def _short(number):
    """A number as a person writes it: no trailing zeros, a true minus."""
    if np.isneginf(number):
        return "\u2212\u221e"
    return f"{round(float(number), 3):g}".replace("-", "\u2212")


def matrices(words, panels: list[tuple[str, np.ndarray, float]], row: int) -> Figure:
    """Matrices [T, S] side by side with their numbers; -inf is hatched; one row framed.

    A panel is (title, numbers, the number that gets the darkest shade).
    """
    fig = new_figure(10.2, 4.05)
    axes = fig.subplots(1, len(panels))
    for ax, (title, numbers, darkest) in zip(axes, panels):
        draw_matrix(ax, words, numbers, darkest, frame=row)
        ax.set_title(title, size=10)
    axes[0].set_ylabel("query")
    for ax in axes[1:]:
        ax.set_yticks(range(len(words)), [])
    return settled(fig)


def draw_matrix(ax: Axes, words, numbers, darkest, *, frame=None, dim=()):
    """A matrix of queries by keys, each cell with its number; -inf is hatched, `dim` rows pale."""
    shown = np.where(np.isfinite(numbers), numbers, 0) / darkest
    for t, j in np.ndindex(numbers.shape):
        value, shade = numbers[t, j], np.clip(shown[t, j], 0, 1)
        hidden = np.isneginf(value) or np.isnan(value)
        face = palette.HIDDEN if hidden else BLUES(shade * (0.25 if t in dim else 1))
        cell = Rectangle((j - 0.5, t - 0.5), 1, 1, facecolor=face, edgecolor="white", linewidth=1)
        ax.add_patch(cell)
        if hidden:
            text = "\u2212\u221e" if np.isneginf(value) else ""
        else:
            text = (
                f"{value + 1e-9:.2f}".replace("0.", ".", 1) if 0 < value < 0.999 else f"{value:.3g}"
            )
        ink = "#4d4d4d" if hidden or t in dim else "white" if shade > 0.9 else "black"
        ax.text(j, t, text, ha="center", va="center", size=8, color=ink)
    if frame is not None:
        box = Rectangle((-0.5, frame - 0.5), numbers.shape[1], 1, fill=False)
        box.set(edgecolor=palette.FORCED, linewidth=2.5, clip_on=False, zorder=4)
        ax.add_patch(box)
    size = numbers.shape
    ax.set(xlim=(-0.55, size[1] - 0.45), ylim=(size[0] - 0.45, -0.55), aspect="equal")
    ax.set_xticks(range(size[1]), words[: size[1]], rotation=50, ha="right", size=SMALL)
    ax.tick_params(axis="x", pad=0)
    ax.set_yticks(range(size[0]), words[: size[0]], size=SMALL)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("key", size=SMALL)


def masks(cases: list[tuple[str, np.ndarray, bool]]) -> Figure:
    """Masks [T, S] laid over the triangle of all S queries: only their own T rows are lit.

    A case is (title, mask, right or wrong); a wrong one has the colour of a bug.
    """
    fig = new_figure(9.6, 3.1)
    axes = fig.subplots(1, len(cases))
    for ax, (title, mask, right) in zip(axes, cases):
        rows, size = mask.shape
        for t, j in np.ndindex(size, size):
            lit = t >= size - rows
            inside = mask[t - size + rows, j] if lit else j <= t
            face = (palette.VISIBLE if right else BUG) if lit and inside else "white"
            if not lit and inside:
                face = palette.HIDDEN
            edge = "#bbbbbb" if lit else "#e2e2e2"
            ax.add_patch(Rectangle((j, t), 1, 1, facecolor=face, edgecolor=edge, linewidth=0.8))
        for r, seen in enumerate(mask.sum(axis=1)):
            ax.text(size + 0.25, size - rows + r + 0.5, seen, va="center", size=SMALL)
        box = Rectangle((0, size - rows), size, rows, fill=False, edgecolor=palette.INK)
        box.set(linewidth=1.6, clip_on=False)
        ax.add_patch(box)
        ax.set(xlim=(-0.1, size + 1), ylim=(size + 0.1, -0.1), aspect="equal")
        ax.set_xticks(np.arange(size) + 0.5, range(size), size=SMALL)
        ax.set_yticks(np.arange(size) + 0.5, range(size), size=SMALL)
        ax.set_title(title, size=10, color=palette.INK if right else BUG_INK)
        ax.set_xlabel("key position", size=SMALL)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    axes[0].set_ylabel("query position", size=SMALL)
    return settled(fig)


def heads(words, weights, asks, joined, w_o, after, channels) -> Figure:
    """Two heads' weights; their outputs side by side; x with what W_o added to it.

    `weights` [2, T, S]; `asks` [2, T] says which rows have a question: only what those heads write
    is marked. `joined` [T, 2 d], `w_o` [2 d, D], `after` [T, D].
    """
    fig = new_figure(10.2, 3.6)
    axes = fig.subplots(1, 4, width_ratios=[8, 8, 8, 5])
    seen = np.tril(np.ones(weights.shape[1:], dtype=bool))
    for h, (ax, name) in enumerate(zip(axes, ("whose?", "who?"))):
        shown = np.where(seen, weights[h], np.nan)
        draw_matrix(ax, words, shown, 1, dim=np.flatnonzero(~asks[h]))
        ax.set_title(f"head {h} \u201c{name}\u201d", size=10)
    axes[1].set_yticks(range(len(words)), [])
    width = w_o.shape[0] // 2
    found = np.repeat(asks.T, width, axis=1)
    draw_numbers(axes[2], joined, found, "joined: [8, 2 \u00d7 4]", palette.VISIBLE)
    axes[2].axvline(width - 0.5, color=palette.INK, linewidth=1.2)
    axes[2].set_xticks([1.5, 5.5], ["head 0", "head 1"], size=SMALL)
    written = np.any(found[:, :, None] & (w_o != 0), axis=1)
    draw_numbers(axes[3], after, written, "x + joined @ W_o", palette.FORCED)
    axes[3].set_xticks(range(len(channels)), channels, rotation=50, ha="right", size=SMALL)
    return settled(fig)


def draw_numbers(ax: Axes, numbers, marked, title, colour) -> None:
    """An array of numbers, the marked cells filled with the colour."""
    for t, c in np.ndindex(numbers.shape):
        face = colour if marked[t, c] else palette.HIDDEN
        ax.add_patch(Rectangle((c - 0.5, t - 0.5), 1, 1, facecolor=face, edgecolor="white"))
        value = numbers[t, c]
        text = "0" if abs(value) < 0.05 else f"{value + 1e-9:.1f}".replace(".0", "")
        ink = "black" if marked[t, c] else "#595959"
        ax.text(c, t, text, ha="center", va="center", size=8, color=ink)
    rows, columns = numbers.shape
    ax.set(xlim=(-0.55, columns - 0.45), ylim=(rows - 0.45, -0.55), aspect="equal")
    ax.set_yticks(range(rows), [])
    ax.set_title(title, size=10)
    ax.tick_params(length=0, pad=1)
    ax.spines[:].set_visible(False)


def sharing(cases: list[tuple[str, int, int]], num_heads: int) -> Figure:
    """Query heads above the KV heads that they read, for some numbers of KV heads.

    A case is (title, KV heads, bytes of K and V per token); there are `num_heads` query heads.
    """
    fig = new_figure(9.6, 2.9, layout="none")
    for place, (title, num_kv_heads, size) in enumerate(cases):
        ax = fig.add_axes((0.005 + place / 3, 0.0, 0.323, 1))
        ax.set(xlim=(-0.7, num_heads - 0.3), ylim=(-1.35, 2.15))
        ax.axis("off")
        group_size = num_heads // num_kv_heads
        ax.text(-0.5, 1.9, title, size=11, weight="bold", va="center")
        for h in range(num_heads):
            _box(ax, h, 1.15, palette.VISIBLE, f"q{h}", "black")
            group = h // group_size
            centre = group * group_size + (group_size - 1) / 2
            ax.plot([h, centre], [0.86, 0.3], color=palette.GREY, linewidth=1.2, zorder=0)
        for group in range(num_kv_heads):
            centre = group * group_size + (group_size - 1) / 2
            _box(ax, centre, 0.05, palette.CHOSEN, f"k{group}", "white")
            _box(ax, centre, -0.5, palette.CHOSEN, f"v{group}", "white")
        ax.text(-0.5, -1.15, f"{size:,} bytes per token", size=10.5, va="center")
    return fig


def _box(ax, x, y, colour, text, ink):
    box = FancyBboxPatch((x - 0.32, y - 0.19), 0.64, 0.38, boxstyle="round,pad=0.05")
    box.set(facecolor=colour, edgecolor="white")
    ax.add_patch(box)
    ax.text(x, y, text, ha="center", va="center", size=9, color=ink)


def late_mask(words, late: np.ndarray) -> Figure:
    """Weights masked too late, and every row's sum as a bar with the missing part hatched."""
    fig = new_figure(9.2, 3.9)
    left, right = fig.subplots(1, 2, width_ratios=[1, 1.15])
    seen = np.tril(np.ones(late.shape, dtype=bool))
    draw_matrix(left, words, np.where(seen, late, np.nan), 1)
    left.set_title("Softmax first, mask after: looks innocent", size=10)
    left.set_ylabel("query", size=SMALL)
    sums = late.sum(axis=1)
    rows = np.arange(len(words))
    right.barh(rows, sums, color=palette.CHOSEN, height=0.7)
    gone = right.barh(rows, 1 - sums, left=sums, color="white", edgecolor=BUG, height=0.7)
    for bar in gone:
        bar.set(hatch="////", linewidth=0.8)
    for row, total in enumerate(sums):
        right.text(
            0.02, row, f"{round(total, 3):g}", va="center", color="white", size=9, weight="bold"
        )
    right.set(xlim=(0, 1.02), ylim=(len(words) - 0.5, -0.5), xticks=[0, 0.5, 1])
    right.set_yticks(rows, words, size=SMALL)
    right.set_xlabel("sum of the row's weights")
    right.set_title("Hatched: what the future kept", size=10, color=BUG_INK)
    return settled(fig)


def scaling(plain: np.ndarray, scaled: np.ndarray, channels: int, best: int = 16) -> Figure:
    """Weights of one query's best keys, from plain dot products and from divided ones."""
    fig = new_figure(8, 2.8)
    ax = fig.subplots()
    keys = np.arange(1, best + 1)
    ax.bar(keys - 0.2, np.sort(plain)[::-1][:best], 0.38, color=BUG)
    ax.bar(keys + 0.2, np.sort(scaled)[::-1][:best], 0.38, color=palette.CHOSEN)
    ax.text(1.2, plain.max() * 0.9, "plain dot products: one key in charge", color=BUG_INK)
    place = (3.2, scaled.max() + 0.03)
    ax.text(*place, f"divided by \u221a{channels}: many keys count", color=palette.CHOSEN)
    ax.set(xlabel="key, best first", ylabel="weight", ylim=(0, None), xticks=keys)
    return settled(fig)
