"""Checks of lesson 00: which shelf, an answer from all pages, an answer from the best shelves."""

from __future__ import annotations

import numpy as np

from msa_course.checking import exercise, expect


@exercise("0.1")
def check_0_1(shelf_of):
    """`shelf_of(page, shelf_size)` is page // shelf_size."""
    for shelf_size in (1, 2, 3, 128):
        for page in (0, 1, 2, 3, 7, 127, 128, 1000):
            got, right = shelf_of(page, shelf_size), page // shelf_size
            case = f"page {page} with shelves of {shelf_size}: got {got!r}, takes {right}"
            whole = isinstance(got, (int, np.integer))
            if not whole:
                case += "; a shelf's number is an integer, so divide with //"
            elif got == right + 1:
                case += "; shelves are counted from 0, like pages"
            elif got == page % shelf_size:
                case += "; that is the page's place on its shelf, not the shelf"
            expect(whole and got == right, case)


@exercise("0.2")
def check_0_2(answer):
    """`answer(scores, contents)` is the softmax-weighted mean of the contents."""
    rng = np.random.default_rng(2)
    for pages in (1, 2, 3, 8):
        scores, contents = rng.normal(size=pages), rng.normal(size=pages)
        got, right = _number(answer(scores, contents)), _answer(scores, contents)
        case = f"scores {scores.round(2)}: got {got:.3f}, takes {right:.3f}"
        if np.isclose(got, np.exp(scores) @ contents):
            case += "; the weights do not sum to 1: divide by the sum of the exponentials"
        elif np.isclose(got, contents.mean()):
            case += "; that is the plain mean, the scores were not used"
        elif np.isclose(got, scores @ contents) or np.isclose(
            got, scores @ contents / scores.sum()
        ):
            case += "; scores are not weights: take their exponentials first"
        expect(np.isclose(got, right), case)


@exercise("0.3")
def check_0_3(answer_from_shelves):
    """`answer_from_shelves(scores, contents, shelf_size, top_k)` reads the best shelves alone."""
    rng = np.random.default_rng(3)
    for shelves, shelf_size, top_k in ((2, 1, 1), (2, 2, 1), (4, 2, 2), (5, 3, 2), (6, 4, 6)):
        for _ in range(4):
            scores, contents = rng.normal(size=(2, shelves * shelf_size))
            got = _number(answer_from_shelves(scores, contents, shelf_size, top_k))
            _check_shelves(got, scores, contents, shelf_size, top_k)


def _check_shelves(got, scores, contents, shelf_size, top_k):
    rows = scores.reshape(-1, shelf_size)
    best = _pages(rows.max(axis=1), shelf_size, top_k)
    right = _answer(scores[best], contents[best])
    case = (
        f"{len(rows)} shelves of {shelf_size}, the best {top_k} read, scores {scores.round(2)}: "
        f"got {got:.3f}, takes {right:.3f}"
    )
    weights = np.exp(scores) / np.exp(scores).sum()
    worst = _pages(-rows.max(axis=1), shelf_size, top_k)
    by_mean = _pages(rows.mean(axis=1), shelf_size, top_k)
    if np.isclose(got, weights[best] @ contents[best]):
        case += "; the weights of the pages read do not sum to 1: divide again after choosing"
    elif np.isclose(got, _answer(scores, contents)):
        case += "; every page was read"
    elif np.isclose(got, _answer(scores[worst], contents[worst])):
        case += "; those are the worst shelves: argsort puts the smallest first"
    elif np.isclose(got, _answer(scores[by_mean], contents[by_mean])):
        case += "; a shelf counts by its best page, not by the mean of its pages"
    expect(np.isclose(got, right), case)


def _pages(shelf_scores, shelf_size, top_k):
    """True for the pages on the `top_k` shelves that score highest."""
    chosen = np.argsort(-shelf_scores, kind="stable")[:top_k]
    return np.isin(np.arange(len(shelf_scores) * shelf_size) // shelf_size, chosen)


def _answer(scores, contents):
    weights = np.exp(scores - scores.max())
    return weights @ contents / weights.sum()


def _number(value):
    expect(np.size(value) == 1, f"got {value!r}, takes one number")
    return float(np.asarray(value, dtype=float).reshape(()))
