"""The text explorer: what was chosen, the lit text, the words, the picture, its liveliness."""

import html
import itertools
import re

import colour_vision
import numpy as np
import pytest
from learned_cases import BLOCK_SIZE, LAYERS, READING, TOKENS, made_mass

from msa_course import palette
from msa_course.teaching_the_index import (
    outcomes,
    outcomes_figure,
    text_explorer,
    text_explorer_figure,
)
from msa_course.teaching_the_index.outcomes import Outcome
from msa_ref import selection

LATE = {"position": 44, "layer": 7, "group": 1, "top_k": 3, "reading": READING}


def page_of(**setting):
    """The lit text at this setting."""
    return text_explorer_figure.draw_text(text_explorer.compute(**setting))


def say(**setting):
    """The explorer's sentence at this setting."""
    return text_explorer.describe(text_explorer.compute(**setting))


@pytest.fixture(autouse=True)
def style():
    palette.use_style()


def chosen_by(mass, place, group, position, top_k):
    """Ids by the package's own selection."""
    sizes = {"block_size": BLOCK_SIZE, "num_keys": TOKENS, "top_k": top_k}
    row = selection.select_blocks(mass[place][None], **sizes)[0, group, position]
    return row[row >= 0].tolist()


@pytest.mark.parametrize("position", [0, 7, 8, 23, 44])
@pytest.mark.parametrize(("place", "layer"), list(enumerate(LAYERS)))
def test_choices_are_those_of_the_packages_selection(place, layer, position):
    for group, top_k in itertools.product(range(3), (1, 2, 6)):
        now = text_explorer.compute(
            position=position, layer=layer, group=group, top_k=top_k, reading=READING
        )
        here = (place, group, position, top_k)
        chosen, best = chosen_by(made_mass(seed=1), *here), chosen_by(made_mass(), *here)
        assert now.chosen.tolist() == chosen
        assert now.best.tolist() == best
        assert sorted(now.missed) == sorted(set(best) - set(chosen))
        assert (np.diff(now.mass[now.missed]) <= 0).all()
        assert now.captured <= now.captured_by_best + 1e-3
        assert (now.outcome[position // BLOCK_SIZE + 1 :] == Outcome.FUTURE).all()


def test_the_five_outcomes():
    chosen, best = np.array([1, 1, 0, 0, 0], bool), np.array([1, 0, 1, 0, 0], bool)
    judged = outcomes.judge(chosen, best, np.array([1, 1, 1, 1, 0], bool))
    assert judged.tolist() == [
        Outcome.HIT,
        Outcome.EXTRA,
        Outcome.MISSED,
        Outcome.LEFT,
        Outcome.FUTURE,
    ]


@pytest.mark.parametrize("sight", colour_vision.SIGHTS)
def test_the_colours_of_the_outcomes_stay_apart(sight):
    for one, other in itertools.combinations(outcomes_figure.COLOURS.values(), 2):
        assert colour_vision.distance(one, other, sight) >= 20


def labels(page):
    """(block, sign, percent) of every lit block in the text."""
    found = re.findall(r"<b>\[(\d+) (.) (\d+)%\]</b>", page)
    return [(int(block), sign, int(percent)) for block, sign, percent in found]


def test_the_text_is_whole_and_its_chosen_blocks_are_labelled():
    page = page_of(**LATE)
    now = text_explorer.compute(**LATE)
    plain = html.unescape(re.sub(r"<[^>]*>", "", re.sub(r"<p>.*?</p>|<b>.*?</b> ", "", page)))
    assert plain == "".join(READING.words).replace("\n", "↵ ")
    lit = labels(page)
    assert [block for block, sign, _ in lit if sign in "✓+"] == now.chosen.tolist()
    assert [block for block, sign, _ in lit if sign == "✗"] == sorted(now.missed)
    assert [percent for *_, percent in lit] == [
        int(f"{now.mass[block]:.0%}"[:-1]) for block, *_ in lit
    ]
    assert re.findall(r"<mark[^>]*>(.*?)</mark>", page) == [" w44"]


def test_the_future_is_grey_and_the_own_block_ends_at_the_query():
    page = page_of(**(LATE | {"position": 18}))
    before, _, after = page.partition("<mark")
    grey = text_explorer_figure.LOOKS[Outcome.FUTURE]
    assert grey not in before
    assert " w17" in before
    assert f'<span style="{grey}"> w19' in after
    assert not labels(after)


def test_the_text_brings_its_own_paper_and_ink():
    """Its colours are made for white: on a dark theme ink alone would be black on black."""
    (style,) = re.findall(
        r'aria-label="the text" style="([^"]*)"',
        page_of(**LATE),
    )
    assert "background:#FFFFFF;" in style
    assert f";color:{palette.INK};" in style


def test_the_texts_own_marks_are_no_markup():
    page = page_of(**LATE)
    assert "&lt;b&gt;" in page
    assert page.count("<b>") == len(labels(page))


def test_words_name_the_blocks_the_mass_and_what_was_missed():
    said = say(**LATE)
    now = text_explorer.compute(**LATE)
    assert said.startswith("Layer 7, group 1, query at token 44 “w44” (in: code) reads 3 of 6")
    assert f"They hold {now.captured:.0%} of its attention" in said
    assert f"Missed: block {now.missed[0]} (" in said
    whole = say(**(LATE | {"top_k": 6}))
    assert whole.endswith("sees 6 of k = 6 blocks and reads them all.")
    assert "(in: prose)" in say(**(LATE | {"position": 29}))
    assert "“↵”" in say(**(LATE | {"position": 7}))


def test_it_opens_where_it_is_told_to():
    assert text_explorer_figure.explorer(READING).settings == {
        "position": 44,
        "layer": 7,
        "group": 0,
        "top_k": 6,
    }
    told = {"position": 9, "layer": 2, "group": 1, "top_k": 2}
    assert text_explorer_figure.explorer(READING, **told).settings == told


FOREIGN = ["\t", "\x1b", "\u4f60", "", "", "\U0001f600", "", "\u05e9", "\u0645", "\r\n", "$"]


def test_any_text_is_shown_at_every_position_without_a_warning():
    """Missing glyphs and tabs warn, and warnings are errors here; "" is a part of a character."""
    words = (*READING.words[: TOKENS - len(FOREIGN)], *FOREIGN)
    made = text_explorer_figure.explorer(READING._replace(words=words), top_k=3)
    for position in range(TOKENS - len(FOREIGN), TOKENS):
        made.controls["position"].value = position
        (marked,) = re.findall(r"<mark[^>]*>(.*?)</mark>", made.page.value)
        assert marked.strip(), position
        assert "\t" not in made.page.value + repr(made)
        assert "\x1b" not in made.page.value + repr(made)
    plain = html.unescape(re.sub(r"<[^>]*>", "", made.page.value))
    for sign in ("\u21e5", "\u241b", "\u4f60", "\U0001f600", "\u05e9", "\u0645", "\u240d\u21b5"):
        assert sign in plain
    made.controls["position"].value = TOKENS - len(FOREIGN) + 4
    assert "part of \u201c\u4f60\u201d" in repr(made)
