"""Checks of the cost lesson: pairs read, least time, a fleet's saving, what to halve, a budget."""

from __future__ import annotations

import numpy as np

from msa_course.checking import exercise, expect
from msa_ref import M3, ModelSpec, MSAConfig, cost

PAGE, CARD = 2048, 256
DENSE = cost.dense_model(M3)


@exercise("pairs_read")
def check_pairs_read(pairs_read):
    """How many pairs MSA's main branch reads for the last new_tokens of a context, a number."""
    sizes = [(1, 1, 2, 2), (1, 5, 2, 2), (1, 6, 2, 2), (8, 8, 2, 2), (3, 8, 2, 2), (9, 9, 4, 1)]
    sizes += [(7, 30, 4, 3), (200, 500, 16, 4), (1, 4096, 128, 16), (300, 5000, 128, 16)]
    for new_tokens, context, block_size, top_k in sizes:
        spec = _spec(block_size, top_k)
        got = _number(pairs_read(new_tokens, context, block_size, top_k))
        right = cost.selected_keys(spec, new_tokens, context)
        case = (
            f"the last {new_tokens} of {context} tokens, blocks of {block_size}, k = {top_k}: "
            f"expected {right}, got {got:g}"
        )
        positions = np.arange(context - new_tokens, context)
        local, inside = np.divmod(positions, block_size)
        if got == np.minimum(positions + 1, block_size * top_k).sum():
            case += "; the local block is one of the k and is read only up to the query"
        elif got == new_tokens * block_size * top_k:
            case += "; early queries have less to read, and a local block ends at its query"
        elif got == right - new_tokens:
            case += "; a query reads its own token too"
        elif got == (inside + 1 + np.minimum(local, top_k) * block_size).sum():
            case += "; the local block is one of the k"
        elif new_tokens != context and got == cost.selected_keys(spec, new_tokens, new_tokens):
            case += "; the new tokens are the last of the context, not the first"
        expect(got == right, case)


@exercise("least_seconds")
def check_least_seconds(least_seconds):
    """Seconds below which no program can go, a number."""
    for flops, num_bytes, peak, bandwidth in (
        (6, 1, 2, 1),
        (2, 3, 2, 1),
        (1e15, 1e9, 989e12, 3.35e12),
        (1e9, 1e9, 989e12, 3.35e12),
        (0, 7, 2, 2),
    ):
        got = _number(least_seconds(flops, num_bytes, peak, bandwidth))
        compute, move = flops / peak, num_bytes / bandwidth
        case = (
            f"{flops:g} FLOPs at {peak:g} per second and {num_bytes:g} bytes at {bandwidth:g}: "
            f"expected {max(compute, move):g}, got {got:g}"
        )
        if np.isclose(got, compute + move):
            case += "; both happen at once, so the longer one counts, not their sum"
        elif np.isclose(got, min(compute, move)):
            case += "; that is the shorter of the two, and the other is not done yet"
        expect(bool(np.isclose(got, max(compute, move))), case)


@exercise("fleet_saving")
def check_fleet_saving(fleet_saving):
    """How many times fewer FLOPs the prefill of all chats needs with MSA, a number."""
    for contexts in ([20_000], [1000, 1000], [1000, 100_000], [500, 20_000, 20_000, 400_000]):
        got = _number(fleet_saving(list(contexts)))
        pairs = np.array(
            [[cost.prefill_flops(spec, n, n).layer for spec in (DENSE, M3)] for n in contexts],
            dtype=float,
        )
        right = pairs[:, 0].sum() / pairs[:, 1].sum()
        case = f"chats of {contexts} tokens: expected {right:.3f}, got {got:.3f}"
        ratios = pairs[:, 0] / pairs[:, 1]
        total = sum(contexts)
        joined = [cost.prefill_flops(spec, total, total).layer for spec in (DENSE, M3)]
        if np.isclose(got, 1 / right):
            case += "; that is MSA over dense"
        elif np.isclose(got, ratios.mean()):
            case += "; a mean of ratios counts a short chat like a long one: add the FLOPs up first"
        elif np.isclose(got, joined[0] / joined[1]):
            case += "; chats do not see each other's tokens: count each on its own"
        expect(bool(np.isclose(got, right)), case)


@exercise("best_to_halve")
def check_best_to_halve(best_to_halve):
    """The name whose halving saves more bytes, "index_dim" or "top_k"."""
    for context in (512, 2048, 8192, 32_768, 100_000, 2**20):
        got = best_to_halve(context)
        expect(
            isinstance(got, str) and got in ("index_dim", "top_k"),
            f'context {context}: expected "index_dim" or "top_k", got {got!r}',
        )
        keys = cost.selected_keys(M3, 1, context)
        fewer = cost.selected_keys(_spec(128, 8), 1, context)
        saved = {"index_dim": CARD * context / 2, "top_k": PAGE * (keys - fewer)}
        right = max(saved, key=saved.get)
        case = (
            f"context {context}: expected {right!r}, got {got!r}; halving index_dim saves "
            f"{saved['index_dim']:,.0f} bytes, halving top_k {saved['top_k']:,.0f}"
        )
        expect(got == right, case)


@exercise("fit_budget")
def check_fit_budget(fit_budget):
    """The bytes per number of a card, 2 or 1, and k, as a pair of whole numbers."""
    for num_bytes, context in (
        (400e6, 2**20),
        (150e6, 2**20),
        (272_629_760, 2**20),
        (272_629_759, 2**20),
        (40e6, 131_072),
        (21e6, 131_072),
    ):
        got = fit_budget(num_bytes, context)
        case = f"{num_bytes:,.0f} bytes at {context:,} tokens: "
        expect(
            isinstance(got, tuple | list) and np.shape(got) == (2,),
            f"{case}expected a pair (bytes per number, k), got {got!r}",
        )
        right = _fit(num_bytes, context)
        case += f"expected {right}, got {tuple(got)}"
        size, top_k = map(_number, got)
        reads = 128 * size * context + PAGE * 128 * top_k
        if reads > num_bytes:
            case += f"; that reads {reads:,.0f} bytes"
        elif top_k < 16:
            case += "; k must be 16 or more"
        elif size == 1 and right[0] == 2:
            case += "; 2-byte cards leave room for 16 blocks here"
        elif top_k < right[1]:
            case += "; more blocks fit"
        expect((size, top_k) == right, case)


def _fit(num_bytes, context):
    for size in (2, 1):
        top_k = int(num_bytes - 128 * size * context) // (PAGE * 128)
        if top_k >= 16:
            return size, top_k
    raise ValueError("num_bytes: too few for 1-byte cards and 16 blocks")


def _spec(block_size, top_k):
    config = MSAConfig(4, 2, 8, 8, block_size, top_k)
    return ModelSpec("small", 2, 0, 32, config, 4, 2, 8)


def _number(value):
    is_one = np.size(value) == 1 and np.asarray(value).dtype.kind in "iuf"
    expect(is_one, f"expected one number, got {value!r}")
    return float(np.asarray(value, dtype=float).reshape(()))
