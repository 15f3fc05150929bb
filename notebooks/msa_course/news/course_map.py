"""The course as one picture: what flows, which piece does it, which lesson builds that piece."""

from __future__ import annotations

from typing import NamedTuple


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


class Lesson(NamedTuple):
    """One lesson on the map: its number, what it is about, and every part by name, lit or not."""

    number: int
    title: str
    subject: str
    lit: dict[str, bool]


def compute(lesson: int) -> Lesson:
    """One lesson of the map; a part is lit where the lesson builds or uses it."""
    title, subject, parts = LESSONS[lesson]
    lit = {name: name in parts for name in (*DATA, *STEPS, *GROUND)}
    return Lesson(lesson, title, subject, lit)


def describe(lesson: Lesson) -> str:
    """One sentence: what the lesson is about, and the steps it lights."""
    names = [name for name in STEPS if lesson.lit[name]]
    steps = f" Steps lit: {', '.join(names)}." if names else ""
    return f"Lesson {lesson.number:02d}, {lesson.title}, shows {lesson.subject}.{steps}"
