"""Checks of lesson 03: keys needed for a share, the price of blocks, the gap of a bound."""

from __future__ import annotations

import numpy as np

from msa_course.checking import exercise, expect


@exercise("3.1")
def check_3_1(keys_needed):
    """`keys_needed(weights, share)` counts keys, best first, until they hold the share."""
    rng = np.random.default_rng(31)
    rows = [np.array([1.0]), np.array([0.25, 0.75]), np.array([0.125, 0.5, 0.125, 0.25])]
    rows += [rng.dirichlet(np.full(size, 0.3)) for size in (5, 40, 300)]
    for row in rows:
        for share in (0.5, 0.75, 0.9):
            best_first = np.sort(row)[::-1]
            held = np.cumsum(best_first)
            right = int(np.argmax(held >= share)) + 1
            got = keys_needed(row, share)
            case = f"share {share} of {_show(row)}: got {got!r}, takes {right}"
            hint = ""
            if not isinstance(got, (int, np.integer)) or isinstance(got, (bool, np.bool_)):
                hint = "; a number of keys is an integer"
            elif got == right - 1:
                hint = "; those keys do not hold the share yet, one more is needed"
            elif got == right + 1 and held[right - 1] == share:
                hint = "; one key too many: exactly the share is enough"
            elif got == int(np.argmax(np.cumsum(row) >= share)) + 1:
                hint = "; take the heaviest first, not the first in the text"
            elif got == int(np.argmax(np.cumsum(best_first[::-1]) >= share)) + 1:
                hint = "; take the heaviest first, not the lightest"
            integral = isinstance(got, (int, np.integer)) and not isinstance(got, bool)
            expect(integral and got == right, case + hint)


@exercise("3.2")
def check_3_2(blocks_against_keys):
    """`blocks_against_keys(weights, block_size, top_k)`: two masses of the same many tokens."""
    rng = np.random.default_rng(32)
    cases = [(4, 2, 1), (5, 2, 1), (3, 4, 1), (6, 2, 9), (7, 3, 2), (40, 8, 3), (101, 16, 4)]
    for size, block_size, top_k in cases:
        row = rng.dirichlet(np.full(size, 0.4))
        _check_price(blocks_against_keys, row, block_size, top_k)
    ragged_is_best = np.array([0.1, 0.15, 0.05, 0.1, 0.6])
    _check_price(blocks_against_keys, ragged_is_best, 2, 1)


def _check_price(blocks_against_keys, row, block_size, top_k):
    chunks = [row[i : i + block_size] for i in range(0, len(row), block_size)]
    best = sorted(chunks, key=lambda chunk: -chunk.sum())[:top_k]
    count = sum(len(chunk) for chunk in best)
    in_blocks, in_keys = sum(chunk.sum() for chunk in best), np.sort(row)[::-1][:count].sum()
    case = f"{_show(row)}, blocks of {block_size}, k = {top_k}: "
    got = blocks_against_keys(row, block_size, top_k)
    expect(np.shape(got) == (2,), f"{case}got {got!r}, takes two numbers")
    first, second = got
    whole = sorted((len(c) == block_size) * c.sum() for c in chunks)[::-1][:top_k]
    hint = ""
    if len(row) % block_size and np.isclose(first, sum(whole)):
        hint = "; the ragged last block is a block too"
    elif np.isclose(first, sum(chunk.sum() for chunk in chunks[:top_k])):
        hint = "; those are the first blocks, not the best"
    elif first > in_blocks:
        hint = "; no blocks hold that much: choose whole blocks, by their mass"
    expect(
        np.isclose(first, in_blocks), f"{case}blocks: got {first:.3f}, takes {in_blocks:.3f}{hint}"
    )
    hint = ""
    for wrong, name in ((top_k, f"{top_k}"), (top_k * block_size, f"{top_k} x {block_size}")):
        if np.isclose(second, np.sort(row)[::-1][:wrong].sum()):
            hint = f"; as many keys as these blocks have tokens: {count}, not {name}"
    expect(np.isclose(second, in_keys), f"{case}keys: got {second:.3f}, takes {in_keys:.3f}{hint}")


@exercise("3.3")
def check_3_3(bound_gap):
    """`bound_gap(q, k, block_size)` is the bound of every block minus its best real score."""
    rng = np.random.default_rng(33)
    for num_keys, head_dim, block_size in [(1, 1, 1), (3, 2, 1), (4, 2, 2), (5, 3, 2), (37, 8, 16)]:
        q, k = rng.normal(size=head_dim), rng.normal(size=(num_keys, head_dim))
        case = f"{num_keys} keys of {head_dim} channels in blocks of {block_size}: "
        chunks = [k[i : i + block_size] for i in range(0, num_keys, block_size)]
        right = [_bound(q, chunk) - (chunk @ q).max() for chunk in chunks]
        got = np.asarray(bound_gap(q, k, block_size))
        shape = f"{case}got shape {got.shape}, takes one gap for each of {len(chunks)} blocks"
        expect(got.shape == (len(chunks),), shape)
        expect(
            (got > -1e-9).all(),
            f"{case}got a gap of {got.min():.3f}: a bound is never below a real score. Where q is "
            "negative the lowest key is the best",
        )
        single = [i for i, chunk in enumerate(chunks) if len(chunk) == 1]
        expect(
            np.allclose(got[single], 0),
            f"{case}a block of one key has gap {got[single]}, takes 0: its box is that key alone",
        )
        hint = ""
        if np.allclose(got, 0):
            hint = "; the bound knows the lowest and the highest of each channel, not the keys"
        expect(
            np.allclose(got, right),
            f"{case}got {got.round(3)}, takes {np.round(right, 3)}{hint}",
        )


def _bound(q, chunk):
    """Highest score that the box of some keys allows, corner by corner of each channel."""
    return sum(max(x * low, x * high) for x, low, high in zip(q, chunk.min(0), chunk.max(0)))


def _show(row):
    return f"weights {row.round(3)}" if len(row) <= 6 else f"a row of {len(row)} weights"
