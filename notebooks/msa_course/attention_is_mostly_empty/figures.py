"""The figures of the lesson; each takes the numbers and returns a Figure."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

from msa_course import palette
from msa_course.figures import new_figure
from msa_course.fonts import drawable

MONO = "DejaVu Sans Mono"
CHARACTER = 0.602  # width of a character of MONO, in its size
OFF, OFF_INK = "#3b3b3b", "#cfcfcf"
BLUES = LinearSegmentedColormap.from_list("weight", ["#ffffff", palette.CHOSEN])
REDS = LinearSegmentedColormap.from_list("missed", [OFF, palette.MISSED])
LAYER_COLOURS = {0: "#B35C00", 11: "#00775A", 18: palette.CHOSEN}
MARKERS = {0: "o", 11: "s", 18: "^"}


def _shade(weight):
    """How strongly a word of this weight is shaded, from 0 to 1."""
    return 0.0 if weight < 0.01 else 1.0 if weight > 0.6 else min(0.75, float(np.sqrt(weight)))


def _one_line(word):
    """The word with a sign for its line end, its other spaces as they are."""
    if not word.strip():
        return "\u21b5 " if "\n" in word else "\u2423 "
    head, _, tail = word.rpartition("\n")
    return drawable(f"{head}\u21b5{tail.lstrip()}" if "\n" in word else word)


def _points_axes(fig):
    """An axes over the whole figure in points, from the upper left."""
    width, height = 72 * fig.get_size_inches()
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(height, 0))
    ax.axis("off")
    return ax


def _draw_words(ax, words, weights, x, y, size):
    """Draws tokens in a row, shaded by weight; returns the middle of each."""
    middles = []
    for word, weight in zip(words, weights):
        wide, shade = CHARACTER * size * len(word), _shade(weight)
        box = (x, y - 0.8 * size), wide, 1.6 * size
        ax.add_patch(Rectangle(*box, color=BLUES(shade), linewidth=0))
        ink = "white" if shade == 1 else palette.INK
        ax.text(x, y, word, family=MONO, size=size, va="center_baseline", color=ink)
        middles.append(x + wide / 2)
        x += wide
    return np.array(middles)


def two_passages(words: list[str], row: np.ndarray, query: int) -> Figure:
    """The passage before the query and the one it repeats, words shaded by weight, and an arc from
    the query to the word that follows the old passage."""
    fig, size = new_figure(8, 3.0, layout="none"), 8.7
    ax = _points_axes(fig)
    old = slice(219, 242)
    new = slice(597, query + 1)
    shown = [_one_line(word) for word in words]
    above = _draw_words(ax, shown[old], row[old], 12, 66, size)
    below = _draw_words(ax, shown[new], np.zeros(new.stop - new.start), 12, 160, size)
    target = int(row.argmax())
    start, end = below[-1], above[target - old.start]
    ends = {"connectionstyle": "arc3,rad=0.28", "arrowstyle": "-|>", "mutation_scale": 14}
    ax.add_patch(
        FancyArrowPatch((start, 152), (end, 76), color="#9C6500", linewidth=2.2, zorder=3, **ends)
    )
    wide = CHARACTER * size * len(shown[query])
    place = (start - wide / 2 + 3, 151)
    ax.add_patch(Rectangle(place, wide, 18, fill=False, edgecolor="#9C6500", linewidth=2))
    bold = {"weight": "bold", "size": 10}
    ax.text(end, 48, f"token {target}: {row[target]:.0%}", ha="center", **bold)
    ax.text(12, 20, f"Said before (tokens {old.start} to {old.stop - 1})", size=9.5)
    ax.text(12, 136, f"Being read now (tokens {new.start} to {query})", size=9.5)
    ax.text(start + 14, 186, f"query: token {query}. What comes next?", ha="right", **bold)
    apart = f"   the phrase came {query - target + 1} tokens earlier"
    ax.text(end + 4, 118, apart, size=9, ha="left", color="#7A4F00")
    return fig


def four_heads(rows: dict[str, np.ndarray], words: list[str], block_size: int) -> Figure:
    """Four heads at one query: a column per block, a cell per token, darker for more weight."""
    fig = new_figure(8, 4.4)
    for ax, (name, row) in zip(fig.subplots(2, 2).flat, rows.items()):
        columns = -(-len(row) // block_size)
        cells = np.full(columns * block_size, np.nan)
        cells[: len(row)] = np.sqrt(row)
        grid = np.ma.masked_invalid(cells.reshape(columns, block_size).T)
        ax.pcolormesh(
            np.arange(columns + 1), np.arange(block_size + 1), grid, cmap=BLUES, vmin=0, vmax=1
        )
        ax.vlines(np.arange(columns + 1), 0, block_size, color="#b5b5b5", linewidth=0.5)
        ax.set(ylim=(block_size, 0), yticks=[], xticks=np.arange(0, columns, 5) + 0.5)
        ax.set_xticklabels(range(0, columns, 5))
        for spine in ax.spines.values():
            spine.set_visible(False)
        top = int(row.argmax())
        ax.set_title(name, weight="bold")
        x, y = top // block_size + 0.5, top % block_size + 0.5
        text = f"token {top} \u201c{words[top].strip()}\u201d: {row[top]:.1%}"
        right = x < columns / 2
        ax.annotate(
            text,
            (x + (0.6 if right else -0.6), y),
            (x + (1.6 if right else -1.6), min(max(y, 4), block_size - 4)),
            ha="left" if right else "right",
            va="center",
            size=9.5,
            arrowprops={"arrowstyle": "-", "color": palette.INK},
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )
    fig.supxlabel("block of 32 tokens (oldest on the left); darker: more weight", size=10)
    return fig


def blocks_by_hand(exponentials: np.ndarray, block_size: int, chosen: np.ndarray) -> Figure:
    """Eight tokens in pairs: each one's exponential, each block's sum and share; chosen blocks
    lit."""
    fig = new_figure(8, 2.3, layout="none")
    ax = fig.add_axes((0.13, 0, 0.86, 1))
    ax.set(xlim=(0, len(exponentials)), ylim=(0, 3.2))
    ax.axis("off")
    total = exponentials.sum()
    for token, value in enumerate(exponentials):
        lit = token // block_size in chosen
        box = (token + 0.06, 1.5), 0.88, 0.9
        colour = palette.CHOSEN if lit else palette.HIDDEN
        ax.add_patch(Rectangle(*box, facecolor=colour, edgecolor=palette.GREY))
        middle, ink = token + 0.5, "white" if lit else palette.INK
        ax.text(middle, 1.95, f"{value:g}", size=15, ha="center", va="center", color=ink)
        ax.text(middle, 2.65, f"token {token}", size=9, ha="center")
    for block, part in enumerate(exponentials.reshape(-1, block_size)):
        left, right = block * block_size + 0.08, (block + 1) * block_size - 0.08
        ax.plot([left, left, right, right], [1.35, 1.2, 1.2, 1.35], color=palette.INK, linewidth=1)
        text = f"block {block}: {part.sum():g} of {total:g}\nmass {part.sum() / total:.2f}"
        weight = "bold" if block in chosen else "normal"
        ax.text((left + right) / 2, 1.05, text, size=10, ha="center", va="top", weight=weight)
    fig.text(0.005, 0.61, "exponential of\nthe score", size=9.5, va="center")
    fig.text(0.005, 0.25, "share of\nthe block", size=9.5, va="center")
    return fig


def price_of_blocks(curves: dict[str, tuple[np.ndarray, np.ndarray]], block_size: int) -> Figure:
    """Mass held against tokens read, best first, for each row: single keys, and whole blocks."""
    fig = new_figure(8, 2.9)
    axes = fig.subplots(1, len(curves), sharey=True)
    for ax, (name, (keys, in_blocks)) in zip(axes, curves.items()):
        read = np.minimum(block_size * np.arange(1, len(in_blocks) + 1), len(keys))
        ax.plot(np.arange(1, len(keys) + 1), keys, "--", color=palette.INK)
        ax.plot(read, in_blocks, ".-", markersize=4, color=palette.CHOSEN)
        ax.axhline(0.9, color=palette.GREY, linewidth=0.8, linestyle=":")
        ax.set_xscale("log", base=2)
        ax.set(title=name, ylim=(0, 1.04), yticks=[0, 0.5, 0.9, 1])
        ax.set_xticks([1, 8, 64, 512], ["1", "8", "64", "512"])
        ax.minorticks_off()
    axes[0].set_ylabel("share of mass held")
    axes[2].text(1.2, 0.72, "- - -  best keys, one by one", size=8.5)
    axes[2].text(1.2, 0.62, f"-•-  best blocks of {block_size}", size=8.5, color=palette.CHOSEN)
    fig.supxlabel("tokens read, best first", size=10)
    return fig


def all_heads(needs: dict[int, np.ndarray], held: dict[int, np.ndarray], even: float) -> Figure:
    """Every captured head, sorted: the keys it needs, and the mass its best blocks hold."""
    fig = new_figure(8, 3.6)
    left, right = fig.subplots(1, 2)
    for ax, numbers in ((left, needs), (right, held)):
        heads = [(value, layer) for layer, row in numbers.items() for value in row]
        heads.sort(reverse=ax is right)
        for place, (value, layer) in enumerate(heads):
            style = {"color": LAYER_COLOURS[layer], "marker": MARKERS[layer]}
            ax.plot(place, value, linestyle="", markersize=6, **style)
        ax.set(xlabel="27 heads, emptiest first", xticks=[])
    left.set_yscale("log", base=2)
    left.set_yticks([1, 4, 16, 64, 256], ["1", "4", "16", "64", "256"])
    left.set(
        ylim=(0.7, 900), title="Keys for 90 % of the mass", ylabel="keys (median over queries)"
    )
    left.axhline(64, color=palette.GREY, linewidth=0.8, linestyle=":")
    left.text(0, 70, "64 keys", size=9, va="bottom")
    right.set(
        ylim=(0, 1.05), title="Mass in the best 4 blocks of 32", ylabel="share (mean over queries)"
    )
    right.axhline(even, color=palette.INK, linewidth=1, linestyle="--")
    right.text(0, even - 0.02, f"if every key weighed the same: {even:.2f}", size=9, va="top")
    for place, layer in enumerate((18, 11, 0)):
        right.plot(0.4, 0.58 - 0.08 * place, marker=MARKERS[layer], color=LAYER_COLOURS[layer])
        colour = LAYER_COLOURS[layer]
        right.text(1.4, 0.58 - 0.08 * place, f"layer {layer}", color=colour, size=9.5, va="center")
    return fig


def mass_of_a_group(right: np.ndarray, wrong: np.ndarray, block: int) -> Figure:
    """The mass of every block, softmax before the mean and after it; one block is labelled."""
    fig = new_figure(8, 2.9)
    titles = ("Softmax each head, then the mean", "Bug: the mean of the scores first")
    axes = fig.subplots(1, 2, sharey=True)
    for ax, mass, title, colour in zip(
        axes, (right, wrong), titles, (palette.CHOSEN, palette.MISSED)
    ):
        ax.bar(np.arange(len(mass)), mass, color=colour)
        ax.annotate(
            f"block {block}: {mass[block]:.1%}",
            (block, mass[block]),
            (block + 1.2, max(mass[block] + 0.02, 0.2)),
            weight="bold",
            va="center",
            arrowprops={"arrowstyle": "-", "color": palette.INK},
        )
        ax.set(xlabel="block of 32 tokens", title=title, xticks=range(0, len(mass), 3))
    axes[0].set(ylabel="mass", ylim=(0, 1.0))
    return fig


def six_heads(panels: dict[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """The mass of every block in several heads; chosen blocks dark, the heaviest named."""
    fig = new_figure(8, 4.0)
    axes = fig.subplots(2, 3, sharex=True, sharey=True)
    for ax, (title, (mass, chosen)) in zip(axes.flat, panels.items()):
        lit = np.isin(np.arange(len(mass)), chosen)
        ax.bar(np.arange(len(mass)), mass, color=np.where(lit, palette.CHOSEN, palette.VISIBLE))
        top = int(mass.argmax())
        ax.text(top, mass[top] + 0.02, f"block {top}", ha="center", size=8.5)
        ax.set(title=title, ylim=(0, 1.05), yticks=[0, 0.5, 1], xticks=range(0, len(mass), 5))
    fig.supxlabel("block of 32 tokens", size=10)
    fig.supylabel("share of mass", size=10)
    return fig


def page_of_text(
    words: list[str], weights: np.ndarray, chosen: np.ndarray, block_size: int, shaded: float
) -> Figure:
    """The whole text: chosen blocks light, the others dark, words of some weight shaded, the query
    in a box; what comes after it is grey."""
    fig, size, left = new_figure(8, 5.1, layout="none"), 8.0, 8
    ax = _points_axes(fig)
    per_line = int((576 - 2 * left) / (CHARACTER * size))
    column, y, places = 0, 12, []
    for token, word in enumerate(words):
        text = _one_line(word)
        if column + len(text) > per_line:
            column, y = 0, y + 15.6
        x, wide = left + column * CHARACTER * size, len(text) * CHARACTER * size
        column += len(text)
        places.append((x + wide / 2, y))
        future = token >= len(weights)
        lit = token // block_size in chosen
        shade = 0 if future or weights[token] < shaded else _shade(weights[token])
        paper = "white" if future else BLUES(shade) if lit else REDS(shade)
        ax.add_patch(Rectangle((x, y - 7.8), wide, 15.6, color=paper, linewidth=0.2))
        ink = "#6f6f6f" if future else palette.INK if lit else OFF_INK
        ink = "white" if shade == 1 or (shade > 0.3 and not lit) else ink
        ax.text(x, y, text, family=MONO, size=size, va="center_baseline", color=ink)
        if token == len(weights) - 1:
            box = Rectangle((x, y - 7.8), wide, 15.6, fill=False, linewidth=1.8, zorder=4)
            box.set_edgecolor(palette.FORCED)
            ax.add_patch(box)
    top = int(weights.argmax())
    if weights[top] >= 0.1 and len(weights) - 1 - top > 8:
        arrow = {"arrowstyle": "-|>", "mutation_scale": 12, "connectionstyle": "arc3,rad=0.3"}
        arc = FancyArrowPatch(places[len(weights) - 1], places[top], linewidth=2, zorder=5, **arrow)
        arc.set_color(palette.FORCED)
        ax.add_patch(arc)
    return fig


def heads_and_blocks(
    names: tuple[str, ...],
    held: np.ndarray,
    head: str,
    mass: np.ndarray,
    chosen: np.ndarray,
    block_size: int,
) -> Figure:
    """All heads in columns, each a bar of the mass its best blocks hold; below, one head's
    blocks."""
    fig = new_figure(8, 4.9)
    grid = fig.add_gridspec(2, 4, height_ratios=(1.5, 1))
    groups: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        group = "made by hand" if name.endswith("(made)") else name.partition(" head")[0]
        groups.setdefault(group, []).append(place)
    for column, (group, places) in enumerate(groups.items()):
        ax = fig.add_subplot(grid[0, column])
        for row, place in enumerate(places):
            is_chosen = names[place] == head
            colour = palette.VISIBLE if held[place] >= 0.5 else "#F0A070"
            ax.barh(row, held[place], color=colour, height=0.8)
            label = names[place].removesuffix(" (made)").removeprefix(f"{group} ")
            weight = "bold" if is_chosen else "normal"
            ax.text(0.02, row, label, va="center", size=9, weight=weight)
            ax.text(1.0, row, f"{held[place]:.0%}", va="center", ha="right", size=9, weight=weight)
            if is_chosen:
                box = Rectangle((0, row - 0.46), 1.02, 0.92, fill=False, linewidth=2)
                box.set_edgecolor(palette.CHOSEN)
                ax.add_patch(box)
        ax.set(xlim=(0, 1.05), ylim=(8.6, -0.6), xticks=[], yticks=[])
        ax.set_title(group, size=10, weight="bold")
        for spine in ax.spines.values():
            spine.set_visible(False)
    ax = fig.add_subplot(grid[1, :])
    lit = np.isin(np.arange(len(mass)), chosen)
    ax.bar(np.arange(len(mass)), mass, color=np.where(lit, palette.CHOSEN, palette.VISIBLE))
    top = int(mass.argmax())
    ax.text(top, mass[top], f"{mass[top]:.0%}", ha="center", va="bottom", weight="bold", size=9)
    step = -(-len(mass) // 24)
    ax.set_xticks(range(0, len(mass), step))
    title = f"{head}: mass of every block of {block_size} (dark: read)"
    ax.set(ylim=(0, 1.2 * mass.max()), yticks=[], xlim=(-0.7, len(mass) - 0.3))
    ax.set_title(title, size=10, weight="bold")
    return fig
