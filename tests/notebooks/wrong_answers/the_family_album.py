"""Known wrong answers to the exercises of The family album."""

import numpy as np


def allowed_forgotten(entries, allowed, num_tokens):
    tokens = np.arange(num_tokens)
    return ((entries[:, :1] <= tokens) & (tokens <= entries[:, 1:])).any(axis=0)


def last_token_left_out(entries, allowed, num_tokens):
    tokens = np.arange(num_tokens)
    entries = entries[allowed]
    return ((entries[:, :1] <= tokens) & (tokens < entries[:, 1:])).any(axis=0)


def ends_alone(entries, allowed, num_tokens):
    return np.isin(np.arange(num_tokens), entries[allowed])


def counted(entries, allowed, num_tokens):
    tokens = np.arange(num_tokens)
    entries = entries[allowed]
    return ((entries[:, :1] <= tokens) & (tokens <= entries[:, 1:])).sum(axis=0)


def _powers(one, other, kind="decode_bytes", equal=False):
    """Powers of two at which `one` costs less than `other` (or as little)."""
    pairs = [
        (2**p, getattr(one, kind)(2**p), getattr(other, kind)(2**p)) for p in range(21)
    ]  # fmt: skip
    return [n for n, mine, theirs in pairs if mine < theirs or (equal and mine == theirs)]


def _stays(powers):
    """The smallest of the powers from which on none is missing up to 2**20."""
    found = None
    for context in (2**p for p in range(20, -1, -1)):
        if context not in powers:
            break
        found = context
    return found


def first_of_all(one, other):
    powers = _powers(one, other)
    return powers[0] if powers else None


def equal_is_enough(one, other):
    return _stays(_powers(one, other, equal=True))


def in_flops(one, other):
    return _stays(_powers(one, other, kind="decode_flops"))


def other_way_round(one, other):
    return _stays(_powers(other, one))


def largest(one, other):
    powers = _powers(one, other)
    return powers[-1] if _stays(powers) else None


def _design(q, k, unit, proxy, budget, prices, *, own=True, extra=0, scale=None, scanned=None,
            whole=False, per_channel=4):  # fmt: skip
    units = [k[start : start + unit] for start in range(0, len(k), unit)]
    scores = np.array([proxy(q, keys) for keys in units])
    if own:
        scores[-1] = np.inf
    read = np.zeros(len(units), dtype=bool)
    read[np.argsort(-scores, kind="stable")[: budget // unit + extra]] = True
    weights = np.exp(k @ q * (len(q) ** -0.5 if scale is None else scale))
    in_read = np.repeat(read, unit)[: len(k)]
    tokens = read.sum() * unit if whole else in_read.sum()
    looked = len(units) if scanned is None else len(units) + scanned
    reading = per_channel * len(q) * tokens
    num_bytes, flops = (max(looked, 0) * price + reading for price in prices)
    return weights[in_read].sum() / weights.sum(), num_bytes, flops


def own_unit_not_forced(q, k, unit, proxy, budget, *prices):
    return _design(q, k, unit, proxy, budget, prices, own=False)


def own_unit_on_top(q, k, unit, proxy, budget, *prices):
    return _design(q, k, unit, proxy, budget, prices, extra=1)


def unscaled(q, k, unit, proxy, budget, *prices):
    return _design(q, k, unit, proxy, budget, prices, scale=1)


def free_scan(q, k, unit, proxy, budget, *prices):
    return _design(q, k, unit, proxy, budget, prices, scanned=-(10**9))


def own_unit_not_scanned(q, k, unit, proxy, budget, *prices):
    return _design(q, k, unit, proxy, budget, prices, scanned=-1)


def partial_unit_paid_whole(q, k, unit, proxy, budget, *prices):
    return _design(q, k, unit, proxy, budget, prices, whole=True)


def keys_alone(q, k, unit, proxy, budget, *prices):
    return _design(q, k, unit, proxy, budget, prices, per_channel=2)


WRONG = {
    "17.1": [
        (allowed_forgotten, "only entries that the query is allowed"),
        (last_token_left_out, "last token is inside"),
        (ends_alone, "between its ends"),
        (counted, "true or false"),
    ],
    "17.2": [
        (first_of_all, "does not read fewer bytes (any more)"),
        (equal_is_enough, "fewer is fewer"),
        (in_flops, "not FLOPs"),
        (other_way_round, "the other way round"),
        (largest, "the smallest power of two"),
    ],
    "17.3": [
        (own_unit_not_forced, "own unit is always read"),
        (own_unit_on_top, "inside the budget"),
        (unscaled, "divided by sqrt(d)"),
        (free_scan, "is not free"),
        (own_unit_not_scanned, "looked at as well"),
        (partial_unit_paid_whole, "fewer tokens to read"),
        (keys_alone, "a key and a value"),
    ],
}
