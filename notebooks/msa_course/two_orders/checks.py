"""Checks of online softmax, of work block by block, and of what both cost."""

import numpy as np

from msa_course.checking import exercise, expect
from msa_ref import blocks, dense
from msa_ref.selection import select_blocks


@exercise("read_chunk")
def check_read_chunk(read_chunk):
    """`read_chunk(peak, total, weighted, scores, values)` is the row's state one chunk later."""
    rng = np.random.default_rng(7)
    empty = -np.inf, 0.0, np.zeros(1)
    one = np.ones((1, 1))
    with np.errstate(all="ignore"):
        state = read_chunk(*empty, np.array([2.0]), 3 * one)
        _expect_state(state, (2, 1, [3]), "the first chunk, score 2 and value 3")
        state = read_chunk(2.0, 1.0, np.array([3.0]), np.array([1.0]), one)
        _expect_state(state, (2, 1 + np.exp(-1), [3 + np.exp(-1)]), "a score below the peak")
        peak, total, weighted = read_chunk(2.0, 1.0, np.array([3.0]), np.array([4.0]), one)
        where = "peak 2, sum 1, weighted sum 3, then score 4 and value 1"
        expect(peak == 4, f"{where}: expected the new peak, 4, got {peak}")
        wanted = 1 + np.exp(-2)
        expect(
            np.isclose(total, wanted),
            f"{where}: expected sum {wanted:.3f}, got {total:.3f}: the old sum shrinks too",
        )
        wanted = 1 + 3 * np.exp(-2)
        expect(
            np.allclose(weighted, wanted),
            f"{where}: expected weighted sum {wanted:.3f}, got {np.ravel(weighted)[0]:.3f}: "
            "the old weighted sum shrinks as the old sum does",
        )
        state = read_chunk(*empty, np.array([-np.inf]), one)
        _expect_state(state, empty, "a hidden chunk before anything is read (-inf - -inf is NaN)")
        state = read_chunk(*state, np.array([-1000.0]), 3 * one)
        _expect_state(state, (-1000, 1, [3]), "a hidden chunk, then score -1000 and value 3")
        state = read_chunk(2.0, 1.0, np.array([3.0]), np.array([-np.inf]), one)
        _expect_state(state, (2, 1, [3]), "a hidden chunk later on")
        for size in (2, 5, 12):
            scores, values = rng.normal(0, 4, size), rng.normal(size=(size, 3))
            state = -np.inf, 0.0, np.zeros(3)
            for start in range(0, size, 2):
                state = read_chunk(*state, scores[start : start + 2], values[start : start + 2])
            weights, lse = dense.softmax_lse(scores)
            peak, total, weighted = state
            same = np.allclose(weighted / total, weights @ values)
            same = same and np.isclose(peak + np.log(total), lse)
            expect(same, f"{size} keys in chunks of 2: expected the softmax, got other numbers")


@exercise("attend_by_block")
def check_attend_by_block(attend_by_block):
    """`attend_by_block(q, selection, load_block, num_keys, block_size)` is out [T, d], lse [T]."""
    rng = np.random.default_rng(9)
    with np.errstate(all="ignore"):
        for num_queries, num_keys, size, top_k in ((4, 4, 2, 1), (6, 6, 2, 2), (5, 19, 4, 3)):
            q, k, v = (rng.normal(size=(n, 3)) for n in (num_queries, num_keys, num_keys))
            scores = rng.normal(size=(1, 1, num_queries, blocks.num_blocks(num_keys, size)))
            sizes = {"top_k": top_k, "block_size": size, "num_keys": num_keys}
            selection = select_blocks(scores, **sizes)[0, 0]
            loaded = []

            def load_block(block, k=k, v=v, size=size, loaded=loaded):
                loaded.append(int(block))
                part = slice(block * size, (block + 1) * size)
                return k[part].copy(), v[part].copy()

            got = attend_by_block(q, selection, load_block, num_keys, size)
            where = f"{num_queries} queries, {num_keys} keys, blocks of {size}, k = {top_k}"
            again = sorted({block for block in loaded if loaded.count(block) > 1})
            expect(
                not again, f"{where}: expected one load per block, got {loaded.count(again[0])} "
                f"loads of block {again[0]}" if again else "",
            )  # fmt: skip
            out, lse = got
            shapes = np.shape(out) == (num_queries, 3) and np.shape(lse) == (num_queries,)
            expect(
                shapes, f"{where}: expected shapes {(num_queries, 3)} and {(num_queries,)}, got "
                f"{np.shape(out)} and {np.shape(lse)}",
            )  # fmt: skip
            truth = _by_query(q, k, v, selection, num_keys, size, causal=True)
            leaks = _by_query(q, k, v, selection, num_keys, size, causal=False)
            expect(
                not np.allclose(out, leaks[0]) or np.allclose(out, truth[0]),
                f"{where}: expected no query to see a later token, got outputs that see their "
                "whole local block: distance is position minus the block's first token",
            )
            row = np.flatnonzero(~np.isclose(out, truth[0]).all(axis=1))
            expect(
                not row.size, f"{where}: query {row[:1]} chose {selection[row[:1]]}: expected "
                f"{truth[0][row[:1]].round(3)}, got {np.asarray(out)[row[:1]].round(3)}; every "
                "part is merged into what the query has already",
            )  # fmt: skip
            expect(np.allclose(lse, truth[1]), f"{where}: expected other LSEs than you got")


def _by_query(q, k, v, selection, num_keys, block_size, causal):
    """Output and LSE, query by query: one softmax over the chosen tokens."""
    outs, lses = [], []
    for row, position in zip(range(len(q)), range(num_keys - len(q), num_keys)):
        chosen = selection[row][selection[row] >= 0]
        tokens = (chosen[:, None] * block_size + np.arange(block_size)).ravel()
        tokens = tokens[tokens <= position] if causal else tokens[tokens < num_keys]
        weights, lse = dense.softmax_lse(k[tokens] @ q[row] * q.shape[1] ** -0.5)
        outs.append(weights @ v[tokens])
        lses.append(lse)
    return np.array(outs), np.array(lses)


@exercise("quiet_order")
def check_quiet_order(quiet_order):
    """`quiet_order(scores, chunk)` is the list of the chunks' numbers, in the order to read."""
    rng = np.random.default_rng(9)
    cases = [(np.array([1.0, 5.0, 2.0, 3.0]), 1), (np.array([0.0, 1.0, 4.0, 2.0, 3.0]), 2)]
    cases += [(rng.normal(size=size), chunk) for size, chunk in ((12, 3), (17, 4))]
    for scores, chunk in cases:
        order = quiet_order(scores, chunk)
        where = f"{len(scores)} scores in chunks of {chunk}"
        count = -(-len(scores) // chunk)
        flat = np.ravel(order)
        complete = np.shape(order) == (count,) and sorted(flat.tolist()) == list(range(count))
        expect(
            complete,
            f"{where}: expected each of the chunks 0 to {count - 1} once, got {_say(order)}",
        )
        peaks = [scores[number * chunk : (number + 1) * chunk].max() for number in flat]
        late = [int(number) for number, peak in zip(flat, peaks) if peak > peaks[0]]
        expect(
            not late, f"{where}: expected no new peak after the first chunk, got one at chunk "
            f"{late[0] if late else ''} of the order {_say(order)}",
        )  # fmt: skip


@exercise("join_walks")
def check_join_walks(join_walks):
    """`join_walks(first, second)` is the state (peak, total, weighted) of both walks together."""
    rng = np.random.default_rng(9)
    empty = -np.inf, 0.0, np.zeros(1)
    with np.errstate(all="ignore"):
        first, second = (0.0, 2.0, np.array([30.0])), (np.log(8), 1.5, np.array([50.0]))
        where = "states (0, 2, 30) and (ln 8, 1.5, 50)"
        state = join_walks(first, second)
        expect(
            not np.isclose(state[1], 3.5),
            f"{where}: expected sum 1.75, got 3.5: the sums are in units of different peaks",
        )
        _expect_state(state, (np.log(8), 1.75, [53.75]), where)
        _expect_state(join_walks(second, first), (np.log(8), 1.75, [53.75]), "the same, swapped")
        _expect_state(join_walks(empty, second), second, "a walk that saw nothing, then another")
        _expect_state(join_walks(empty, empty), empty, "two that saw nothing (-inf - -inf is NaN)")
        for _ in range(5):
            a, b = ((rng.normal(0, 9), rng.uniform(1, 4), rng.normal(size=3)) for _ in range(2))
            top = max(a[0], b[0])
            left, right = np.exp(a[0] - top), np.exp(b[0] - top)
            truth = top, left * a[1] + right * b[1], left * a[2] + right * b[2]
            _expect_state(join_walks(a, b), truth, "two random states")


@exercise("largest_chunk")
def check_largest_chunk(largest_chunk):
    """`largest_chunk(budget, top_k, num_heads, head_dim)` is a number of queries, a power of 2."""
    for budget, top_k, heads, dim in (
        (64, 1, 1, 2), (2**30, 16, 64, 128), (2**31, 16, 64, 128), (2**32, 8, 16, 64),
        (16 * 64 * 260, 16, 64, 128),
    ):  # fmt: skip
        got = largest_chunk(budget, top_k, heads, dim)
        each = top_k * heads * (2 * dim + 4)
        truth = 2 ** ((budget // each).bit_length() - 1)
        bare = 2 ** ((budget // (top_k * heads * 2 * dim)).bit_length() - 1)
        where = f"{budget:,} bytes, k = {top_k}, {heads} heads of {dim}"
        lses = bare != truth and np.array_equal(got, bare)
        expect(not lses, f"{where}: expected {truth:,}, got {_say(got)}: the LSEs take room too")
        number = np.shape(got) == () and np.array_equal(got, truth)
        expect(number, f"{where}: expected {truth:,}, got {_say(got)}")


def _expect_state(state, truth, where):
    for name, got, wanted in zip(("peak", "sum", "weighted sum"), state, truth, strict=True):
        got, wanted = np.ravel(got), np.ravel(wanted)
        same = got.shape == wanted.shape and np.allclose(got, wanted)
        expect(same, f"{where}: expected {name} {_say(wanted)}, got {_say(got)}")


def _say(got):
    text = " ".join(str(np.round(got, 3) if isinstance(got, np.ndarray) else got).split())
    return text if len(text) < 60 else f"{text[:57]}..."
