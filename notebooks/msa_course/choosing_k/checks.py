"""Checks of lesson 06: tokens of a selection, one row selected by hand, two top lists merged."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from msa_course.checking import exercise, expect
from msa_ref import selection


@exercise("6.1")
def check_6_1(tokens_read: Callable) -> None:
    """`tokens_read(chosen, position, block_size)` counts the chosen blocks' visible tokens.

    Unused slots hold nothing, and of the local block only the past counts.
    """
    got = tokens_read(np.array([0, 1]), 3, 2)
    expect(got == 4, f"blocks 0 and 1 of 2 tokens, query 3: got {got}, takes 4")
    got = tokens_read(np.array([0, -1]), 1, 2)
    expect(got == 2, f"block 0 of 2 tokens and an unused slot: got {got}, takes 2; "
           "-1 is no block")  # fmt: skip
    got = tokens_read(np.array([0, 2]), 4, 2)
    expect(got == 3, f"blocks 0 and 2 of 2 tokens, query 4: got {got}, takes 3; "
           "of its local block a query sees only the tokens up to itself")  # fmt: skip
    rng = np.random.default_rng(0)
    for position, block_size, top_k in ((0, 1, 1), (5, 4, 3), (22, 4, 4), (40, 8, 3), (99, 7, 6)):
        blocks = rng.permutation(position // block_size + 1)[:top_k]
        chosen = np.full(top_k, -1)
        chosen[: len(blocks)] = np.sort(blocks)
        seen = sum(token // block_size in blocks for token in range(position + 1))
        got = tokens_read(chosen, position, block_size)
        expect(got == seen, f"blocks {chosen} of {block_size} tokens, query {position}: "
               f"got {got}, takes {seen}")  # fmt: skip


@exercise("6.2")
def check_6_2(select_row: Callable) -> None:
    """`select_row(scores, position, top_k, block_size)` is the ids of the blocks one query reads.

    k slots in all, the local block among them, ties to the lower id, ascending, -1 at the end.
    """
    hidden = -np.inf

    def row(scores, position, top_k, block_size):
        return [int(block) for block in select_row(np.array(scores), position, top_k, block_size)]

    got = row([5.0, 1.0, 0.0, hidden], 5, 2, 2)
    expect(len(got) == 2, f"k = 2: got {len(got)} slots, {got}; the local block counts inside k")
    expect(2 in got, f"k = 2, query 5, blocks of 2: got {got} without its local block, 2")
    expect(got == [0, 2], f"scores 5, 1, 0, query 5, k = 2: got {got}, takes [0, 2]; "
           "ids ascending, not best first")  # fmt: skip
    got = row([3.0, 3.0, 3.0, 0.0], 7, 3, 2)
    expect(got == [0, 1, 3], f"three blocks tie at 3: got {got}, takes [0, 1, 3], the lower ids")
    got = row([1.0, 2.0, hidden, hidden], 2, 4, 2)
    expect(got == [0, 1, -1, -1], f"two visible blocks, k = 4: got {got}, takes [0, 1, -1, -1]; "
           "unused slots are -1 on the right")  # fmt: skip
    rng = np.random.default_rng(1)
    for position, num_keys, top_k, block_size in ((0, 1, 1, 1), (6, 9, 1, 2), (10, 23, 4, 2),
                                                  (22, 23, 3, 4), (30, 31, 5, 3)):  # fmt: skip
        for _ in range(5):
            scores = rng.integers(-3, 4, -(-num_keys // block_size)).astype(float)
            scores[position // block_size + 1 :] = hidden
            # select_blocks takes the queries as the last of the keys, so the future is cut off.
            seen = scores[: position // block_size + 1]
            wanted = selection.select_blocks(
                seen[None, None, None], top_k=top_k, block_size=block_size, num_keys=position + 1
            )[0, 0, 0].tolist()
            got = row(scores, position, top_k, block_size)
            expect(got == wanted, f"scores {scores}, query {position}, k = {top_k}, blocks of "
                   f"{block_size}: got {got}, takes {wanted}")  # fmt: skip


@exercise("6.3")
def check_6_3(merge_best: Callable) -> None:
    """`merge_best(left, right, top_k)` is the best (scores, ids) of two lists, best first.

    Any split of the blocks, merged in any order, gives the best of the whole.
    """
    left = np.array([5.0, 2.0]), np.array([4, 6])
    right = np.array([3.0, 1.0]), np.array([9, 8])
    scores, ids = (np.asarray(part).tolist() for part in merge_best(left, right, 2))
    expect(ids == [4, 9], f"ids 4, 6 (scores 5, 2) and 9, 8 (scores 3, 1): got ids {ids}, "
           "takes [4, 9]: the blocks' ids, best first")  # fmt: skip
    expect(scores == [5, 3], f"the same lists: got scores {scores}, takes [5, 3]")
    late, early = (np.array([2.0]), np.array([7])), (np.array([2.0]), np.array([1]))
    _, ids = merge_best(late, early, 1)
    expect(ids[0] == 1, f"blocks 7 and 1 tie: got {ids[0]}, takes the lower id, 1, "
           "whichever list it is in")  # fmt: skip
    one, other = ((np.array([score, -np.inf]), np.array([3 * score, -1])) for score in (1, 2))
    scores, ids = (np.asarray(part).tolist() for part in merge_best(one, other, 4))
    expect(ids[2:] == [-1, -1] and scores[2:] == [-np.inf] * 2, "two blocks for four slots: got "
           f"ids {ids}, scores {scores}, takes -1 and -inf in the unused slots")  # fmt: skip
    rng = np.random.default_rng(2)
    for num_blocks, top_k, pieces in ((1, 1, 1), (5, 3, 2), (9, 4, 3), (30, 6, 4), (12, 20, 3)):
        scores = rng.integers(-4, 5, num_blocks).astype(float)
        ranked = np.lexsort((np.arange(num_blocks), -scores))[:top_k]
        cuts = np.sort(rng.integers(0, num_blocks + 1, pieces - 1))
        best = np.full(top_k, -np.inf), np.full(top_k, -1)
        for part in rng.permutation(pieces):
            ids = np.split(np.arange(num_blocks), cuts)[part]
            ids = ids[np.lexsort((ids, -scores[ids]))][:top_k]
            best = merge_best(best, (scores[ids], ids), top_k)
        found = np.asarray(best[1])
        found = found[found >= 0].tolist()
        expect(found == ranked.tolist(), f"scores {scores} in {pieces} pieces, k = {top_k}: "
               f"got {found}, takes {ranked.tolist()}")  # fmt: skip
