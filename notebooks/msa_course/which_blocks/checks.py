"""Checks of the lesson on guessing rules: mean key, bound, part means, two floors, needles."""

from __future__ import annotations

import numpy as np

from msa_course.checking import exercise, expect

SIZES = [(1, 1, 1), (2, 1, 2), (4, 2, 2), (3, 2, 2), (5, 3, 2), (37, 8, 16)]


def _blocks(k, block_size):
    return [k[i : i + block_size] for i in range(0, len(k), block_size)]


def _case(num_keys, head_dim, block_size):
    return f"{num_keys} keys of {head_dim} channels in blocks of {block_size}: "


@exercise("mean_key_scores")
def check_mean_key_scores(mean_key_scores):
    """`mean_key_scores(q, k, block_size)` gives each block q . (mean of its keys)."""
    rng = np.random.default_rng(41)
    for num_keys, head_dim, block_size in SIZES:
        q, k = rng.normal(size=head_dim), rng.normal(size=(num_keys, head_dim))
        case = _case(num_keys, head_dim, block_size)
        chunks = _blocks(k, block_size)
        right = np.array([chunk.mean(axis=0) @ q for chunk in chunks])
        got = np.asarray(mean_key_scores(q, k, block_size), dtype=float)
        _check_shape(got, chunks, case)
        sums = np.array([chunk.sum(axis=0) @ q for chunk in chunks])
        hint = ""
        if np.allclose(got, sums / block_size):
            hint = "; the last block is ragged, divide by the tokens that it has"
        elif np.allclose(got, sums):
            hint = "; that is the sum of the keys, not their mean"
        elif np.allclose(got, [(chunk @ q).max() for chunk in chunks]):
            hint = "; that is the highest score, and it needs every key"
        expect(
            np.allclose(got, right), f"{case}expected {right.round(3)}, got {got.round(3)}{hint}"
        )


@exercise("bound_scores")
def check_bound_scores(bound_scores):
    """`bound_scores(q, k, block_size)` gives each block the best score its box allows."""
    rng = np.random.default_rng(42)
    for num_keys, head_dim, block_size in SIZES:
        q, k = rng.normal(size=head_dim), rng.normal(size=(num_keys, head_dim))
        if head_dim == 1:
            q = -np.abs(q)
        case = _case(num_keys, head_dim, block_size)
        chunks = _blocks(k, block_size)
        right = np.array([_bound(q, chunk) for chunk in chunks])
        best = np.array([(chunk @ q).max() for chunk in chunks])
        got = np.asarray(bound_scores(q, k, block_size), dtype=float)
        _check_shape(got, chunks, case)
        low = np.flatnonzero(got < best - 1e-9)
        expect(
            not len(low),
            f"{case}expected block {low[:1]} to get at least {best[low[:1]].round(3)}, the score "
            f"of a real key, got {got[low[:1]].round(3)}; where q is negative the lowest is best",
        )
        hint = ""
        if np.allclose(got, best):
            hint = "; a box knows the lowest and highest of each channel, not the keys"
        elif (got > right + 1e-9).any():
            hint = "; that promises more than the box holds, a block of one key gets its score"
        expect(
            np.allclose(got, right), f"{case}expected {right.round(3)}, got {got.round(3)}{hint}"
        )


def _check_shape(got, chunks, case):
    shape = (len(chunks),)
    expect(got.shape == shape, f"{case}expected one score per block {shape}, got {got.shape}")


def _bound(q, chunk):
    """Highest score that the box of some keys allows, channel by channel."""
    return sum(max(x * low, x * high) for x, low, high in zip(q, chunk.min(0), chunk.max(0)))


@exercise("part_mean_scores")
def check_part_mean_scores(part_mean_scores):
    """`part_mean_scores(q, k, block_size, parts)` is the best part's mean-key score, per block."""
    rng = np.random.default_rng(43)
    sizes = [(1, 1, 1, 1), (2, 1, 2, 1), (3, 2, 4, 2), (5, 2, 4, 2), (7, 3, 4, 4), (37, 8, 16, 4)]
    for num_keys, head_dim, block_size, parts in sizes:
        q, k = rng.normal(size=head_dim), rng.normal(size=(num_keys, head_dim))
        case = _case(num_keys, head_dim, block_size)[:-2] + f", {parts} parts each: "
        chunks = _blocks(k, block_size)
        means = [
            [part.mean(axis=0) @ q for part in _blocks(chunk, block_size // parts)]
            for chunk in chunks
        ]
        right = np.array([max(row) for row in means])
        got = np.asarray(part_mean_scores(q, k, block_size, parts), dtype=float)
        _check_shape(got, chunks, case)
        hint = ""
        if np.allclose(got, [np.mean(row) for row in means]):
            hint = "; of the parts' scores the highest counts, not their mean"
        elif np.allclose(got, [chunk.mean(axis=0) @ q for chunk in chunks]):
            hint = "; that is one mean for the whole block"
        elif np.allclose(got, [(chunk @ q).max() for chunk in chunks]):
            hint = "; that looks at every token, each part has one mean key"
        expect(
            np.allclose(got, right), f"{case}expected {right.round(3)}, got {got.round(3)}{hint}"
        )


@exercise("loud_enough")
def check_loud_enough(loud_enough):
    """`loud_enough(block_size, warm, cold)`: two scores, what mean and mass need to prefer it."""
    for block_size, warm, cold in [(1, 2.0, 0.0), (2, 1.0, 0.0), (2, 1.0, -3.0), (32, 1.0, 0.0)]:
        others = block_size - 1
        by_mean = block_size * warm - others * cold
        by_mass = np.log(block_size * np.exp(warm) - others * np.exp(cold))
        case = f"blocks of {block_size}, warm {warm:g}, cold {cold:g}: "
        got = loud_enough(block_size, warm, cold)
        expect(np.shape(got) == (2,), f"{case}expected two numbers, got {got!r}")
        first, second = map(float, got)
        hint = ""
        if np.isclose(first, block_size * warm) or np.isclose(first, warm):
            hint = "; the cold tokens of the loud one's block pull its mean down as well"
        expect(
            np.isclose(first, by_mean),
            f"{case}mean rule: expected {by_mean:.3f}, got {first:.3f}{hint}",
        )
        hint = ""
        if np.isclose(second, by_mean) and block_size > 1:
            hint = "; mass adds exponentials, not scores"
        elif np.isclose(second, np.log(block_size) + warm) and block_size > 1:
            hint = "; the cold tokens help a little: their exponentials are in the block's mass"
        expect(
            np.isclose(second, by_mass),
            f"{case}exact mass: expected {by_mass:.3f}, got {second:.3f}{hint}",
        )


@exercise("needles_to_hide")
def check_needles_to_hide(needles_to_hide):
    """`needles_to_hide(worse, better)` is the smallest number, an integer."""
    for worse, better in [(0.3, 0.8), (0.425, 0.775), (0.775, 0.925), (0.5, 0.6), (0.0, 0.9)]:
        spread = np.sqrt(worse * (1 - worse)) + np.sqrt(better * (1 - better))
        exact = (1.96 * spread / (better - worse)) ** 2
        right = int(np.floor(exact)) + 1
        got = needles_to_hide(worse, better)
        case = f"rates {worse:g} and {better:g}: "
        integral = isinstance(got, (int, np.integer)) and not isinstance(got, bool)
        expect(integral, f"{case}expected a whole number of needles, got {got!r}")
        hint = ""
        pooled = 1.96**2 * (worse * (1 - worse) + better * (1 - better)) / (better - worse) ** 2
        if got == int(np.floor(exact / 1.96**2)) + 1:
            hint = "; an interval reaches 1.96 standard errors to each side"
        elif got == int(np.floor(pooled)) + 1:
            hint = "; the half widths add up, not their squares, for the intervals must not touch"
        elif got == right - 1:
            hint = "; with that many the intervals still touch"
        expect(got == right, f"{case}expected {right}, got {got}{hint}")
