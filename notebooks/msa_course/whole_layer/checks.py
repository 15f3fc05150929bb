"""Checks of the lesson on the whole layer: the cache's three lanes, and what tests a layer."""

from __future__ import annotations

import numpy as np

from msa_course.checking import exercise, expect
from msa_ref import MSAConfig, cache, layer

TOY = MSAConfig(2, 1, 4, 4, 4, 2)
ODD = MSAConfig(4, 2, 5, 3, 4, 2)
MOST_TOKENS, LANES = 300, {"k_pages": "keys", "v_pages": "values", "index_pages": "index keys"}


@exercise("append", none=True)
def check_append(append):
    """`append(cache, k, v, index_k)` stores the tokens in all three lanes, and returns nothing."""
    for batch, pieces in [(1, [1]), (1, [4]), (1, [3, 1]), (2, [9]), (2, [3, 6, 1]), (3, [5, 11])]:
        _check_append(append, batch, pieces)


def _check_append(append, batch, pieces):
    rng = np.random.default_rng(80)
    total = sum(pieces)
    got, right = (cache.PagedCache(ODD, batch=batch, capacity=total + 4) for _ in range(2))
    for count in pieces:
        k, v = rng.normal(size=(2, batch, 2, count, 5))
        index_k = rng.normal(size=(batch, 1, count, 3))
        append(got, k, v, index_k)
        right.append(k, v, index_k)
    case = f"{batch} sequence(s), {' then '.join(map(str, pieces))} tokens, blocks of 4: "
    expect(
        got.length == right.length,
        f"{case}cache.length is wrong, expected {right.length}, got {got.length}",
    )
    expect(
        np.array_equal(got.block_table, right.block_table),
        f"{case}block_table is wrong, expected {right.block_table.tolist()} (a fresh page per "
        f"sequence where a block begins), got {got.block_table.tolist()}",
    )
    for lane, name in LANES.items():
        for sequence, token in np.ndindex(batch, total):
            page, slot = right.block_table[sequence, token // 4], token % 4
            place = (page, slot) if lane == "index_pages" else (page, slice(None), slot)
            expected, found = (getattr(one, lane)[place] for one in (right, got))
            expect(
                np.array_equal(expected, found),
                f"{case}token {token} of sequence {sequence} is not in the lane of {name}: page "
                f"{page}, slot {slot}, expected {expected.ravel()[0]:.3f} first, "
                f"got {found.ravel()[0]:.3f}",
            )


@exercise("load_block")
def check_load_block(load_block):
    """`load_block(cache, sequence, group, block)` gives keys and values, `[n, d]` each."""
    rng = np.random.default_rng(81)
    for batch, tokens in [(1, 4), (1, 6), (2, 8), (3, 13)]:
        stored = cache.PagedCache(ODD, batch=batch, capacity=tokens)
        k, v = rng.normal(size=(2, batch, 2, tokens, 5))
        stored.append(k, v, rng.normal(size=(batch, 1, tokens, 3)))
        _shuffle(stored, rng)
        for sequence, group, block in np.ndindex(batch, 2, -(-tokens // 4)):
            case = (
                f"{batch} sequence(s) of {tokens} tokens in blocks of 4, sequence {sequence}, "
                f"group {group}, block {block}: "
            )
            got = load_block(stored, sequence, group, block)
            expect(len(got) == 2, f"{case}expected a pair (keys, values), got {len(got)} things")
            span = slice(4 * block, min(4 * block + 4, tokens))
            for name, array, lane in zip(("keys", "values"), (k, v), got):
                _check_lane(case, name, array[sequence, group, span], lane, k, stored, block)


def _check_lane(case, name, right, got, k, stored, block):
    got = np.asarray(got)
    hint = ""
    if got.shape == (4, 5) and len(right) < 4:
        hint = "; what lies behind the last stored token is cut off"
    expect(
        got.shape == right.shape,
        f"{case}{name}: expected shape {right.shape}, got {got.shape}{hint}",
    )
    if not np.array_equal(got, right):
        page = stored.k_pages if name == "keys" else stored.v_pages
        if any(np.array_equal(got, lane[: len(got)]) for lane in page[block]):
            hint = "; that is the page with the block's number, block_table says where it lives"
        elif any(np.array_equal(got, lane[: len(got)]) for p in page for lane in p):
            hint = "; that is another page of the pool, or another group's rows"
    expect(
        np.array_equal(got, right),
        f"{case}{name}: expected {right[0, 0]:.3f} first, got {got[0, 0]:.3f}{hint}",
    )


def _shuffle(stored, rng):
    """Move every page of a cache to another place of its pool."""
    order = np.roll(rng.permutation(len(stored.k_pages)), 1)
    for lane in LANES:
        pages = getattr(stored, lane)
        pages[order] = pages.copy()
    stored.block_table[:] = order[stored.block_table]


@exercise("to_halves")
def check_to_halves(to_halves):
    """`to_halves(x, rotary_dim)` puts neighbouring pairs into split halves."""
    for rotary_dim, head_dim in [(2, 2), (4, 4), (6, 6), (6, 8), (8, 16), (0, 4)]:
        x = np.arange(float(head_dim))
        got = np.asarray(to_halves(x, rotary_dim))
        order = np.arange(rotary_dim).reshape(-1, 2).T.ravel()
        right = np.append(order, np.arange(rotary_dim, head_dim))
        hint = ""
        if got.shape != x.shape:
            hint = "; every channel stays, in another place"
        elif not np.array_equal(got[rotary_dim:], x[rotary_dim:]):
            hint = "; channels that do not rotate stay where they are"
        elif np.array_equal(got, x):
            hint = "; neighbours are still neighbours"
        elif np.array_equal(got[:rotary_dim], np.arange(rotary_dim).reshape(2, -1).T.ravel()):
            hint = "; that is the way back, from halves to neighbours"
        expect(
            np.array_equal(got, right),
            f"{head_dim} channels, {rotary_dim} of them rotate: "
            f"expected the order {right}, got {got}{hint}",
        )
    _check_rotation(to_halves)


def _check_rotation(to_halves):
    rng = np.random.default_rng(82)
    x = rng.normal(size=(2, 3, 5, 16))
    cos, sin = layer.rotary_tables(np.arange(5), rotary_dim=12, theta=100.0)
    rotated = x.copy()
    even, odd = x[..., 0:12:2], x[..., 1:12:2]
    rotated[..., 0:12:2], rotated[..., 1:12:2] = even * cos - odd * sin, odd * cos + even * sin
    got = to_halves(x, 12)
    expect(got.shape == x.shape, f"x {x.shape}: expected the same shape, got {got.shape}")
    expect(
        np.allclose(layer.rotate(got, cos, sin), to_halves(rotated, 12)),
        f"x {x.shape}: expected that reordering and rotating may be swapped, got different arrays",
    )


@exercise("take_back", none=True)
def check_take_back(take_back):
    """`take_back(cache, count)` forgets the last tokens of every sequence, and returns nothing."""
    cases = [(1, 5, 0), (1, 5, 1), (1, 8, 1), (2, 10, 3), (3, 13, 9), (2, 9, 9)]
    for batch, stored, count in cases:
        _check_take_back(take_back, batch, stored, count)


def _check_take_back(take_back, batch, stored, count):
    rng = np.random.default_rng(83)
    tokens = [rng.normal(size=(batch, 1, stored + 6, 4)) for _ in range(3)]
    left = stored - count
    drafted, plain = (cache.PagedCache(TOY, batch=batch, capacity=stored + 6) for _ in range(2))
    drafted.append(*(x[:, :, :stored] for x in tokens))
    before = drafted.block_table.copy()
    take_back(drafted, count)

    case = f"{count} of {stored} tokens taken back, batch of {batch}, blocks of 4: "
    expect(drafted.length == left, f"{case}cache.length: expected {left}, got {drafted.length}")
    in_use = -(-left // 4)
    for sequence, row in enumerate(drafted.block_table):
        kept = np.array_equal(row[:in_use], before[sequence, :in_use])
        where = f"{case}sequence {sequence}'s row of block_table: "
        expect(
            kept,
            f"{where}expected {before[sequence, :in_use]} first, got {row[:in_use]}; a block that "
            "still holds a token keeps its page",
        )
        expect(
            np.all(row[in_use:] == -1),
            f"{where}expected -1 from block {in_use} on, got {row[in_use:]}; pages of empty blocks "
            "are free again",
        )

    new = [x[:, :, left:][:, :, ::-1][:, :, :6] for x in tokens]
    drafted.append(*new)
    if left:
        plain.append(*(x[:, :, :left] for x in tokens))
    plain.append(*new)
    q, index_q = rng.normal(size=(batch, 2, 1, 4)), rng.normal(size=(batch, 1, 1, 4))
    got, right = (cache.attention(q, index_q, one).out for one in (drafted, plain))
    expect(
        np.array_equal(got, right),
        f"{case}after six more tokens expected the output of a cache that never had the draft, "
        f"got one that differs by {abs(got - right).max():.3f}",
    )


@exercise("revealing_sizes")
def check_revealing_sizes(revealing_sizes):
    """`revealing_sizes()` gives (config, batch, tokens), sizes at which mistakes show."""
    config, batch, tokens = revealing_sizes()
    expect(
        isinstance(config, MSAConfig),
        f"expected an MSAConfig first, got {type(config).__name__}",
    )
    for name, value in (("batch", batch), ("tokens", tokens)):
        expect(
            isinstance(value, int | np.integer) and value > 0,
            f"{name}: expected a whole number from 1, got {value!r}",
        )
    expect(batch >= 2, f"batch: expected 2 or more, got {batch}; one sequence cannot be mixed up")
    expect(
        config.num_kv_heads >= 2 and config.group_size >= 2,
        f"expected 2 KV heads or more, each with 2 query heads or more, got {config.num_kv_heads} "
        f"with {config.group_size}",
    )
    expect(
        tokens > config.budget,
        f"tokens: expected more than k · bs = {config.budget}, got {tokens}; all blocks are "
        "chosen, so the index keys do not matter",
    )
    size = config.block_size
    expect(
        size > 1 and tokens % size != 0,
        f"tokens: expected a partial last block, got {tokens} in blocks of {size}",
    )
    expect(tokens <= MOST_TOKENS, f"tokens: expected at most {MOST_TOKENS}, got {tokens}")
    sizes = {
        "batch": batch,
        "tokens": tokens,
        "num_heads": config.num_heads,
        "num_kv_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "index_dim": config.index_dim,
        "block_size": config.block_size,
        "top_k": config.top_k,
    }
    names = list(sizes)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            expect(
                sizes[one] != sizes[other],
                f"{one} and {other}: expected two numbers, got {sizes[one]} for both; two axes of "
                "one length can be swapped unseen",
            )
