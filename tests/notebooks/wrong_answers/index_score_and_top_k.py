"""Known wrong answers to the exercises of Index score and top-16."""

from msa_course.setup import setup

setup(seed=0, interpret=True)

import triton  # noqa: E402
import triton.language as tl  # noqa: E402


def forgets_the_first_round(num_blocks, top_k, group_size):
    return min(top_k * group_size, num_blocks)


def forgets_the_ragged_group(num_blocks, top_k, group_size):
    return num_blocks // group_size + min(top_k * group_size, num_blocks)


def reads_more_blocks_than_there_are(num_blocks, top_k, group_size):
    return -(-num_blocks // group_size) + top_k * group_size


@triton.jit
def packs_raw_bits(score_ptr, packed_ptr, N, WIDTH: tl.constexpr):
    block = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
    score = tl.load(score_ptr + block, mask=block < N, other=0.0)
    high = score.to(tl.int32, bitcast=True).to(tl.int64) * 4294967296
    tl.store(packed_ptr + block, high - block, mask=block < N)


@triton.jit
def prefers_the_higher_id(score_ptr, packed_ptr, N, WIDTH: tl.constexpr):
    block = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
    score = tl.load(score_ptr + block, mask=block < N, other=0.0)
    bits = score.to(tl.int32, bitcast=True)
    order = tl.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    tl.store(packed_ptr + block, order.to(tl.int64) * 4294967296 + block, mask=block < N)


@triton.jit
def leaves_the_id_out(score_ptr, packed_ptr, N, WIDTH: tl.constexpr):
    block = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
    score = tl.load(score_ptr + block, mask=block < N, other=0.0)
    bits = score.to(tl.int32, bitcast=True)
    order = tl.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    tl.store(packed_ptr + block, order.to(tl.int64), mask=block < N)


@triton.jit
def takes_blocks_for_pages(
    q_ptr, pages_ptr, table_ptr, out_ptr, length,
    HKV: tl.constexpr, DI: tl.constexpr, BS: tl.constexpr,
):  # fmt: skip
    block = tl.program_id(0)
    head, channel, token = tl.arange(0, HKV), tl.arange(0, DI), tl.arange(0, BS)
    q = tl.load(q_ptr + head[:, None] * DI + channel[None, :])
    k = tl.load(pages_ptr + (block * BS + token[None, :]) * DI + channel[:, None])
    s = tl.dot(q, k, input_precision="ieee") * DI**-0.5
    s = tl.where(block * BS + token[None, :] < length, s, float("-inf"))
    tl.store(out_ptr + head * tl.num_programs(0) + block, tl.max(s, 1))


@triton.jit
def reads_the_pages_tail(
    q_ptr, pages_ptr, table_ptr, out_ptr, length,
    HKV: tl.constexpr, DI: tl.constexpr, BS: tl.constexpr,
):  # fmt: skip
    block = tl.program_id(0)
    page = tl.load(table_ptr + block)
    head, channel, token = tl.arange(0, HKV), tl.arange(0, DI), tl.arange(0, BS)
    q = tl.load(q_ptr + head[:, None] * DI + channel[None, :])
    k = tl.load(pages_ptr + (page * BS + token[None, :]) * DI + channel[:, None])
    s = tl.dot(q, k, input_precision="ieee") * DI**-0.5
    tl.store(out_ptr + head * tl.num_programs(0) + block, tl.max(s, 1))


@triton.jit
def hides_the_tail_with_0(
    q_ptr, pages_ptr, table_ptr, out_ptr, length,
    HKV: tl.constexpr, DI: tl.constexpr, BS: tl.constexpr,
):  # fmt: skip
    block = tl.program_id(0)
    page = tl.load(table_ptr + block)
    head, channel, token = tl.arange(0, HKV), tl.arange(0, DI), tl.arange(0, BS)
    live = block * BS + token[None, :] < length
    q = tl.load(q_ptr + head[:, None] * DI + channel[None, :])
    k = tl.load(pages_ptr + (page * BS + token[None, :]) * DI + channel[:, None])
    s = tl.dot(q, k, input_precision="ieee") * DI**-0.5
    tl.store(out_ptr + head * tl.num_programs(0) + block, tl.max(tl.where(live, s, 0.0), 1))


WRONG = {
    "13.1": [
        (forgets_the_first_round, "round 1 reads a maximum of every group too"),
        (forgets_the_ragged_group, "the last, smaller group has a maximum as well"),
        (reads_more_blocks_than_there_are, "blocks to read in round 2"),
    ],
    "13.2": [
        (packs_raw_bits, "negative scores are reversed"),
        (prefers_the_higher_id, "ties go to the lower id"),
        (leaves_the_id_out, "the id must be in it"),
    ],
    "13.3": [
        (takes_blocks_for_pages, "read pages through the table"),
        (reads_the_pages_tail, "hide tokens from `length` on"),
        (hides_the_tail_with_0, "must give -inf, not 0"),
    ],
}
