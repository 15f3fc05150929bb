"""Checks of lesson 04: tokens a query reads, tiles counted, loads of a query tile."""

from __future__ import annotations

import numpy as np

from msa_course.checking import exercise, expect
from msa_ref import blocks


@exercise("4.1")
def check_4_1(tokens_read):
    """`tokens_read(position, chosen, block_size)` counts the chosen blocks' visible tokens."""
    cases = [(0, [0], 1), (0, [0], 2), (1, [0], 2), (2, [0, 1], 2), (5, [1], 4), (5, [0], 4)]
    cases += [(12, [0, 2, 4], 3), (1000, [0, 3, 7], 128), (1023, [1, 7], 128), (1024, [8], 128)]
    for position, chosen, block_size in cases:
        right = sum(j // block_size in chosen for j in range(position + 1))
        got = tokens_read(position, np.array(chosen), block_size)
        own = position // block_size
        case = f"position {position}, blocks {chosen} of {block_size} tokens: got {got}"
        hint = f", takes {right}"
        if own in chosen and got == len(chosen) * block_size:
            hint += f"; of its local block {own} the query sees only tokens up to {position}"
        elif own in chosen and got == right - 1:
            hint += "; the query sees its own token too"
        elif own not in chosen and got < right:
            hint += f"; the local block {own} was not chosen, so every chosen block is read whole"
        expect(got == right, case + hint)


@exercise("4.2")
def check_4_2(count_tiles):
    """`count_tiles(num_keys, size)` counts a prefill's hidden, partial, visible tiles."""
    cases = [(2, 2), (4, 2), (3, 2), (5, 4), (6, 4), (1, 1), (1, 3), (3, 1), (9, 3)]
    for num_keys, size in [*cases, (100, 7), (1000, 128), (1025, 128)]:
        states = blocks.tile_states(num_keys, num_keys, query_tile=size, block_size=size)
        right = tuple(np.bincount(states.ravel(), minlength=3).tolist())
        got = tuple(int(count) for count in count_tiles(num_keys, size))
        case = f"{num_keys} tokens in tiles of {size}: got {got}, takes {right} "
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


@exercise("4.3")
def check_4_3(loads_per_tile):
    """`loads_per_tile(selection, query_tile)` counts the distinct blocks each query tile reads."""
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
    case = f"selection {shown}, tiles of {query_tile}: got {got}, takes {right}"
    if len(got) < len(right):
        case += f"; the ragged last tile of {len(tiles[-1])} queries counts too"
    elif got == [int((tile >= 0).sum()) for tile in tiles]:
        case += "; a block that several queries of the tile read is loaded once"
    elif got == [len(np.unique(tile)) for tile in tiles]:
        case += "; -1 marks an unused slot, it is no block"
    expect(got == right, case)
