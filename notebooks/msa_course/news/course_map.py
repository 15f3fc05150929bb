"""The course as one picture: what flows, which piece does it, which lesson builds that piece."""

from __future__ import annotations

from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from msa_course import palette
from msa_course.explorer import Explorer, new_figure, slider

WIDTH, HEIGHT = 9.0, 4.3
DIM, DIM_INK = "#B8B8B8", "#5A5A5A"


class Part(NamedTuple):
    """A box of the map: where its middle is, how wide it is (inches), and its two lines."""

    x: float
    y: float
    width: float
    name: str
    meaning: str


DATA = {
    "hidden": Part(0.7, 2.5, 1.2, "hidden", "the text so far,\nas numbers"),
    "index": Part(3.2, 3.4, 1.36, "index q, index k", "a short question,\ncatalogue cards"),
    "main": Part(3.2, 1.6, 1.36, "q, k, v", "question, spine\nlabels, pages"),
    "scores": Part(5.73, 3.4, 1.2, "block scores", "how promising\nis each shelf?"),
    "ids": Part(8.24, 3.4, 1.2, "block ids", "the shelves\nworth the walk"),
    "out": Part(8.24, 1.6, 1.2, "out", "the answer of\nthose pages"),
}
STEPS = {
    "project": Part(1.92, 2.5, 0.86, "project", "layer · 08"),
    "score": Part(4.5, 3.4, 0.86, "score", "scoring · 05"),
    "select": Part(6.98, 3.4, 0.94, "select", "selection · 06"),
    "attend": Part(5.73, 1.6, 0.86, "attend", "sparse · 07"),
}
GROUND = {
    "cost": Part(1.24, 0.4, 2.0, "cost · 01", "computes, reads, stores"),
    "dense": Part(3.41, 0.4, 2.0, "dense · 02", "attention that reads it all"),
    "mass": Part(5.58, 0.4, 2.0, "selection · 03", "how little would be enough"),
    "blocks": Part(7.75, 0.4, 2.0, "blocks · 04", "tokens on shelves"),
}
FLOWS = (
    ("hidden", "project", ((1.3, 2.5), (1.49, 2.5))),
    ("project", "index", ((2.1, 2.78), (2.52, 3.35))),
    ("project", "main", ((2.1, 2.22), (2.52, 1.65))),
    ("index", "score", ((3.88, 3.4), (4.07, 3.4))),
    ("score", "scores", ((4.93, 3.4), (5.13, 3.4))),
    ("scores", "select", ((6.33, 3.4), (6.51, 3.4))),
    ("select", "ids", ((7.45, 3.4), (7.64, 3.4))),
    ("ids", "attend", ((7.75, 3.0), (5.95, 1.88))),
    ("main", "attend", ((3.88, 1.6), (5.3, 1.6))),
    ("attend", "out", ((6.16, 1.6), (7.64, 1.6))),
)

LESSONS = (
    ("Start here", "the whole way from a text to an answer", (*DATA, *STEPS, *GROUND)),
    ("What does a million tokens cost", "what score and attend cost", ("cost", "score", "attend")),
    (
        "Dense attention in NumPy",
        "attend with nothing left out: every page is read",
        ("dense", "main", "attend", "out"),
    ),
    (
        "Attention is mostly empty",
        "how few pages would give nearly the same answer",
        ("mass", "main", "attend"),
    ),
    ("Blocks", "how tokens are put on shelves", ("blocks", "scores", "ids")),
    ("The index branch", "how every shelf gets its score", ("index", "score", "scores")),
    ("Choosing k", "how the best shelves are chosen", ("scores", "select", "ids")),
    (
        "Exact on what was chosen",
        "how exactly the chosen shelves are read",
        ("main", "ids", "attend", "out"),
    ),
    (
        "The whole layer",
        "how a text becomes questions, labels and pages, and all pieces at work",
        (*DATA, *STEPS),
    ),
)


def values(lesson: int) -> dict[str, bool]:
    """Every part of the map by name: True where the lesson builds or uses it."""
    lit = LESSONS[lesson][2]
    return {name: name in lit for name in (*DATA, *STEPS, *GROUND)}


def words(lesson: int) -> str:
    """One sentence: what the lesson is about, and the parts it lights."""
    title, subject, _ = LESSONS[lesson]
    names = [name for name, lit in values(lesson).items() if lit and name in STEPS]
    steps = f" Steps lit: {', '.join(names)}." if names else ""
    return f"Lesson {lesson:02d}, {title}, shows {subject}.{steps}"


def render(lesson: int) -> Figure:
    """The map with the parts of one lesson lit."""
    figure = new_figure(WIDTH, HEIGHT, layout="none")
    axes = figure.add_axes((0, 0, 1, 4 / HEIGHT))
    draw(axes, lesson)
    title = f"Lesson {lesson:02d} lights {LESSONS[lesson][1]}"
    figure.text(0.012, 0.95, title, fontsize=11, va="center")
    return figure


def draw(axes: Axes, lesson: int, *, labels: bool = True) -> None:
    """The map on these axes; without `labels` only its shape, for thumbnails."""
    lit = values(lesson)
    for source, target, (tail, head) in FLOWS:
        bright = lit[source] and lit[target]
        arrow = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0}
        arrow["color"] = palette.INK if bright else DIM
        arrow["linewidth"] = 1.8 if bright else 1.0
        axes.annotate("", head, tail, arrowprops=arrow)
    for parts, height, fill in (
        (DATA, 0.8, palette.VISIBLE),
        (STEPS, 0.56, palette.CHOSEN),
        (GROUND, 0.56, palette.LINES[2]),
    ):
        for name, part in parts.items():
            _draw_part(axes, part, height, fill, lit[name], labels)
    axes.set(xlim=(0, WIDTH), ylim=(0, 4), aspect="equal")
    axes.set_axis_off()


def explorer() -> Explorer:
    """The map with a slider over the lessons."""
    return Explorer(
        "The course as one picture", render, words, lesson=slider("lesson", 0, 0, len(LESSONS) - 1)
    )


def _draw_part(axes: Axes, part: Part, height: float, fill: str, lit: bool, labels: bool) -> None:
    corner = (part.x - part.width / 2, part.y - height / 2)
    box = FancyBboxPatch(
        corner,
        part.width,
        height,
        boxstyle="round,pad=0,rounding_size=0.1",
        facecolor=fill if lit else palette.HIDDEN,
        edgecolor=palette.INK if lit else DIM,
        linewidth=1.6 if lit else 0.8,
    )
    axes.add_patch(box)
    if not labels:
        return
    colour = DIM_INK
    if lit:
        colour = "white" if fill == palette.CHOSEN else palette.INK
    style = {"ha": "center", "color": colour}
    split = part.y + height / 2 - (0.31 if height > 0.6 else 0.27)
    axes.text(part.x, split + 0.02, part.name, va="bottom", fontsize=9.5, weight="bold", **style)
    axes.text(part.x, split - 0.02, part.meaning, va="top", fontsize=8.5, **style)
