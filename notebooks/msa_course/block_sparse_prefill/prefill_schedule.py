"""Explorer of a prefill's two orders: which rows of its tiles work, and how even its items are."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from msa_ref import blocks

if TYPE_CHECKING:
    from jaxtyping import Bool, Int, Int32

KINDS = ("corr", "rand", "sink")
REDRAWN = 1 / 8  # share of the free slots that differ from one query to the next, in `corr`
GROUP_SIZE = 16
LEAST_ROWS = 64  # rows of the tensor cores' instruction: fewer cost as much
QUERIES, NUM_BLOCKS, TOP_K, BLOCK_SIZE = 64, 32, 8, 16
TILES = [(str(tile), tile) for tile in (1, 2, 4, 8)]
CHUNKS = [(str(chunk), chunk) for chunk in (8, 16, 32, 64)]


class Schedule(NamedTuple):
    """One selection in both orders: tiles of `tile` queries, items of at most `chunk` entries."""

    tile: int
    chunk: int
    selection: Int32[np.ndarray, "T k"]
    unions: list[Int[np.ndarray, " union"]]  # blocks that some query of a tile reads, ascending
    wanted: list[Bool[np.ndarray, "tile union"]]  # which of its queries want which of them
    readers: Int[np.ndarray, " nb"]  # length of each block's list
    item_blocks: Int[np.ndarray, " items"]
    item_sizes: Int[np.ndarray, " items"]
    query_major: float  # share of the rows of all tiles that do useful work
    block_major: float


class Prefill(NamedTuple):
    """The schedule of one kind of selection."""

    kind: str
    schedule: Schedule


def make_selection(
    kind: str,
    *,
    num_queries: int = QUERIES,
    num_blocks: int = NUM_BLOCKS,
    top_k: int = TOP_K,
    block_size: int = BLOCK_SIZE,
    seed: int = 0,
) -> Int32[np.ndarray, "T k"]:
    """A constructed selection of one group for the last `num_queries` tokens, local block forced.

    `rand` draws each query's other blocks independently; `corr` keeps the neighbour's and redraws
    an eighth of them; `sink` is `rand` with block 0 in every query's list.
    """
    rng = np.random.default_rng(seed)
    own = blocks.query_positions(num_queries, num_blocks * block_size) // block_size
    selection = np.full((num_queries, top_k), -1, dtype=np.int32)
    free = np.array([], dtype=int)
    for t, block in enumerate(own):
        forced = [0, block] if kind == "sink" else [block]
        kept = free[rng.random(len(free)) >= REDRAWN] if kind == "corr" else free[:0]
        others = np.setdiff1d(np.arange(block), forced)
        kept = np.intersect1d(kept, others)
        new = rng.permutation(np.setdiff1d(others, kept))
        free = np.concatenate([kept, new])[: top_k - len(np.unique(forced))]
        ids = np.union1d(forced, free)
        selection[t, : len(ids)] = ids
    return selection


def schedule(
    selection: Int32[np.ndarray, "T k"], num_blocks: int, *, tile: int, chunk: int
) -> Schedule:
    """Both orders of a selection, with tiles of so many queries and items of at most `chunk`."""
    rows = max(LEAST_ROWS, tile * GROUP_SIZE)
    unions, wanted = [], []
    for first in range(0, len(selection), tile):
        part = selection[first : first + tile]
        union = np.unique(part[part >= 0])
        unions.append(union)
        wanted.append((part[:, :, None] == union).any(axis=1))
    offsets, queries = blocks.invert_selection(selection, num_blocks)
    readers = np.diff(offsets)
    sizes, item_blocks = [], []
    for block, count in enumerate(readers):
        for start in range(0, count, chunk):
            item_blocks.append(block)
            sizes.append(min(chunk, count - start))
    item_sizes = np.array(sizes)
    useful = len(queries) * GROUP_SIZE
    walked = rows * sum(map(len, unions))
    tiled = rows * int((-(-item_sizes // tile)).sum())
    return Schedule(
        tile,
        chunk,
        selection,
        unions,
        wanted,
        readers,
        np.array(item_blocks),
        item_sizes,
        useful / walked,
        useful / tiled,
    )


def compute(*, kind: str, tile: int, chunk: int) -> Prefill:
    """Both orders of the explorer's selection of this kind."""
    return Prefill(kind, schedule(make_selection(kind), NUM_BLOCKS, tile=tile, chunk=chunk))


def union_rows(plan: Schedule, number: int) -> Bool[np.ndarray, "rows union"]:
    """True where a row of query-major tile `number` wants the block of that step."""
    wanted = np.repeat(plan.wanted[number], GROUP_SIZE, axis=0)
    return np.pad(wanted, ((0, max(0, LEAST_ROWS - len(wanted))), (0, 0)))


def item_rows(plan: Schedule) -> Bool[np.ndarray, "rows steps"]:
    """True where a row of a block-major tile holds a query that chose the block, tile by tile."""
    tile = plan.tile
    rows = np.arange(max(LEAST_ROWS, tile * GROUP_SIZE))
    queries = [
        min(tile, size - start) for size in plan.item_sizes for start in range(0, size, tile)
    ]
    return rows[:, None] < GROUP_SIZE * np.array(queries)


def describe(prefill: Prefill) -> str:
    """Shares of working rows in both orders, the union of one tile, and the items."""
    kind, plan = prefill
    tile, chunk = plan.tile, plan.chunk
    number = len(plan.unions) // 2
    queries = "1 query" if tile == 1 else f"{tile} queries"
    longest = plan.readers.argmax()
    pieces = int((plan.item_blocks == longest).sum())
    cut = "1 item" if pieces == 1 else f"{pieces} items"
    return (
        f"Selection {kind}, tiles of {queries} ({tile * GROUP_SIZE} rows, and the tensor cores "
        f"take at least {LEAST_ROWS}). Query-major: tile {number} walks {len(plan.unions[number])} "
        f"blocks for queries that want {TOP_K} each, and over all tiles {plan.query_major:.0%} of "
        f"the rows work. Block-major: {plan.block_major:.0%}. A chunk of {chunk} makes "
        f"{len(plan.item_sizes)} items; the longest list, block {longest} with "
        f"{plan.readers[longest]} readers, is cut into {cut}."
    )
