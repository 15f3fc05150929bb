"""Checks of the lesson's exercises: keys for a share, mass of blocks, their price, and a head that
attention in blocks would break."""

from __future__ import annotations

import numpy as np

from msa_course.attention_is_mostly_empty import mass_explorer, measure
from msa_course.checking import exercise, expect

QUERY, BLOCK_SIZE, TOP_K, SHARE = 612, 32, 4, 0.9


@exercise("keys_needed")
def check_keys_needed(keys_needed):
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
            expect(_is_count(got), f"a number of keys is an integer, got {got!r}")
            hint = ""
            if got == right - 1:
                hint = "; those keys do not hold the share yet, one more is needed"
            elif got == right + 1 and held[right - 1] == share:
                hint = "; one key too many: exactly the share is enough"
            elif got == int(np.argmax(np.cumsum(row) >= share)) + 1:
                hint = "; take the heaviest first, not the first in the text"
            elif got == int(np.argmax(np.cumsum(best_first[::-1]) >= share)) + 1:
                hint = "; take the heaviest first, not the lightest"
            case = f"share {share} of {_show(row)}: expected {right}, got {got}"
            expect(got == right, case + hint)


@exercise("mass_of_blocks")
def check_mass_of_blocks(mass_of_blocks):
    """`mass_of_blocks(weights, block_size)` is an array with the mass of every block."""
    rng = np.random.default_rng(32)
    for size, block_size in [(1, 1), (4, 2), (5, 2), (3, 4), (40, 8), (101, 16)]:
        row = rng.dirichlet(np.full(size, 0.5))
        case = f"{_show(row)} in blocks of {block_size}: "
        right = np.array([chunk.sum() for chunk in _chunks(row, block_size)])
        got = np.asarray(mass_of_blocks(row, block_size))
        hint = ""
        if got.shape == (size // block_size,):
            hint = "; the last block is a block too, though it has fewer tokens"
        shapes = f"expected one mass for each of {len(right)} blocks, got shape {got.shape}"
        expect(got.shape == right.shape, case + shapes + hint)
        means = np.array([chunk.mean() for chunk in _chunks(row, block_size)])
        hint = "; a mass is a sum, not a mean" if np.allclose(got, means) else ""
        if np.allclose(got, [chunk.max() for chunk in _chunks(row, block_size)]):
            hint = "; a mass is a sum, not the highest weight"
        if len(right) <= 3:
            case += f"expected {right.round(3)}, got {got.round(3)}"
        else:
            case += f"expected masses that add up to 1, got a sum of {got.sum():.3f}"
        expect(np.allclose(got, right), case + hint)


@exercise("blocks_against_keys")
def check_blocks_against_keys(blocks_against_keys):
    """`blocks_against_keys(weights, block_size, top_k)`: two masses of the same many tokens."""
    rng = np.random.default_rng(32)
    cases = [(4, 2, 1), (5, 2, 1), (3, 4, 1), (6, 2, 9), (7, 3, 2), (40, 8, 3), (101, 16, 4)]
    for size, block_size, top_k in cases:
        row = rng.dirichlet(np.full(size, 0.4))
        _check_price(blocks_against_keys, row, block_size, top_k)
    ragged_is_best = np.array([0.1, 0.15, 0.05, 0.1, 0.6])
    _check_price(blocks_against_keys, ragged_is_best, 2, 1)


def _check_price(blocks_against_keys, row, block_size, top_k):
    chunks = _chunks(row, block_size)
    best = sorted(chunks, key=lambda chunk: -chunk.sum())[:top_k]
    count = sum(len(chunk) for chunk in best)
    in_blocks, in_keys = sum(chunk.sum() for chunk in best), np.sort(row)[::-1][:count].sum()
    case = f"{_show(row)}, blocks of {block_size}, k = {top_k}: "
    got = blocks_against_keys(row, block_size, top_k)
    expect(np.shape(got) == (2,), f"{case}expected two numbers, got {got!r}")
    first, second = got
    whole = sorted((len(c) == block_size) * c.sum() for c in chunks)[::-1][:top_k]
    hint = ""
    if len(row) % block_size and np.isclose(first, sum(whole)):
        hint = "; the ragged last block is a block too"
    elif np.isclose(first, sum(chunk.sum() for chunk in chunks[:top_k])):
        hint = "; those are the first blocks, not the best"
    elif first > in_blocks:
        hint = "; no blocks hold that much: choose whole blocks, by their mass"
    text = f"{case}blocks: expected {in_blocks:.3f}, got {first:.3f}{hint}"
    expect(np.isclose(first, in_blocks), text)
    hint = ""
    for wrong, name in ((top_k, f"{top_k}"), (top_k * block_size, f"{top_k} x {block_size}")):
        if np.isclose(second, np.sort(row)[::-1][:wrong].sum()):
            hint = f"; as many keys as these blocks have tokens: {count}, not {name}"
    text = f"{case}keys: expected {in_keys:.3f}, got {second:.3f}{hint}"
    expect(np.isclose(second, in_keys), text)


@exercise("fewest_and_most_blocks")
def check_fewest_and_most_blocks(fewest_and_most_blocks):
    """`fewest_and_most_blocks(num_keys, block_size, num_blocks)` is a pair of integers."""
    cases = [(1, 1, 1), (5, 32, 20), (32, 32, 20), (33, 32, 20), (8, 2, 4), (5, 2, 4), (64, 16, 9)]
    for num_keys, block_size, num_blocks in cases:
        case = f"{num_keys} keys, {num_blocks} blocks of {block_size}: "
        got = fewest_and_most_blocks(num_keys, block_size, num_blocks)
        pair = isinstance(got, tuple | list) and len(got) == 2 and all(map(_is_count, got))
        expect(pair, f"{case}expected two integers, got {got!r}")
        fewest, most = -(-num_keys // block_size), min(num_keys, num_blocks)
        hint = ""
        if got[0] == num_keys // block_size:
            hint = "; the keys that are left over need a block as well"
        text = f"{case}fewest: expected {fewest}, got {got[0]}{hint}"
        expect(got[0] == fewest, text)
        hint = ""
        if got[1] == num_keys:
            hint = f"; there are only {num_blocks} blocks"
        elif got[1] == num_blocks:
            hint = "; every key may have a block to itself, but no key needs two"
        expect(got[1] == most, f"{case}most: expected {most}, got {got[1]}{hint}")


@exercise("head_that_breaks")
def check_head_that_breaks(head_that_breaks):
    """`head_that_breaks()` is the name of a captured head and a number of blocks."""
    got = head_that_breaks()
    pair = isinstance(got, tuple | list) and len(got) == 2 and isinstance(got[0], str)
    pair = pair and _is_count(got[1])
    expect(pair, f"expected a head's name and a number of blocks, got {got!r}")
    head, blocks = got
    names = mass_explorer.head_names()
    expect(head in names, f'expected a name such as "{names[-1]}", got {head!r}')
    made = head.endswith("(made)")
    expect(not made, f"expected a head of the model, got {head}, which was made by hand")
    mass = mass_explorer.compute(head, QUERY, BLOCK_SIZE, TOP_K)
    expect(
        mass.captured < 0.5,
        f"expected a head whose best {TOP_K} blocks hold less than half of its attention, "
        f"got {head}, where they hold {mass.captured:.0%}",
    )
    right = measure.keys_needed(mass.block_mass, SHARE)
    held = measure.held_by_best(mass.block_mass)[: max(int(blocks), 1)][-1]
    hint = "; a smaller k would do" if blocks > right else ""
    text = f"{head}: expected the least k that holds 90%, {right}; got {blocks}, which holds"
    expect(blocks == right, f"{text} {held:.0%}{hint}")


def _is_count(value):
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _chunks(row, block_size):
    return [row[i : i + block_size] for i in range(0, len(row), block_size)]


def _show(row):
    return f"weights {row.round(3)}" if len(row) <= 6 else f"a row of {len(row)} weights"
