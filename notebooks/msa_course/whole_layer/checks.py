"""Checks of lesson 08: a token's address, another pairing, tokens taken back."""

from __future__ import annotations

import numpy as np

from msa_course.checking import exercise, expect
from msa_ref import MSAConfig, cache, layer

TOY = MSAConfig(2, 1, 4, 4, 4, 2)


@exercise("8.1")
def check_8_1(address):
    """`address(block_table, sequence, position, block_size)` is the token's (page, slot)."""
    rng = np.random.default_rng(81)
    for batch, num_blocks, block_size in [(1, 2, 3), (2, 3, 2), (3, 4, 5)]:
        table = rng.permutation(batch * num_blocks).reshape(batch, num_blocks).astype(np.int32)
        table = table[:, ::-1] + 7  # no page has its block's number
        for sequence, position in np.ndindex(batch, num_blocks * block_size):
            block, slot = divmod(position, block_size)
            right = int(table[sequence, block]), slot
            got = address(table, sequence, position, block_size)
            case = f"token {position} of sequence {sequence}, blocks of {block_size}: "
            expect(np.shape(got) == (2,), f"{case}got {got}, takes two numbers, (page, slot)")
            got = tuple(int(number) for number in got)
            case += f"got {got}, "
            hint = f"takes {right}"
            if got == (block, slot):
                hint += f"; {block} is the block, block_table says in which page it lives"
            elif got == right[::-1]:
                hint += "; the page comes first, then the slot"
            elif got == (table[0, block], slot):
                hint += f"; that is sequence 0's page, sequence {sequence} has its own row"
            elif got[0] == right[0]:
                hint += "; the slot is counted from the page's first token"
            expect(got == right, case + hint)


@exercise("8.2")
def check_8_2(to_halves):
    """`to_halves(x, rotary_dim)` puts neighbouring pairs into split halves."""
    for rotary_dim, head_dim in [(2, 2), (4, 4), (6, 6), (6, 8), (8, 16), (0, 4)]:
        x = np.arange(float(head_dim))
        got = np.asarray(to_halves(x, rotary_dim))
        case = f"{head_dim} channels, {rotary_dim} of them turn: got the order {got}, "
        order = np.arange(rotary_dim).reshape(-1, 2).T.ravel()
        right = np.append(order, np.arange(rotary_dim, head_dim))
        hint = f"takes {right}"
        if got.shape != x.shape:
            hint += "; every channel stays, in another place"
        elif not np.array_equal(got[rotary_dim:], x[rotary_dim:]):
            hint += "; channels that do not turn stay where they are"
        elif np.array_equal(got, x):
            hint += "; neighbours are still neighbours"
        elif np.array_equal(got[:rotary_dim], np.arange(rotary_dim).reshape(2, -1).T.ravel()):
            hint += "; that is the way back, from halves to neighbours"
        expect(np.array_equal(got, right), case + hint)
    _check_turn(to_halves)


def _check_turn(to_halves):
    rng = np.random.default_rng(82)
    x = rng.normal(size=(2, 3, 5, 16))
    cos, sin = layer.rotary_tables(np.arange(5), rotary_dim=12, theta=100.0)
    turned = x.copy()
    even, odd = x[..., 0:12:2], x[..., 1:12:2]
    turned[..., 0:12:2], turned[..., 1:12:2] = even * cos - odd * sin, odd * cos + even * sin
    got = to_halves(x, 12)
    expect(got.shape == x.shape, f"x {x.shape}: got shape {got.shape}; the last axis is reordered")
    expect(
        np.allclose(layer.rotate(got, cos, sin), to_halves(turned, 12)),
        f"x {x.shape}: turning after the reordering differs from reordering after the turn",
    )


@exercise("8.3", none=True)
def check_8_3(take_back):
    """`take_back(cache, count)` forgets the last tokens of every sequence."""
    for batch, stored, count in [
        (1, 5, 0),
        (1, 5, 1),
        (1, 8, 1),
        (2, 10, 3),
        (3, 13, 9),
        (2, 9, 9),
    ]:
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
    expect(drafted.length == left, f"{case}cache.length is {drafted.length}, takes {left}")
    in_use = -(-left // 4)
    for sequence, row in enumerate(drafted.block_table):
        kept = np.array_equal(row[:in_use], before[sequence, :in_use])
        where = f"{case}sequence {sequence}'s row of block_table is {row}; "
        expect(kept, f"{where}a block that still holds a token keeps its page")
        expect(
            np.all(row[in_use:] == -1), f"{where}pages of empty blocks are free again, marked -1"
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
        f"{case}after six more tokens the output is not that of a cache that never had the draft",
    )
