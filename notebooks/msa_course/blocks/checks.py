"""Checks of the lesson's exercises: tile states, lists turned round, loads, counts, a design."""

from __future__ import annotations

import numpy as np

from msa_course.checking import exercise, expect
from msa_ref import blocks

STATES = ("hidden", "partial", "visible")


@exercise("tile_states")
def check_tile_states(tile_states):
    """`tile_states(num_queries, num_keys, query_tile, block_size)`: states [tiles, blocks]."""
    cases = [(1, 1, 1, 1), (2, 2, 2, 2), (2, 4, 2, 2), (3, 3, 2, 2), (1, 5, 4, 2), (4, 9, 3, 4)]
    for num_queries, num_keys, query_tile, block_size in [*cases, (13, 22, 3, 4), (7, 7, 16, 16)]:
        sizes = {"query_tile": query_tile, "block_size": block_size}
        right = blocks.tile_states(num_queries, num_keys, **sizes)
        got = np.asarray(tile_states(num_queries, num_keys, query_tile, block_size)).astype(int)
        case = (
            f"the last {num_queries} of {num_keys} tokens, tiles of {query_tile} queries, blocks "
        )
        case += f"of {block_size}"
        expect(got.shape == right.shape, f"{case}: expected shape {right.shape}, got {got.shape}; "
               "the last tile and the last block may be smaller")  # fmt: skip
        wrong = np.argwhere(got != right)
        if not len(wrong):
            continue
        row, block = map(int, wrong[0])
        want, have = int(right[row, block]), int(got[row, block])
        expect(0 <= have <= 2, f"{case}: expected states 0, 1 and 2, got {have}")
        offset = num_keys - num_queries
        shifted = blocks.tile_states(num_queries, num_queries, **sizes)
        same = got[:, : shifted.shape[1]]
        hint = "every query must see every key" if have == 2 else "some query must see some key"
        if want == 2 and have == 1:
            hint = "the tile's first query sees the block's last key, so nothing needs a mask"
        if offset and same.shape == shifted.shape and np.array_equal(same, shifted):
            hint = f"the first query is at position {offset}, not at 0"
        expect(False, f"{case}: tile {row}, block {block}: expected {STATES[want]}, got "
               f"{STATES[have]}; {hint}")  # fmt: skip


@exercise("invert_selection")
def check_invert_selection(invert_selection):
    """`invert_selection(selection, num_blocks)`: (offsets [nb + 1], queries), in CSR form."""
    rng = np.random.default_rng(5)
    cases = [([[0, -1]], 1), ([[0, -1], [0, 1]], 2), ([[-1, -1], [0, 2]], 3)]
    cases += [([[0, -1], [0, 1], [0, 2], [1, 2]], 4), ([[2, -1], [0, 2], [0, -1]], 3)]
    picks = [np.sort(rng.choice(9, size=3, replace=False)) for _ in range(40)]
    for selection, num_blocks in [*cases, (picks, 11)]:
        selection = np.array(selection, dtype=np.int32)
        right = [array.tolist() for array in blocks.invert_selection(selection, num_blocks)]
        offsets, queries = invert_selection(selection, num_blocks)
        offsets, queries = np.asarray(offsets).tolist(), np.asarray(queries).tolist()
        shown = selection.tolist() if selection.size <= 8 else f"of shape {selection.shape}"
        case = f"selection {shown}, {num_blocks} blocks"
        expect(len(offsets) == num_blocks + 1, f"{case}: expected {num_blocks + 1} offsets, got "
               f"{len(offsets)}: blocks that nobody reads have one too")  # fmt: skip
        expect(len(queries) == len(right[1]), f"{case}: expected {len(right[1])} queries, got "
               f"{len(queries)}; -1 marks an unused slot, it is no block")  # fmt: skip
        expect(offsets == right[0], f"{case}: expected offsets {right[0][:8]}, got {offsets[:8]}; "
               "each list begins where the lists before it end")  # fmt: skip
        hint = "sort by block, and keep queries of one block in their order (a stable sort)"
        expect(queries == right[1], f"{case}: expected queries {right[1][:8]}, got {queries[:8]}; "
               f"{hint}")  # fmt: skip


@exercise("loads_per_tile")
def check_loads_per_tile(loads_per_tile):
    """`loads_per_tile(selection, query_tile)`: the distinct blocks each query tile reads."""
    rng = np.random.default_rng(43)
    examples = [
        (np.array([[0, -1]]), 1),
        (np.array([[0], [0]]), 2),
        (np.array([[0, -1], [0, 1]]), 2),
        (np.array([[0, -1], [0, 1], [1, 2]]), 2),
        (np.array([[-1, -1], [0, 2]]), 1),
    ]
    for num_queries, query_tile in [(8, 4), (10, 4), (5, 16)]:
        picks = [np.sort(rng.choice(9, size=3, replace=False)) for _ in range(num_queries)]
        examples.append((np.stack(picks), query_tile))
    for selection, query_tile in examples:
        _check_loads(loads_per_tile, selection.astype(np.int32), query_tile)


def _check_loads(loads_per_tile, selection, query_tile):
    tiles = [
        selection[first : first + query_tile] for first in range(0, len(selection), query_tile)
    ]
    right = [len({int(block) for block in tile.ravel() if block >= 0}) for tile in tiles]
    got = np.asarray(loads_per_tile(selection, query_tile)).tolist()
    shown = selection.tolist() if selection.size <= 6 else f"{selection.shape} slots"
    case = f"selection {shown}, tiles of {query_tile}: expected {right}, got {got}"
    expect(isinstance(got, list), f"{case}; one number per tile")
    if len(got) < len(right):
        case += f"; the ragged last tile of {len(tiles[-1])} queries counts too"
    elif got == [int((tile >= 0).sum()) for tile in tiles]:
        case += "; a block that several queries of the tile read is loaded once"
    elif got == [len(np.unique(tile)) for tile in tiles]:
        case += "; -1 marks an unused slot, it is no block"
    expect(got == right, case)


@exercise("count_tiles")
def check_count_tiles(count_tiles):
    """`count_tiles(num_keys, size)`: a prefill's hidden, partial and visible tiles."""
    cases = [(2, 2), (4, 2), (3, 2), (5, 4), (6, 4), (1, 1), (1, 3), (3, 1), (9, 3)]
    for num_keys, size in [*cases, (100, 7), (1000, 128), (1025, 128)]:
        states = blocks.tile_states(num_keys, num_keys, query_tile=size, block_size=size)
        right = tuple(np.bincount(states.ravel(), minlength=3).tolist())
        got = tuple(int(count) for count in count_tiles(num_keys, size))
        case = f"{num_keys} tokens in tiles of {size}: expected {right}, got {got} "
        case += "(hidden, partial, visible)"
        expect(len(got) == 3, f"{case}: three numbers")
        expect(
            sum(got) >= states.size,
            f"{case}: there are {len(states)} x {len(states)} tiles, the ragged last ones included",
        )
        expect(sum(got) == states.size, f"{case}: every tile is counted once")
        expect(
            got[0] == right[0] or got[0] != right[2] or got[2] != right[0],
            f"{case}: tiles above the diagonal are the hidden ones",
        )
        expect(
            got[1] <= right[1],
            f"{case}: a diagonal tile of one single token hides nothing, so it needs no mask",
        )
        expect(got == right, case)


@exercise("smallest_block")
def check_smallest_block(smallest_block):
    """`smallest_block(context, budget, max_list, max_scores)`: a power of two, in tokens."""
    cases = [(2**20, 2048, 16, 8192), (32768, 2048, 16, 8192), (2**20, 2048, 64, 8192)]
    cases += [
        (1000, 64, 64, 1000),
        (1025, 64, 64, 512),
        (2**20, 4096, 16, 16384),
        (5000, 100, 3, 999),
    ]
    for context, budget, max_list, max_scores in cases:
        sizes = [2**n for n in range(21)]
        right = next(size for size in sizes if -(-budget // size) <= max_list
                     and -(-context // size) <= max_scores)  # fmt: skip
        got = smallest_block(context, budget, max_list, max_scores)
        case = f"{context:,} tokens, budget {budget:,}, lists of at most {max_list}, at most "
        case += f"{max_scores:,} scores: expected {right}, got {got}"
        listed = next(size for size in sizes if -(-budget // size) <= max_list)
        scored = next(size for size in sizes if -(-context // size) <= max_scores)
        hint = ""
        if got == listed != right:
            hint = f"; {-(-context // listed):,} blocks are more scores than allowed"
        elif got == scored != right:
            hint = f"; a list of {-(-budget // scored)} blocks is longer than allowed"
        elif got == right // 2:
            hint = "; the last block may be ragged and counts whole, so round up"
        expect(got == right, case + hint)
