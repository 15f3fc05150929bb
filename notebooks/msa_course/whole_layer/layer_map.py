"""The whole layer as one drawing: where one token's row of numbers goes, and what is read."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, Rectangle

from msa_course import palette
from msa_ref.config import M3

WIDTH, HEIGHT = 9.0, 4.1
ROWS = {"index query": 3.75, "index key": 3.05, "key": 2.1, "value": 1.4, "query": 0.55}
TOKEN, PROJECTED, ROTATED, LANES, CHOICE, OUT = 0.65, 2.1, 3.4, 4.9, 6.85, 8.37
PAGES, LIT, OWN = 9, (1, 5), 8


def draw(ax: Axes) -> None:
    """One token of MiniMax-M3 on its way through the layer, with the sizes of everything.

    Drawn in inches: an axes of 9 x 4.1 shows it at its best.
    """
    sizes = M3.attention
    ax.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
    ax.set_axis_off()
    middle = sum(ROWS.values()) / len(ROWS)
    heads = {"index query": sizes.num_kv_heads, "index key": 1, "query": sizes.num_heads}

    ax.text(
        LANES - 0.75,
        0.3,
        "lit pages are read: every index key; keys and values\n"
        "of the chosen pages (blue) and the local block (hatched)",
        va="center",
        fontsize=9,
    )
    _box(ax, TOKEN, middle, 1.1, f"one token\n{M3.d_model:,} numbers")
    for name, y in ROWS.items():
        count = heads.get(name, sizes.num_kv_heads)
        _box(ax, PROJECTED, y, 1.25, f"{name}\n{count} x {sizes.head_dim}")
        _arrow(ax, (TOKEN + 0.55, middle), (PROJECTED - 0.63, y))
        if name != "value":
            _box(ax, ROTATED, y, 0.78, "RMSNorm,\nRoPE", fill=palette.HIDDEN)
            _arrow(ax, (PROJECTED + 0.63, y), (ROTATED - 0.39, y))
    for name in ("index key", "key", "value"):
        _lane(ax, ROWS[name], all_lit=name == "index key")
        start = PROJECTED + 0.63 if name == "value" else ROTATED + 0.39
        _arrow(ax, (start, ROWS[name]), (LANES - 0.77, ROWS[name]))
    ax.text(LANES, 2.58, "cache: three lanes of pages", ha="center", va="center", style="italic")

    top, low = (ROWS["index query"] + ROWS["index key"]) / 2, ROWS["value"]
    _box(ax, CHOICE, top, 1.36, f"score every page,\nchoose {sizes.top_k}", height=0.8)
    _arrow(ax, (ROTATED + 0.39, ROWS["index query"]), (CHOICE - 0.68, top + 0.25))
    _arrow(ax, (LANES + 0.77, ROWS["index key"]), (CHOICE - 0.68, top - 0.2))
    _box(ax, CHOICE, low, 1.36, "attend to\nthe chosen", height=0.8)
    _arrow(ax, (CHOICE, top - 0.4), (CHOICE, low + 0.4))
    ax.text(CHOICE + 0.1, (top + low) / 2, "which pages", va="center")
    _arrow(ax, (LANES + 0.77, ROWS["key"]), (CHOICE - 0.68, low + 0.25))
    _arrow(ax, (LANES + 0.77, ROWS["value"]), (CHOICE - 0.68, low))
    _arrow(ax, (ROTATED + 0.39, ROWS["query"]), (CHOICE - 0.68, low - 0.25))
    _box(ax, OUT, low, 1.1, f"project\n{M3.d_model:,} numbers")
    _arrow(ax, (CHOICE + 0.68, low), (OUT - 0.55, low))


def _box(
    ax: Axes, x: float, y: float, width: float, text: str, *, height=0.56, fill="white"
) -> None:
    corner = (x - width / 2, y - height / 2)
    style = "round,pad=0,rounding_size=0.06"
    ax.add_patch(
        FancyBboxPatch(corner, width, height, boxstyle=style, facecolor=fill, edgecolor=palette.INK)
    )
    ax.text(x, y, text, ha="center", va="center", fontsize=9)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.annotate(
        "", end, start, arrowprops={"arrowstyle": "-|>", "color": palette.GREY, "shrinkB": 1}
    )


def _lane(ax: Axes, y: float, *, all_lit: bool) -> None:
    width = 1.5 / PAGES
    for page in range(PAGES):
        fill = palette.CHOSEN if page in LIT else palette.HIDDEN
        fill = palette.FORCED if page == OWN else fill
        fill = palette.VISIBLE if all_lit else fill
        hatch = palette.FORCED_HATCH if page == OWN and not all_lit else None
        corner = (LANES - 0.75 + page * width, y - 0.22)
        ax.add_patch(Rectangle(corner, width, 0.44, facecolor=fill, hatch=hatch, edgecolor="white"))
