"""The mass explorer: how much of a query's attention the best k keys or blocks hold, and where."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from msa_course import palette
from msa_course.explorer import Explorer, choice, new_figure, slider
from msa_ref import data, dense, selection

NUM_TOKENS = 1024
BLOCK_SIZES = (8, 16, 32, 64, 128)
MADE = ("flat", "peaked", "sink", "needle")
WARM_PASSAGE = slice(416, 448)
NEEDLE_BLOCK, NEEDLE = slice(704, 736), 717
NAMED_TOKENS = 6
LONGEST_NAME = 12
Y_TICKS = [0, 0.5, 1]
TITLE_Y = 1.03  # a fixed place: looking for one costs a tenth of every redraw


class Mass(NamedTuple):
    """Where one query's attention lies; the best k blocks by mass are `chosen`, ascending."""

    weights: np.ndarray  # [S] of every visible key, summing to 1
    block_mass: np.ndarray  # [nb]
    chosen: np.ndarray  # block ids
    key_curve: np.ndarray  # [S + 1] mass of the best 0, 1, 2, ... keys
    block_curve: np.ndarray  # [nb + 1] mass of the best 0, 1, 2, ... blocks
    tokens_read: np.ndarray  # [nb + 1] tokens in the best 0, 1, 2, ... blocks


def head_names() -> tuple[str, ...]:
    """Every head to choose from: four made by hand, then those captured from the model."""
    real = [f"layer {layer} head {h}" for layer in data.captured_layers() for h in range(9)]
    return (*(f"{kind} (made)" for kind in MADE), *real)


def made_scores(kind: str, position: int) -> np.ndarray:
    """Scores of a head made by hand for the query at `position`: noise, and what its name says.

    The needle head has one loud token in a block that is otherwise the quietest, and elsewhere a
    passage of 32 tokens that are all a little warm.
    """
    rng = np.random.default_rng([MADE.index(kind), position])
    scores = 0.5 * rng.normal(size=position + 1)
    if kind == "peaked":
        scores[rng.integers(position + 1, size=5)] += 8
    elif kind == "sink":
        scores[0] += 8
    elif kind == "needle":
        scores[WARM_PASSAGE] += 4
        scores[NEEDLE_BLOCK] -= 3
        scores[NEEDLE : NEEDLE + 1] = 7
    return scores


def attention_row(head: str, position: int) -> np.ndarray:
    """Weights [position + 1] of one query of one head."""
    if head.endswith("(made)"):
        weights, _ = dense.softmax_lse(made_scores(head.split()[0], position))
        return weights
    _, layer, _, h = head.split()
    q, k, _ = _load_layer(int(layer))
    group = int(h) * k.shape[1] // q.shape[1]
    one, seen = slice(position, position + 1), slice(0, position + 1)
    query = q[:, int(h) : int(h) + 1, one]
    weights, _ = dense.attention_weights(query, k[:, group : group + 1, seen])
    return weights[0, 0, 0].astype(np.float64)


@lru_cache
def _load_layer(layer):
    return data.load_capture(layer)


@lru_cache
def _words():
    return data.load_text()["words"]


@lru_cache(maxsize=64)
def values(head: str, position: int, block_size: int, top_k: int) -> Mass:
    """The row's weights, its mass by block, and how both pile up when the best come first."""
    weights = attention_row(head, position)
    row = weights[None, None, None]
    mass = selection.block_mass(row, num_kv_heads=1, block_size=block_size)
    chosen = selection.select_blocks(
        mass, top_k=top_k, block_size=block_size, num_keys=position + 1, local_blocks=0
    )[0, 0, 0]
    mass = mass[0, 0, 0]
    order = np.argsort(-mass, kind="stable")
    sizes = np.minimum(block_size, position + 1 - np.arange(len(mass)) * block_size)
    return Mass(
        weights,
        mass,
        chosen[chosen >= 0],
        np.append(0, np.cumsum(np.sort(weights)[::-1])),
        np.append(0, np.cumsum(mass[order])),
        np.append(0, np.cumsum(sizes[order])),
    )


def spell(token: int, head: str) -> str:
    """Name of a token: its number and, in a captured head, its word, white space made visible."""
    if head.endswith("(made)"):
        return f"{token}"
    word = _words()[token]
    word = word.strip() or word.replace(" ", "\u2423").replace("\n", "\u21b5")
    short = word if len(word) <= LONGEST_NAME else word[: LONGEST_NAME - 1] + "\u2026"
    return f"{token} \u201c{short}\u201d"


def _count(number, thing):
    return f"{number} {thing}" + ("" if number == 1 else "s")


def words(head: str, position: int, block_size: int, top_k: int) -> str:
    """How much the best blocks hold, what the same number of keys would, and the heaviest token."""
    mass = values(head, position, block_size, top_k)
    kept = len(mass.chosen)
    read, held = mass.tokens_read[kept], mass.block_curve[kept]
    heaviest = int(mass.weights.argmax())
    name = head[0].upper() + head[1:]
    ids = ", ".join(map(str, mass.chosen))
    blocks = f"best {kept} blocks are {ids}" if kept > 1 else f"best block is {ids}"
    return (
        f"{name}, query at token {spell(position, head)}. Of "
        f"{_count(len(mass.block_mass), 'visible block')} of {block_size} tokens the {blocks}: "
        f"{read} of {_count(position + 1, 'token')} with {held:.0%} of the attention mass. As many "
        f"keys picked one by one would hold {mass.key_curve[read]:.0%}. The heaviest token is "
        f"{spell(heaviest, head)} with {mass.weights[heaviest]:.0%}."
    )


def render(head: str, position: int, block_size: int, top_k: int) -> Figure:
    """The mass in token order with the chosen blocks lit; how it piles up; the heaviest tokens."""
    mass = values(head, position, block_size, top_k)
    figure = new_figure(8.4, 5.4, layout="none")
    draw_order(figure.add_axes((0.085, 0.59, 0.895, 0.33)), mass, block_size)
    draw_curves(figure.add_axes((0.085, 0.1, 0.44, 0.32)), mass)
    _draw_heaviest(figure.add_axes((0.745, 0.1, 0.2, 0.32)), mass, head, block_size)
    chips = [Patch(color=palette.CHOSEN, label="chosen block")]
    chips.append(Patch(color=palette.VISIBLE, label="visible block"))
    chips.append(Patch(color=palette.HIDDEN, label="hidden: the future"))
    figure.legend(handles=chips, ncols=3, loc="upper right", bbox_to_anchor=(0.985, 1.0))
    return figure


def draw_order(axes, mass: Mass, block_size: int) -> None:
    """Draw every block's mass as a bar and every token's as a thin line, in token order."""
    edges = np.append(np.arange(0, len(mass.weights), block_size), len(mass.weights))
    lit = np.isin(np.arange(len(mass.block_mass)), mass.chosen)
    for is_lit, colour in ((False, palette.VISIBLE), (True, palette.CHOSEN)):
        heights = np.where(lit == is_lit, mass.block_mass, 0)
        axes.stairs(heights, edges, fill=True, color=colour)
    for block in mass.chosen:  # a mark under the axis, for chosen blocks whose bar is low
        axes.plot(edges[block : block + 2], [0, 0], color=palette.CHOSEN, linewidth=5, zorder=3)
    stems = [[(j + 0.5, 0), (j + 0.5, w)] for j, w in enumerate(mass.weights) if w > 1e-3]
    axes.add_collection(LineCollection(stems, color=palette.INK, linewidth=0.8, zorder=2))
    axes.axvspan(len(mass.weights), NUM_TOKENS, color=palette.HIDDEN)
    axes.axvline(len(mass.weights), color=palette.INK, linewidth=0.8, linestyle=":")
    axes.set(
        xlim=(0, NUM_TOKENS),
        ylim=(0, 1.08 * mass.block_mass.max()),
        xlabel="token (black: single tokens; dotted: the query)",
        ylabel="share of mass",
    )
    axes.set_title("Where the attention lies", y=TITLE_Y)


def draw_curves(axes, mass: Mass) -> None:
    """Draw the mass held against the tokens read, best first: single keys, and whole blocks."""
    kept = len(mass.chosen)
    read, held = mass.tokens_read[kept], mass.block_curve[kept]
    singles, whole = {"label": "best keys, one by one"}, {"label": "best blocks"}
    # Logarithms on a plain axis, because a log axis is slow to draw.
    keys = np.log2(np.arange(1, len(mass.key_curve)))
    axes.plot(keys, mass.key_curve[1:], "--", color=palette.INK, **singles)
    tokens = np.log2(mass.tokens_read[1:])
    axes.plot(tokens, mass.block_curve[1:], ".-", markersize=4, color=palette.CHOSEN, **whole)
    axes.axvline(np.log2(read), color=palette.GREY, linewidth=0.8, linestyle=":")
    axes.plot(np.log2(read), held, "o", color=palette.CHOSEN, markersize=9)
    axes.set(
        xlim=(-0.2, np.log2(NUM_TOKENS) + 0.2),
        ylim=(0, 1.04),
        xlabel="tokens read, best first",
        ylabel="share of mass held",
        yticks=Y_TICKS,
    )
    title = f"{_count(read, 'token')} in {_count(kept, 'block')}: {held:.0%} of the mass"
    axes.set_title(title, y=TITLE_Y)
    ticks = [1, 4, 16, 64, 256, 1024]
    axes.set_xticks(np.log2(ticks), [str(tick) for tick in ticks])
    axes.legend(loc="lower right", fontsize=8)


def _draw_heaviest(axes, mass, head, block_size):
    """The heaviest tokens as bars, lit if their block was chosen."""
    heaviest = np.argsort(-mass.weights, kind="stable")[:NAMED_TOKENS]
    lit = np.isin(heaviest // block_size, mass.chosen)
    rows, shares = np.arange(len(heaviest)), mass.weights[heaviest]
    colours = np.where(lit, palette.CHOSEN, palette.VISIBLE)
    axes.barh(rows, shares, color=colours, height=0.7)
    for row, share in zip(rows, shares):
        axes.text(share, row, f" {share:.1%}", va="center", size=9)
    names = [spell(int(token), head).replace("$", "\\$") for token in heaviest]
    axes.set_yticks(rows, names)
    axes.set(
        xlim=(0, 1.5 * shares.max()),
        ylim=(NAMED_TOKENS - 0.5, -0.5),
        xlabel="share of mass",
        xticks=[0, round(float(shares.max()), 3)],
    )
    axes.set_title("Heaviest tokens", y=TITLE_Y)


def explorer() -> Explorer:
    """The explorer: a made or a captured head, one query, blocks of any size, k of them."""
    return Explorer(
        "Mass explorer",
        render,
        words,
        head=choice("head", head_names(), "layer 18 head 6"),
        position=slider("query (token)", 612, 0, NUM_TOKENS - 1),
        block_size=choice("block size", BLOCK_SIZES, 16),
        top_k=slider("k, blocks read", 4, 1, 16),
    )
