"""Checks of the lesson's exercises: rows selected, lists merged, what a mean hides, a budget."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from msa_course.checking import exercise, expect
from msa_ref import selection

HIDDEN = -np.inf
# position, keys, k, block size
ROWS = ((0, 1, 1, 1), (6, 9, 1, 2), (10, 23, 4, 2), (22, 23, 3, 4), (30, 31, 5, 3))


@exercise("select_row")
def check_select_row(select_row: Callable) -> None:
    """Ids of the blocks one query reads, as a list of top_k."""

    def row(scores, position, top_k, block_size):
        return [int(block) for block in select_row(np.array(scores), position, top_k, block_size)]

    got = row([5.0, 1.0, 0.0, HIDDEN], 5, 2, 2)
    expect(len(got) == 2, f"k = 2: expected 2 slots, got {len(got)}, {got}; "
           "the local block counts inside k")  # fmt: skip
    expect(2 in got, f"query 5, blocks of 2, k = 2: expected its local block, 2, got {got}")
    expect(got == [0, 2], f"scores 5, 1, 0, query 5, k = 2: expected [0, 2], got {got}; "
           "ids ascend, they are not best first")  # fmt: skip
    got = row([3.0, 3.0, 3.0, 0.0], 7, 3, 2)
    expect(got == [0, 1, 3], f"three blocks tie at 3: expected [0, 1, 3], the lower ids, got {got}")
    got = row([1.0, 2.0, HIDDEN, HIDDEN], 2, 4, 2)
    expect(got == [0, 1, -1, -1], f"two visible blocks, k = 4: expected [0, 1, -1, -1], got {got}; "
           "unused slots are -1 on the right")  # fmt: skip
    rng = np.random.default_rng(1)
    for position, num_keys, top_k, block_size in ROWS:
        for _ in range(5):
            scores = rng.integers(-3, 4, -(-num_keys // block_size)).astype(float)
            scores[position // block_size + 1 :] = HIDDEN
            # select_blocks takes the queries as the last of the keys, so the future is cut off.
            seen = scores[: position // block_size + 1]
            wanted = selection.select_blocks(
                seen[None, None, None], top_k=top_k, block_size=block_size, num_keys=position + 1
            )[0, 0, 0].tolist()
            got = row(scores, position, top_k, block_size)
            expect(got == wanted, f"scores {scores}, query {position}, k = {top_k}, blocks of "
                   f"{block_size}: expected {wanted}, got {got}")  # fmt: skip


@exercise("select_blocks")
def check_select_blocks(select_blocks: Callable) -> None:
    """Ids of the blocks every query and group reads, [B, Hkv, T, top_k]."""

    def select(scores, top_k, block_size, num_keys):
        return np.asarray(select_blocks(scores, top_k, block_size, num_keys))

    scores = np.array([[[[5.0, 1, 0]], [[0, 4, 2]]]])
    got = select(scores, 2, 2, 6)
    expect(got.shape == (1, 2, 1, 2), f"1 sequence, 2 groups, 1 query, k = 2: expected an array of "
           f"shape (1, 2, 1, 2), got {got.shape}; the local block counts inside k")  # fmt: skip
    expect((got == 2).any(axis=-1).all(), "query 5, blocks of 2, k = 2: expected the local block, "
           f"2, in both lists, got {got.tolist()}")  # fmt: skip
    expect(got[0, 0].tolist() != got[0, 1].tolist(), "groups with scores 5, 1, 0 and 0, 4, 2: "
           f"expected a list for each group, got {got[0, 0, 0].tolist()} twice")  # fmt: skip
    expect(got[0, :, 0].tolist() == [[0, 2], [1, 2]], "scores 5, 1, 0 and 0, 4, 2, k = 2: expected "
           f"[[0, 2], [1, 2]], got {got[0, :, 0].tolist()}; ids ascend")  # fmt: skip
    rows = np.array([[[[1.0, 9], [1, 9]]]])
    got = select(rows, 3, 2, 3)[0, 0].tolist()
    expect(got == [[0, -1, -1], [0, 1, -1]], "queries 1 and 2 of 3 tokens, blocks of 2, k = 3: "
           f"expected [[0, -1, -1], [0, 1, -1]], got {got}; row r stands at S - T + r, and a block "
           "of the future is never read")  # fmt: skip
    rng = np.random.default_rng(2)
    for groups, queries, num_keys, top_k, block_size in (
        (1, 1, 1, 1, 1), (3, 5, 23, 3, 4), (2, 9, 9, 8, 2), (4, 7, 50, 4, 7)
    ):  # fmt: skip
        nb = -(-num_keys // block_size)
        scores = rng.integers(-2, 3, (2, groups, queries, nb)).astype(float)
        sizes = {"top_k": top_k, "block_size": block_size, "num_keys": num_keys}
        wanted = selection.select_blocks(scores, **sizes)
        got = select(scores, top_k, block_size, num_keys)
        expect(got.shape == wanted.shape, f"{nb} blocks, k = {top_k}: expected an array of shape "
               f"{wanted.shape}, got {got.shape}")  # fmt: skip
        wrong = np.argwhere((got != wanted).any(axis=-1))
        if len(wrong):
            at = tuple(wrong[0])
            expect(False, f"scores {scores[at]}, query {num_keys - queries + at[2]}, k = {top_k}, "
                   f"blocks of {block_size}: expected {wanted[at].tolist()}, got "
                   f"{got[at].tolist()}")  # fmt: skip


@exercise("merge_best")
def check_merge_best(merge_best: Callable) -> None:
    """Scores and ids of the best top_k of two lists."""
    left = np.array([5.0, 2.0]), np.array([4, 6])
    right = np.array([3.0, 1.0]), np.array([9, 8])
    scores, ids = (np.asarray(part).tolist() for part in merge_best(left, right, 2))
    expect(ids == [4, 9], f"ids 4, 6 (scores 5, 2) and 9, 8 (scores 3, 1): expected ids [4, 9], "
           f"got {ids}: the blocks' ids, best first")  # fmt: skip
    expect(scores == [5, 3], f"the same lists: expected scores [5, 3], got {scores}")
    late, early = (np.array([2.0]), np.array([7])), (np.array([2.0]), np.array([1]))
    _, ids = merge_best(late, early, 1)
    expect(ids[0] == 1, f"blocks 7 and 1 tie: expected the lower id, 1, got {ids[0]}, "
           "whichever list it is in")  # fmt: skip
    one, other = ((np.array([score, HIDDEN]), np.array([3 * score, -1])) for score in (1, 2))
    scores, ids = (np.asarray(part).tolist() for part in merge_best(one, other, 4))
    expect(ids[2:] == [-1, -1] and scores[2:] == [HIDDEN] * 2, "two blocks for four slots: "
           f"expected -1 and -inf in the unused slots, got ids {ids}, scores {scores}")  # fmt: skip
    rng = np.random.default_rng(2)
    for num_blocks, top_k, pieces in ((1, 1, 1), (5, 3, 2), (9, 4, 3), (30, 6, 4), (12, 20, 3)):
        scores = rng.integers(-4, 5, num_blocks).astype(float)
        ranked = np.lexsort((np.arange(num_blocks), -scores))[:top_k]
        cuts = np.sort(rng.integers(0, num_blocks + 1, pieces - 1))
        best = np.full(top_k, HIDDEN), np.full(top_k, -1)
        for part in rng.permutation(pieces):
            ids = np.split(np.arange(num_blocks), cuts)[part]
            ids = ids[np.lexsort((ids, -scores[ids]))][:top_k]
            best = merge_best(best, (scores[ids], ids), top_k)
        found = np.asarray(best[1])
        found = found[found >= 0].tolist()
        expect(found == ranked.tolist(), f"scores {scores} in {pieces} pieces, k = {top_k}: "
               f"expected {ranked.tolist()}, got {found}")  # fmt: skip


@exercise("rows_a_mean_hides")
def check_rows_a_mean_hides(rows_a_mean_hides: Callable) -> None:
    """The most rows that can be as bad as `recall` under this mean."""

    def case(mean, num_rows, recall):
        return int(rows_a_mean_hides(mean, num_rows, recall))

    got = case(0.75, 8, 0.0)
    expect(got == 2, f"a mean of 0.75 over 8 rows, recall 0: expected 2 rows, got {got}")
    got = case(0.75, 8, 0.5)
    expect(got == 4, f"a mean of 0.75 over 8 rows, recall 0.5: expected 4 rows, got {got}; such a "
           "row costs the mean only half a row")  # fmt: skip
    got = case(0.9, 25, 0.0)
    expect(got == 2, f"a mean of 0.9 over 25 rows, recall 0: expected 2 rows, got {got}; a third "
           "would pull the mean below 0.9")  # fmt: skip
    got = case(0.25, 10, 0.5)
    expect(got == 10, f"a mean of 0.25 over 10 rows, recall 0.5: expected all 10 rows, got {got}")
    for mean, num_rows, recall in ((1.0, 50, 0.25), (0.5, 64, 0.0), (0.875, 100, 0.75)):
        wanted = max(
            n for n in range(num_rows + 1) if num_rows - n * (1 - recall) >= mean * num_rows
        )
        got = case(mean, num_rows, recall)
        expect(got == wanted, f"a mean of {mean} over {num_rows} rows, recall {recall}: expected "
               f"{wanted} rows, got {got}")  # fmt: skip


@exercise("smallest_k")
def check_smallest_k(smallest_k: Callable) -> None:
    """The smallest k with which enough rows hold enough attention."""
    mass = np.array([[0.125, 0.75, 0.125, 0.0], [0.25, 0.25, 0.25, 0.25]])
    got = int(smallest_k(mass, 0.75, 0.5))
    expect(got == 1, f"masses 1/8, 6/8, 1/8, 0 and four times 1/4; 0.75 for half of the rows: "
           f"expected k = 1, got {got}; the heaviest block comes first")  # fmt: skip
    got = int(smallest_k(mass, 0.8125, 1.0))
    expect(got == 4, f"the same masses; 13/16 for all rows: expected k = 4, got {got}; every row "
           "has to hold it, not the mean of the rows")  # fmt: skip
    got = int(smallest_k(mass, 1.0, 1.0))
    expect(got == 4, f"the same masses, all of both rows: expected k = 4, got {got}")
    rng = np.random.default_rng(4)
    for rows, nb, held, of_rows in ((1, 1, 1.0, 1.0), (16, 8, 0.5, 0.75), (32, 12, 0.875, 0.5)):
        parts = rng.multinomial(64, rng.dirichlet(np.ones(nb) / 2, size=rows)) / 64
        most = np.cumsum(-np.sort(-parts, axis=-1), axis=-1)
        wanted = next(k for k in range(1, nb + 1) if (most[:, k - 1] >= held).mean() >= of_rows)
        got = int(smallest_k(parts, held, of_rows))
        expect(got == wanted, f"{rows} rows of {nb} blocks, {held} for {of_rows} of the rows: "
               f"expected k = {wanted}, got {got}")  # fmt: skip
