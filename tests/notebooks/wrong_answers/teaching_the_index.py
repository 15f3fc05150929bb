"""Known wrong answers to the exercises of Teaching the index."""

import numpy as np


def softmax(scores):
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def on(support, scores):
    return np.where(support, scores, -np.inf)


def mean_of_scores(scores, support):
    return softmax(on(support, scores.mean(axis=0)))


def heads_added(scores, support):
    return softmax(on(support, scores)).sum(axis=0)


def all_tokens(scores, support):
    return softmax(scores).mean(axis=0)


def cut_out_afterwards(scores, support):
    return np.where(support, softmax(scores).mean(axis=0), 0)


def normalised_after_the_mean(scores, support):
    left = np.where(support, softmax(scores).mean(axis=0), 0)
    return left / left.sum()


def sign_turned(p, index_scores, support):
    return p - softmax(on(support, index_scores))


def gradient_everywhere(p, index_scores, support):
    return softmax(index_scores) - p


def gradient_on_the_probabilities(p, index_scores, support):
    p_idx = softmax(on(support, index_scores))
    return np.where(support, -p / np.where(support, p_idx, 1), 0)


def gradients(x, w_q, w_k, p, *, scaled=True, mean=True, turned=True):
    index_q, index_k = x @ w_q.T, x @ w_k.T
    scores = on(np.tri(len(x), dtype=bool), index_q @ index_k.T * len(w_q) ** -0.5)
    on_scores = softmax(scores) - p
    on_scores = on_scores / len(x) if mean else on_scores
    on_scores = on_scores * len(w_q) ** -0.5 if scaled else on_scores
    of_keys = on_scores.T if turned else on_scores
    return (on_scores @ index_k).T @ x, (of_keys @ index_q).T @ x


def scale_forgotten(x, w_q, w_k, p):
    return gradients(x, w_q, w_k, p, scaled=False)


def sum_for_a_mean(x, w_q, w_k, p):
    return gradients(x, w_q, w_k, p, mean=False)


def keys_along_the_rows(x, w_q, w_k, p):
    return gradients(x, w_q, w_k, p, turned=False)


def transposed(x, w_q, w_k, p):
    return tuple(gradient.T for gradient in gradients(x, w_q, w_k, p))


WRONG = {
    "11.1": [
        (mean_of_scores, "softmax of each head first"),
        (heads_added, "the heads are averaged"),
        (all_tokens, "outside the support has no probability"),
        (cut_out_afterwards, "normalise on the support alone"),
        (normalised_after_the_mean, "each head is normalised on the support first"),
    ],
    "11.2": [
        (sign_turned, "the sign"),
        (gradient_everywhere, "outside the support teaches nothing"),
        (gradient_on_the_probabilities, "not on the scores"),
    ],
    "11.3": [
        (scale_forgotten, "index_dim ** -0.5"),
        (sum_for_a_mean, "a mean over the queries"),
        (keys_along_the_rows, "sums over the columns"),
        (transposed, "that of w_q"),
    ],
}
