"""Known wrong answers to the exercises of lesson 00."""

import numpy as np


def place_on_the_shelf(page, shelf_size):
    return page % shelf_size


def counted_from_one(page, shelf_size):
    return page // shelf_size + 1


def not_rounded_down(page, shelf_size):
    return page / shelf_size


def exponentials_left_undivided(scores, contents):
    return np.exp(scores) @ contents


def plain_mean(scores, contents):
    return contents.mean()


def scores_as_weights(scores, contents):
    return scores @ contents / scores.sum()


def _answer(scores, contents, shelf_scores, shelf_size, top_k):
    chosen = np.argsort(-shelf_scores)[:top_k]
    read = np.isin(np.arange(len(scores)) // shelf_size, chosen)
    weights = np.exp(scores[read])
    return weights @ contents[read] / weights.sum()


def weights_of_all_pages_kept(scores, contents, shelf_size, top_k):
    chosen = np.argsort(-scores.reshape(-1, shelf_size).max(axis=1))[:top_k]
    read = np.isin(np.arange(len(scores)) // shelf_size, chosen)
    weights = np.exp(scores) / np.exp(scores).sum()
    return weights[read] @ contents[read]


def worst_shelves(scores, contents, shelf_size, top_k):
    shelf_scores = -scores.reshape(-1, shelf_size).max(axis=1)
    return _answer(scores, contents, shelf_scores, shelf_size, top_k)


def shelves_by_their_mean(scores, contents, shelf_size, top_k):
    shelf_scores = scores.reshape(-1, shelf_size).mean(axis=1)
    return _answer(scores, contents, shelf_scores, shelf_size, top_k)


WRONG = {
    "0.1": [
        (place_on_the_shelf, "place on its shelf"),
        (counted_from_one, "counted from 0"),
        (not_rounded_down, "divide with //"),
    ],
    "0.2": [
        (exponentials_left_undivided, "do not sum to 1"),
        (plain_mean, "the plain mean"),
        (scores_as_weights, "take their exponentials"),
    ],
    "0.3": [
        (weights_of_all_pages_kept, "divide again after choosing"),
        (worst_shelves, "the worst shelves"),
        (shelves_by_their_mean, "by its best page"),
    ],
}
