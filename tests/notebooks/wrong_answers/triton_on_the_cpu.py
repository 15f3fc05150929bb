"""Known wrong answers to the exercises of Triton in twenty minutes."""

from msa_course.setup import setup

setup(seed=0, interpret=True)

import triton  # noqa: E402
import triton.language as tl  # noqa: E402


@triton.jit
def stores_without_a_mask(x_ptr, y_ptr, out_ptr, N, WIDTH: tl.constexpr):
    at = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
    x = tl.load(x_ptr + at, mask=at < N)
    y = tl.load(y_ptr + at, mask=at < N)
    tl.store(out_ptr + at, x + y)


@triton.jit
def takes_one_element_too_many(x_ptr, y_ptr, out_ptr, N, WIDTH: tl.constexpr):
    at = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
    x = tl.load(x_ptr + at, mask=at <= N)
    y = tl.load(y_ptr + at, mask=at <= N)
    tl.store(out_ptr + at, x + y, mask=at <= N)


@triton.jit
def forgets_which_program_it_is(x_ptr, y_ptr, out_ptr, N, WIDTH: tl.constexpr):
    at = tl.arange(0, WIDTH)
    x = tl.load(x_ptr + at, mask=at < N)
    y = tl.load(y_ptr + at, mask=at < N)
    tl.store(out_ptr + at, x + y, mask=at < N)


@triton.jit
def steps_by_one_element(x_ptr, y_ptr, out_ptr, N, WIDTH: tl.constexpr):
    at = tl.program_id(0) + tl.arange(0, WIDTH)
    x = tl.load(x_ptr + at, mask=at < N)
    y = tl.load(y_ptr + at, mask=at < N)
    tl.store(out_ptr + at, x + y, mask=at < N)


@triton.jit
def masked_lanes_are_0(x_ptr, length_ptr, out_ptr, stride, WIDTH: tl.constexpr):
    row = tl.program_id(0)
    length = tl.load(length_ptr + row)
    best = tl.full([WIDTH], float("-inf"), tl.float32)
    for start in range(0, length, WIDTH):
        at = start + tl.arange(0, WIDTH)
        x = tl.load(x_ptr + row * stride + at, mask=at < length, other=0.0)
        best = tl.maximum(best, x)
    tl.store(out_ptr + row, tl.max(best, 0))


@triton.jit
def masks_with_the_stride(x_ptr, length_ptr, out_ptr, stride, WIDTH: tl.constexpr):
    row = tl.program_id(0)
    best = tl.full([WIDTH], float("-inf"), tl.float32)
    for start in range(0, stride, WIDTH):
        at = start + tl.arange(0, WIDTH)
        x = tl.load(x_ptr + row * stride + at, mask=at < stride, other=float("-inf"))
        best = tl.maximum(best, x)
    tl.store(out_ptr + row, tl.max(best, 0))


@triton.jit
def reads_one_tile_alone(x_ptr, length_ptr, out_ptr, stride, WIDTH: tl.constexpr):
    row = tl.program_id(0)
    length = tl.load(length_ptr + row)
    at = tl.arange(0, WIDTH)
    x = tl.load(x_ptr + row * stride + at, mask=at < length, other=float("-inf"))
    tl.store(out_ptr + row, tl.max(x, 0))


@triton.jit
def sees_the_future(score_ptr, out_ptr, T, S, BS: tl.constexpr):
    t = tl.program_id(0)
    block = tl.program_id(1)
    key = block * BS + tl.arange(0, BS)
    scores = tl.load(score_ptr + t * S + key, mask=key < S, other=float("-inf"))
    tl.store(out_ptr + t * tl.num_programs(1) + block, tl.max(scores, 0))


@triton.jit
def takes_the_row_for_the_position(score_ptr, out_ptr, T, S, BS: tl.constexpr):
    t = tl.program_id(0)
    block = tl.program_id(1)
    key = block * BS + tl.arange(0, BS)
    scores = tl.load(score_ptr + t * S + key, mask=key <= t, other=float("-inf"))
    tl.store(out_ptr + t * tl.num_programs(1) + block, tl.max(scores, 0))


@triton.jit
def hides_the_own_key(score_ptr, out_ptr, T, S, BS: tl.constexpr):
    t = tl.program_id(0)
    block = tl.program_id(1)
    key = block * BS + tl.arange(0, BS)
    scores = tl.load(score_ptr + t * S + key, mask=key < S - T + t, other=float("-inf"))
    tl.store(out_ptr + t * tl.num_programs(1) + block, tl.max(scores, 0))


@triton.jit
def hidden_keys_are_0(score_ptr, out_ptr, T, S, BS: tl.constexpr):
    t = tl.program_id(0)
    block = tl.program_id(1)
    key = block * BS + tl.arange(0, BS)
    scores = tl.load(score_ptr + t * S + key, mask=key <= S - T + t, other=0.0)
    tl.store(out_ptr + t * tl.num_programs(1) + block, tl.max(scores, 0))


WRONG = {
    "12.1": [
        (stores_without_a_mask, "writes outside its output"),
        (takes_one_element_too_many, "writes outside its output"),
        (forgets_which_program_it_is, "were never written"),
        (steps_by_one_element, "were never written"),
    ],
    "12.2": [
        (masked_lanes_are_0, "masked lanes must give -inf, not 0"),
        (masks_with_the_stride, "a lane read behind the row's end"),
        (reads_one_tile_alone, "loop over tiles"),
    ],
    "12.3": [
        (sees_the_future, "the score of a key in the future"),
        (takes_the_row_for_the_position, "query t stands at position S - T + t"),
        (hides_the_own_key, "at its own position, is visible"),
        (hidden_keys_are_0, "must give -inf, not 0"),
    ],
}
