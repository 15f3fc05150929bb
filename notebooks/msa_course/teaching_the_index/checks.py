"""Checks of Teaching the index: a teacher, the gradient on scores and on weights."""

from __future__ import annotations

import numpy as np

from msa_course.checking import exercise, expect


def _softmax(scores, support):
    """Softmax of every row over the support, 0 outside."""
    weights = np.exp(np.where(support, scores - scores.max(axis=-1, keepdims=True), -np.inf))
    return weights / weights.sum(axis=-1, keepdims=True)


def _supports(rng):
    """(heads, tokens, support) of growing size; the last ones leave tokens out."""
    yield 1, 3, np.ones(3, dtype=bool)
    yield 2, 4, np.ones(4, dtype=bool)
    yield 2, 5, np.array([True, False, True, True, False])
    yield 3, 8, rng.permutation(8) < 3


@exercise("11.1")
def check_11_1(teacher):
    """`teacher(scores, support)` is the mean over heads of each head's softmax on the support."""
    rng = np.random.default_rng(91)
    for heads, tokens, support in _supports(rng):
        scores = rng.normal(size=(heads, tokens)) * np.arange(1, heads + 1)[:, None] * 2
        got = np.asarray(teacher(scores, support))
        right = _softmax(scores, support).mean(axis=0)
        case = f"{heads} heads, {tokens} tokens, support {support.astype(int)}: "
        expect(got.shape == (tokens,), f"{case}got shape {got.shape}, takes ({tokens},)")
        everywhere = _softmax(scores, np.ones(tokens, dtype=bool)).mean(axis=0)
        hint = f"got {got.round(3)}, takes {right.round(3)}"
        if np.abs(got[~support]).max(initial=0) > 1e-9:
            hint += "; a token outside the support has no probability"
        elif np.allclose(got, right * heads) and heads > 1:
            hint += "; the heads are averaged, so the row sums to 1"
        elif np.allclose(got, _softmax(scores.mean(axis=0), support)):
            hint += "; that averages the scores: softmax of each head first, the mean after"
        elif np.allclose(got, np.where(support, everywhere, 0)):
            hint += "; what is left of a softmax over all tokens: normalise on the support alone"
        elif np.allclose(got * everywhere[support].sum(), np.where(support, everywhere, 0)):
            hint += "; normalised after the mean: each head is normalised on the support first"
        expect(np.allclose(got, right), case + hint)


@exercise("11.2")
def check_11_2(logit_gradient):
    """`logit_gradient(p, index_scores, support)` is the gradient of KL(p || p_idx)."""
    rng = np.random.default_rng(92)
    for _, tokens, support in _supports(rng):
        p = _softmax(rng.normal(size=tokens) * 2, support)
        scores = rng.normal(size=tokens)
        got = np.asarray(logit_gradient(p, scores, support))
        p_idx = _softmax(scores, support)
        right = p_idx - p
        case = f"{tokens} tokens, support {support.astype(int)}: "
        expect(got.shape == (tokens,), f"{case}got shape {got.shape}, takes ({tokens},)")
        hint = f"got {got.round(3)}, takes {right.round(3)}"
        if np.allclose(got, -right):
            hint += "; the sign: where the index is too low the gradient is negative"
        elif np.allclose(got, -p / np.where(support, p_idx, 1)):
            hint += "; that is the gradient on p_idx, not on the scores behind its softmax"
        elif np.abs(got[~support]).max(initial=0) > 1e-9:
            hint += "; a token outside the support teaches nothing: its gradient is 0"
        elif abs(got.sum()) > 1e-9:
            hint += "; the gradient of a row sums to 0"
        expect(np.allclose(got, right), case + hint)


def _loss(x, w_q, w_k, p):
    """Mean over the queries of KL(p || p_idx), every query seeing itself and what came before."""
    visible = np.tri(len(x), dtype=bool)
    p_idx = _softmax((x @ w_q.T) @ (x @ w_k.T).T * len(w_q) ** -0.5, visible)
    return (
        (p * (np.log(np.where(visible, p, 1)) - np.log(np.where(visible, p_idx, 1))))
        .sum(axis=1)
        .mean()
    )


def _slopes(x, w_q, w_k, p, step=1e-5):
    """Gradients of the loss by finite differences, one weight at a time."""
    for weights in (w_q, w_k):
        slope = np.empty_like(weights)
        for place in np.ndindex(weights.shape):
            ends = []
            for sign in (1, -1):
                moved = weights.copy()
                moved[place] += sign * step
                both = (moved, w_k) if weights is w_q else (w_q, moved)
                ends.append(_loss(x, *both, p))
            slope[place] = (ends[0] - ends[1]) / (2 * step)
        yield slope


@exercise("11.3")
def check_11_3(weight_gradients):
    """`weight_gradients(x, w_q, w_k, p)` is the gradient of the mean KL on both projections."""
    rng = np.random.default_rng(93)
    for tokens, channels, index_dim in [(1, 2, 1), (3, 2, 1), (4, 3, 2), (7, 5, 4)]:
        x = rng.normal(size=(tokens, channels))
        w_q, w_k = rng.normal(size=(2, index_dim, channels))
        p = _softmax(rng.normal(size=(tokens, tokens)) * 2, np.tri(tokens, dtype=bool))
        got = weight_gradients(x, w_q, w_k, p)
        case = f"{tokens} tokens, {channels} channels, index_dim {index_dim}: "
        expect(len(got) == 2, f"{case}got {len(got)} things, takes two gradients, w_q's and w_k's")
        for name, ours, right in zip(("w_q", "w_k"), got, _slopes(x, w_q, w_k, p)):
            ours = np.asarray(ours)
            what = f"{case}the gradient of {name}: "
            takes = f"takes {right.shape}, that of {name}"
            expect(ours.shape == right.shape, f"{what}got shape {ours.shape}, {takes}")
            hint = "differs from the slope that small steps measure"
            if np.allclose(ours, -right, atol=1e-6):
                hint += "; the sign is turned round"
            elif np.allclose(ours, right * tokens, atol=1e-6):
                hint += f"; it is {tokens} times too large: the loss is a mean over the queries"
            elif np.allclose(ours, right * index_dim**0.5, atol=1e-6):
                hint += "; the scores were scaled by index_dim ** -0.5, and so is their gradient"
            elif name == "w_k":
                hint += "; a key is scored by many queries: its gradient sums over the columns"
            expect(np.allclose(ours, right, atol=1e-6), what + hint)
