"""What the cells of the news call: each prints its passage's numbers and shows their figure."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, metadata, version

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from msa_course.figures import show
from msa_course.news import course_map as parts
from msa_course.news import figures, librarian_figure, numbers
from msa_ref import M2, M3, cost


def claim() -> None:
    """Prints the announcement's three numbers."""
    print("MiniMax-M3 against its predecessor M2, both with a million tokens of text:")
    print(f"  writes the next word   {numbers.CLAIMED_DECODE} times faster")
    print(f"  reads the text         {numbers.CLAIMED_PREFILL} times faster")
    print(f"  computes per token     about 1/{1 / numbers.CLAIMED_SHARE:.0f}")


def page_of_text() -> None:
    """Prints and shows what one token of a real text reads."""
    look = numbers.look()
    word, share = look.words[look.best].strip(), look.weights[look.best]
    total, away = len(look.words), len(look.words) - 1 - look.best
    print(f"tokens on the page: {total}")
    print(f'share of the look that goes to "{word}", {away} tokens back: {share:.0%}')
    print(f"tokens that get less than 1 % each: {(look.weights < 0.01).sum()}")
    show(
        figures.page_of_text(look),
        f"A page of text. At its last word, suite, {share:.0%} of the attention goes to the word "
        f"“{word}” after an earlier copy of the same sentence; a few others get a little.",
    )


def library() -> None:
    """Prints and shows how much of the library is read for one new token."""
    now = numbers.library()
    print(f"shelves read: {now.shelves_read} of {now.shelves:,}, one in {now.shelves // 16}")
    print(f"cards read: all {now.shelves * 128:,}")
    show(
        figures.library(now),
        f"A dark wall of {now.shelves:,} shelves, {now.shelves_read} of them lit. Below it a strip "
        "of a million cards, all lit, an eighth as large as the wall.",
    )


def why_eight() -> None:
    """Prints the bytes of pages, shelves and cards, and the ratio that is left."""
    now = numbers.library()
    print(f"all pages:       {now.all_pages / 1e6:7.1f} MB")
    print(f"16 shelves:      {now.pages_read / 1e6:7.1f} MB")
    print(f"all cards:       {now.cards / 1e6:7.1f} MB")
    less = now.all_pages / (now.pages_read + now.cards)
    print(f"dense / MSA:     {less:.2f} times less to read")


def librarian() -> None:
    """Shows the explorer of the small library."""
    librarian_figure.explorer()


def yardstick() -> None:
    """Prints and shows how the headline is made of a sparse attention and a yardstick."""
    reads = numbers.yardstick()
    old, dense, sparse = reads.values()
    print(f"sparse against dense, same shape: {dense / sparse:.2f}")
    print(f"M2 against that shape:            {old / dense:.2f}")
    print(f"both together:                    {old / sparse:.2f}  (announced: 15.6)")
    print(f"the paper's measurement, times 2: {numbers.PAPER_DECODE * 2:.2f}")
    whole = [cost.decode_bytes(spec, numbers.MILLION).model for spec in (M2, M3)]
    print(f"all layers of both models:        {whole[0] / whole[1]:.2f}")
    show(
        figures.yardstick(reads),
        "Bars of what a layer reads for one token: M2 4.29 GB, M3's shape without sparse attention "
        "2.15 GB, M3 0.27 GB.",
    )


def waiting() -> None:
    """Prints and shows minutes before the answer, and tokens per second of it."""
    now = numbers.waiting()
    prompt, speed = now.prompt, now.tokens_per_second
    print(f"to read the text: dense {prompt[0] / 60:.0f} minutes, MSA {prompt[1]:.0f} s")
    print(f"  of those {prompt[1]:.0f} s in the 3 dense layers: {now.dense_layers:.0f} s")
    print(f"the answer: dense {speed[0]:.0f} tokens per second, MSA {speed[1]:.0f}")
    memory = cost.cache_bytes_per_token(M3).model * numbers.MILLION
    print(
        f"memory for the library: {memory / 1e9:.0f} GB; the GPU has {numbers.GPU_MEMORY / 1e9:.0f}"
    )
    show(
        figures.waiting(now),
        "Left, minutes to read a million tokens: dense 18, MSA one and a half, more than half of "
        "that in three dense layers. Right, tokens per second: dense 26, MSA 152.",
    )


def course_map() -> None:
    """Prints and shows the parts of the course."""
    print("parts:", len(parts.PARTS), "lessons:", len(parts.lessons()))
    show(
        figures.course_map(),
        "The course from top to bottom: the news, attention, MSA, learning, kernels, the world, "
        "each with its question and its lessons.",
    )


def my_machine() -> None:
    """Prints whether Python and each package the lessons need is here, in a declared version."""
    course = metadata("msa-ref")
    declared = {
        one.name: one.specifier for one in map(Requirement, course.get_all("Requires-Dist"))
    }
    python = SpecifierSet(course["Requires-Python"])
    print("Python:", python.contains(platform.python_version(), prereleases=True))
    for package in ("numpy", "matplotlib", "ipywidgets"):
        try:
            found = declared[package].contains(version(package), prereleases=True)
        except PackageNotFoundError:
            found = False
        print(f"{package}:", found)
