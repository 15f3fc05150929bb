"""Pictures of dense attention on one sentence: weights, arrows, and one row taken apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.patches import Rectangle

from msa_course import palette
from msa_course.dense_attention.attention_rows import (
    KEYS,
    MASKS,
    QUERIES,
    TEMPERATURES,
    WORDS,
    Rows,
    compute,
    describe,
)
from msa_course.explorer import Explorer, choice, new_figure, slider

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HIDDEN_HATCH = "xxx"


def draw_weights(
    ax: Axes,
    weights: Float[np.ndarray, "T S"],
    visible: Bool[np.ndarray, "T S"],
    *,
    row: int | None = None,
    numbers: bool = False,
):
    """The weights as an image on `ax`, hidden cells grey; one row framed if named. The image."""
    shown = np.ma.masked_where(~visible, weights)
    colours = palette.mpl.colormaps[palette.CONTINUOUS].with_extremes(bad=palette.HIDDEN)
    image = ax.imshow(shown, cmap=colours, vmin=0, vmax=1)
    ax.set_xticks(range(len(WORDS)), WORDS, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(WORDS)), WORDS)
    ax.set(xlabel="key", ylabel="query")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    if numbers:
        for t, j in np.argwhere(visible):
            ink = "white" if weights[t, j] < 0.5 else "black"
            ax.text(j, t, f"{weights[t, j]:.2f}", ha="center", va="center", color=ink, size=8)
    if row is not None:
        frame = Rectangle(
            (-0.5, row - 0.5), len(WORDS), 1, fill=False, edgecolor=palette.FORCED, linewidth=3
        )
        ax.add_patch(frame).set_clip_on(False)
        ax.get_yticklabels()[row].set_fontweight("bold")
    return image


def draw_arrows(ax: Axes, query: int) -> None:
    """The sentence's keys as arrows on the plane of both channels, and one query among them."""
    arrow = {"angles": "xy", "scale_units": "xy", "scale": 1}
    ax.quiver(*np.zeros((2, len(KEYS))), *KEYS.T, color=palette.CHOSEN, width=0.008, **arrow)
    ax.quiver(0, 0, *QUERIES[query], color=palette.FORCED, width=0.018, **arrow)
    for key in np.unique(KEYS, axis=0):
        same = np.flatnonzero((key == KEYS).all(axis=1))
        label = f"{WORDS[same[0]]} ({', '.join(map(str, same))})"
        side = "center" if abs(key[0]) < 1 else "left" if key[0] > 0 else "right"
        ax.text(*(key * (1 + 0.2 / np.linalg.norm(key))), label, ha=side, va="center")
    ax.text(*(QUERIES[query] + (0.1, 0.02)), "query", fontweight="bold", va="center")
    ax.axhline(0, color=palette.GREY, linewidth=0.5, zorder=0)
    ax.axvline(0, color=palette.GREY, linewidth=0.5, zorder=0)
    ax.set(xlim=(-2.6, 3.8), ylim=(-1.8, 2.6), aspect="equal")
    ax.set(xlabel="channel 0: a thing", ylabel="channel 1: a person")


def draw(rows: Rows) -> Figure:
    """The triangle of weights with one row framed, and that row's scores and weights as bars."""
    query = rows.query
    fig = new_figure(9, 4.4, layout="none")
    grid = fig.add_gridspec(
        2,
        2,
        width_ratios=[1.1, 1],
        left=0.1,
        right=0.99,
        bottom=0.19,
        top=0.93,
        wspace=0.18,
        hspace=0.25,
    )
    triangle = fig.add_subplot(grid[:, 0])
    image = draw_weights(triangle, rows.weights, rows.visible, row=query)
    triangle.set_title("Every query's weights")
    fig.colorbar(image, ax=triangle, label="weight", shrink=0.8)

    visible = rows.visible[query]
    scores = fig.add_subplot(grid[0, 1])
    bars = scores.bar(range(len(WORDS)), rows.scores[query], color=palette.CHOSEN)
    for bar, seen in zip(bars, visible):
        if not seen:
            bar.set(facecolor=palette.HIDDEN, edgecolor=palette.GREY, hatch=HIDDEN_HATCH)
    scores.margins(y=0.1)
    scores.axhline(0, color=palette.INK, linewidth=0.8)
    scores.set(title=f"Scores of '{WORDS[query]}' (crossed: hidden)", ylabel="score")
    scores.set_xticks(range(len(WORDS)), [])

    weights = fig.add_subplot(grid[1, 1])
    bars = weights.bar(range(len(WORDS)), rows.weights[query], color=palette.CHOSEN)
    weights.bar_label(bars, [f"{weight:.2f}" for weight in rows.weights[query]], size=8)
    weights.set(ylim=(0, 1.15), ylabel="weight")
    total = rows.weights[query].sum()
    weights.set_title(f"Weights: sum {total:.2f}, LSE {rows.lse[query]:.2f}")
    weights.set_xticks(range(len(WORDS)), WORDS, rotation=45, ha="right", rotation_mode="anchor")
    return fig


def explorer() -> Explorer:
    """The explorer of one row: sliders for the query, the temperature and the mask."""
    return Explorer(
        "One row of attention",
        compute,
        draw,
        describe,
        query=slider("query", 6, 0, len(WORDS) - 1),
        temperature=choice("temperature", TEMPERATURES, 1),
        mask=choice("causal mask", MASKS, MASKS[0]),
    )
