"""The course as one picture, drawn: boxes, arrows, and the parts of one lesson lit."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from msa_course import palette
from msa_course.explorer import Explorer, new_figure, slider
from msa_course.news.course_map import (
    DATA,
    FLOWS,
    GROUND,
    LESSONS,
    STEPS,
    Lesson,
    Part,
    compute,
    describe,
)

WIDTH, HEIGHT = 9.0, 4.3
DIM, DIM_INK = "#B8B8B8", "#5A5A5A"


def draw(lesson: Lesson) -> Figure:
    """The map with the parts of one lesson lit."""
    fig = new_figure(WIDTH, HEIGHT, layout="none")
    draw_map(fig.add_axes((0, 0, 1, 4 / HEIGHT)), lesson)
    title = f"Lesson {lesson.number:02d} lights {lesson.subject}"
    fig.text(0.012, 0.95, title, fontsize=11, va="center")
    return fig


def draw_map(ax: Axes, lesson: Lesson, *, labels: bool = True) -> None:
    """The map on `ax`; without `labels` only its shape, for thumbnails."""
    lit = lesson.lit
    for source, target, (tail, head) in FLOWS:
        bright = lit[source] and lit[target]
        arrow = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0}
        arrow["color"] = palette.INK if bright else DIM
        arrow["linewidth"] = 1.8 if bright else 1.0
        ax.annotate("", head, tail, arrowprops=arrow)
    for parts, height, fill in (
        (DATA, 0.8, palette.VISIBLE),
        (STEPS, 0.56, palette.CHOSEN),
        (GROUND, 0.56, palette.LINES[2]),
    ):
        for name, part in parts.items():
            _draw_part(ax, part, height, fill, lit[name], labels)
    ax.set(xlim=(0, WIDTH), ylim=(0, 4), aspect="equal")
    ax.set_axis_off()


def explorer() -> Explorer:
    """The map with a slider over the lessons."""
    return Explorer(
        "The course as one picture",
        compute,
        draw,
        describe,
        lesson=slider("lesson", 0, 0, len(LESSONS) - 1),
    )


def _draw_part(ax: Axes, part: Part, height: float, fill: str, lit: bool, labels: bool) -> None:
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
    ax.add_patch(box)
    if not labels:
        return
    colour = DIM_INK
    if lit:
        colour = "white" if fill == palette.CHOSEN else palette.INK
    style = {"ha": "center", "color": colour}
    split = part.y + height / 2 - (0.31 if height > 0.6 else 0.27)
    ax.text(part.x, split + 0.02, part.name, va="bottom", fontsize=9.5, weight="bold", **style)
    ax.text(part.x, split - 0.02, part.meaning, va="top", fontsize=8.5, **style)
