"""The model card's tables: they are the record's, and they say what was not reached."""

import copy
from pathlib import Path

import pytest

from msa_learning.evaluate import model_card
from msa_ref import data

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def record():
    return data.load_record("learning")


def test_the_cards_tables_are_those_of_the_record(record):
    page = (DOCS / "model_card.md").read_text()
    assert model_card.between(page, model_card.tables(record)) == page


def test_a_goal_is_reached_or_said_not_to_be(record):
    record = copy.deepcopy(record)
    found = model_card.pick(record["needles"], method="learned", length=4096, **model_card.GOAL)
    dense = model_card.pick(record["needles"], method="dense", length=4096)
    text = model_card.pick(record["perplexity"], method="learned", **model_card.GOAL)
    dense["right"], found["right"], text["ratio"] = 190, 186, 1.0101
    _, _, recall, perplexity, needles, minutes = model_card.goals(record)
    assert recall.endswith("| yes |")
    assert perplexity.endswith("| +1.0 % | **no** |")
    assert needles.endswith("| 186 of 200 against 190: 2.0 points less | yes |")
    found["right"], text["ratio"] = 185, 0.99
    record["header"]["run"]["seconds"] = 1201
    _, _, _, perplexity, needles, minutes = model_card.goals(record)
    assert perplexity.endswith("| -1.0 % | yes |")
    assert needles.endswith("2.5 points less | **no** |")
    assert minutes.endswith("| **no** |")


def test_a_row_that_was_cut_is_not_invented(record):
    size = {"block_size": 32, "top_k": 8}
    record["perplexity"] = [row for row in record["perplexity"] if not size.items() <= row.items()]
    (row,) = [line for line in model_card.budgets(record) if line.startswith("| 256 | 8 of 32 ")]
    assert "| not measured |" in row
