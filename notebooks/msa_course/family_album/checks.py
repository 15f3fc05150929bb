"""Checks of The family album: tokens reached, where a system pays, a design of one's own."""

from __future__ import annotations

import numpy as np

from msa_course.checking import exercise, expect
from msa_ref import cost
from msa_ref.systems_cost import Entries, LayerCost

# (entries, allowed, tokens): no entry at all, single tokens, overlaps, ends, everything.
REACHED = (
    ([(0, 0)], [True], 1),
    ([(0, 0), (1, 1)], [True, False], 2),
    ([(1, 2)], [True], 4),
    ([(0, 3), (2, 5)], [False, True], 7),
    ([(0, 3), (2, 5), (6, 6)], [True, True, False], 7),
    ([(0, 7), (4, 11), (8, 15), (15, 15)], [True, False, False, True], 16),
    ([(0, 3), (4, 7)], [False, False], 8),
    ([], [], 3),
)
POWERS = [2**power for power in range(21)]
# Reads as many bytes as the dense layer up to 8 tokens, and no more beyond.
EQUAL_TO_8 = LayerCost("equal up to 8", "", (Entries(10**6, 2048, most=8),))
# Reads less while both are short, and more in the end.
CHEAP_AT_FIRST = LayerCost("cheap at first", "", (Entries(1, 500),))


@exercise("17.1")
def check_17_1(tokens_reached):
    """`tokens_reached(entries, allowed, num_tokens)`: tokens inside an entry that is allowed."""
    for entries, allowed, num_tokens in REACHED:
        spans = np.array(entries, dtype=int).reshape(-1, 2)
        mask = np.array(allowed, dtype=bool)
        got = np.asarray(tokens_reached(spans, mask, num_tokens))
        case = f"entries {entries}, allowed {allowed}, {num_tokens} tokens: "
        expect(got.shape == (num_tokens,), f"{case}got shape {got.shape}, takes ({num_tokens},)")
        right = [_inside(token, spans[mask]) for token in range(num_tokens)]
        hint = ""
        if got.dtype != bool:
            hint = "; true or false for each token, not a number"
        elif got.tolist() == [_inside(token, spans) for token in range(num_tokens)]:
            hint = "; only entries that the query is allowed"
        elif got.tolist() == [_inside(token, spans[mask] - [0, 1]) for token in range(num_tokens)]:
            hint = "; an entry's last token is inside it"
        elif got.tolist() == [token in spans[mask] for token in range(num_tokens)]:
            hint = "; an entry stands for all tokens between its ends too"
        expect(got.dtype == bool and got.tolist() == right, f"{case}got {got}, takes {right}{hint}")


def _inside(token, spans):
    return bool(((spans[:, 0] <= token) & (token <= spans[:, 1])).any())


@exercise("17.2", none=True)
def check_17_2(pays_from):
    """`pays_from(one, other)`: the power of two from which `one` reads fewer bytes, or None."""
    layers = dict(cost.SYSTEMS) | {"equal up to 8": EQUAL_TO_8, "cheap at first": CHEAP_AT_FIRST}
    pairs = [("equal up to 8", "dense"), ("cheap at first", "msa"), ("dense", "dense")]
    pairs += [("dense", "msa"), ("msa", "dense"), ("window", "dense"), ("infllm", "msa")]
    pairs += [("msa", "infllm"), ("csa", "dsa"), ("nsa", "msa"), ("quest", "infllm")]
    for names in pairs:
        one, other = (layers[name] for name in names)
        got, right = pays_from(one, other), _pays(one, other, "decode_bytes")
        case = f"{names[0]} against {names[1]}: got {got!r}, takes {right!r}"
        fewer = [n for n in POWERS if _fewer(one, other, n, "decode_bytes")]
        hint = ""
        if right is None and got is not None:
            hint = "; at 2**20 it does not read fewer bytes (any more)"
        elif got != right and got == _pays(other, one, "decode_bytes"):
            hint = "; that is the other way round"
        elif got != right and got == _pays(one, other, "decode_flops"):
            hint = "; compare bytes, not FLOPs"
        elif got in POWERS and one.decode_bytes(got) == other.decode_bytes(got):
            hint = "; there the two read equally many: fewer is fewer"
        elif fewer and got in (fewer[-1], fewer[0]):
            hint = "; the smallest power of two from which on it stays cheaper"
        expect(got == right, case + hint)


def _fewer(one, other, context, kind):
    return getattr(one, kind)(context) < getattr(other, kind)(context)


def _pays(one, other, kind):
    """The smallest power of two from which on `one` costs less up to 2**20."""
    found = None
    for context in reversed(POWERS):
        if not _fewer(one, other, context, kind):
            break
        found = context
    return found


def _best_key(q, keys):
    return (keys @ q).max()


def _mean_key(q, keys):
    return keys.mean(axis=0) @ q


@exercise("17.3")
def check_17_3(try_design):
    """`try_design(q, k, unit, proxy, budget, unit_bytes, unit_flops)`: mass, bytes, FLOPs."""
    rng = np.random.default_rng(153)
    cases = [(4, 2, 2, 2), (5, 3, 2, 4), (8, 4, 2, 4), (12, 4, 4, 4), (23, 8, 4, 12)]
    for num_keys, dim, unit, budget in [*cases, (40, 16, 8, 24), (6, 3, 4, 99), (1, 2, 1, 1)]:
        for proxy in (_best_key, _mean_key):
            q, k = 2 * rng.normal(size=dim), rng.normal(size=(num_keys, dim))
            price = (int(rng.integers(3, 50)), int(rng.integers(51, 99)))
            _check_design(try_design, q, k, unit, proxy, budget, price)


def _check_design(try_design, q, k, unit, proxy, budget, price):
    got = try_design(q, k, unit, proxy, budget, *price)
    case = (
        f"{len(k)} keys of {len(q)} channels, units of {unit}, budget {budget}, "
        f"{price[0]} bytes and {price[1]} FLOPs a unit: "
    )
    expect(np.shape(got) == (3,), f"{case}got {got!r}, takes mass, bytes and FLOPs")
    mass, tokens = _design(q, k, unit, proxy, budget)
    num_units = -(-len(k) // unit)
    hints = {
        _design(q, k, unit, proxy, budget, forced=False): "the query's own unit is always read",
        _design(q, k, unit, proxy, budget + unit): "the own unit counts inside the budget",
        _design(q, k, unit, proxy, budget, scale=1): "scores are divided by sqrt(d)",
    }
    named = [text for (other, _), text in hints.items() if np.isclose(got[0], other)]
    hint = f"; {named[0]}" if named else ""
    expect(np.isclose(got[0], mass), f"{case}mass: got {got[0]:.4f}, takes {mass:.4f}{hint}")
    read = 4 * len(q) * tokens
    whole = 4 * len(q) * unit * min(budget // unit, num_units)
    for name, value, paid in zip(("bytes", "FLOPs"), got[1:], price):
        right = num_units * paid + read
        hint = ""
        if value == read:
            hint = "; looking at the units is not free"
        elif value == (num_units - 1) * paid + read:
            hint = "; the own unit is looked at as well"
        elif value == num_units * paid + whole:
            hint = "; a partial unit has fewer tokens to read"
        elif value == num_units * paid + read / 2:
            hint = "; a token has a key and a value"
        expect(value == right, f"{case}{name}: got {value:,}, takes {right:,}{hint}")


def _design(q, k, unit, proxy, budget, *, forced=True, scale=None):
    """(mass, tokens read) of the reference, or of one of its known faults."""
    scale = len(q) ** -0.5 if scale is None else scale
    units = [range(start, min(start + unit, len(k))) for start in range(0, len(k), unit)]
    scores = [proxy(q, k[list(tokens)]) for tokens in units]
    if forced:
        scores[-1] = np.inf
    best = np.argsort(-np.array(scores), kind="stable")[: budget // unit]
    read = [token for one in best for token in units[one]]
    weights = np.exp(k @ q * scale)
    return float(weights[read].sum() / weights.sum()), len(read)
