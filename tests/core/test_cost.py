"""Closed-form costs: the paper's figures, and counts by loop at small sizes."""

import dataclasses
from collections import Counter

import pytest

from msa_ref import M2, M3, MSA_109B, ModelSpec, MSAConfig, cost

MILLION = 2**20
PAPER = dataclasses.replace(MSA_109B, name="every layer the same")
DENSE = dataclasses.replace(PAPER, dense_layers=41, attention=None)
SMALL = ModelSpec("small", 5, 2, 10, MSAConfig(6, 2, 8, 7, 5, 3), 6, 2, 8)


def speedup(context, formula="exact"):
    dense = cost.prefill_flops(DENSE, context, context, formula)
    return dense.layer / cost.prefill_flops(PAPER, context, context, formula).layer


def break_even(formula):
    return next(n for n in range(2048, 8192) if speedup(n, formula) > 1)


def test_paper_formula_at_a_million_tokens():
    assert speedup(MILLION, "paper") == pytest.approx(28.44, abs=0.005)
    assert speedup(MILLION, "exact") == pytest.approx(28.55, abs=0.005)


@pytest.mark.parametrize("context", [1024, 8192, 131072, MILLION])
def test_paper_formula_in_closed_form(context):
    assert speedup(context, "paper") == pytest.approx(32 / (1 + 131072 / context), rel=1e-12)


def test_speedup_at_eight_thousand_tokens():
    assert speedup(8192, "exact") == pytest.approx(2.19, abs=0.005)
    assert speedup(8192, "paper") == pytest.approx(1.88, abs=0.005)


def test_break_even():
    assert break_even("exact") == pytest.approx(2400, abs=50)
    assert break_even("paper") == pytest.approx(4200, abs=50)


def test_index_and_main_branch_cost_the_same_at_131072_tokens():
    total = cost.prefill_flops(PAPER, 131072, 131072, "paper").layer
    narrow = dataclasses.replace(PAPER.attention, index_dim=64)
    without = dataclasses.replace(PAPER, attention=narrow)
    half_an_index = total - cost.prefill_flops(without, 131072, 131072, "paper").layer
    assert 2 * half_an_index == total / 2


def test_bytes_at_decode():
    dense = cost.decode_bytes(DENSE, MILLION).layer
    assert dense == 2048 * MILLION
    assert cost.decode_bytes(PAPER, MILLION).layer == 256 * MILLION + 2048 * 2048
    assert dense / cost.decode_bytes(PAPER, MILLION).layer == pytest.approx(7.88, abs=0.005)
    one_byte = cost.decode_bytes(PAPER, MILLION, index_bytes=1).layer
    assert dense / one_byte == pytest.approx(15.5, abs=0.05)


def test_decode_of_m3_against_m2():
    ratio = cost.decode_bytes(M2, MILLION).layer / cost.decode_bytes(M3, MILLION).layer
    assert ratio == pytest.approx(15.75, abs=0.01)
    prefill = [cost.prefill_flops(spec, MILLION, MILLION).layer for spec in (M2, DENSE)]
    assert prefill[0] / prefill[1] == 0.75


def test_cache_per_token():
    assert cost.cache_bytes_per_token(M3) == (2304, 3 * 2048 + 57 * 2304)
    assert cost.cache_bytes_per_token(M3).model == 137_472
    assert cost.cache_bytes_per_token(DENSE).layer == 2048
    assert cost.cache_bytes_per_token(M2) == (4096, 253_952)


def pairs(spec, new_tokens, context):
    """Visible and selected (query, key) pairs, counted one by one."""
    block_size, top_k = spec.attention.block_size, spec.attention.top_k
    visible = selected = 0
    for position in range(context - new_tokens, context):
        own = position // block_size
        chosen = range(max(0, own - top_k + 1), own + 1)
        for key in range(position + 1):
            visible += 1
            selected += key // block_size in chosen
    return visible, selected


SPANS = [(1, 1), (1, 40), (40, 40), (7, 23), (16, 16), (5, 15), (6, 16)]


@pytest.mark.parametrize(("new_tokens", "context"), SPANS)
def test_exact_counts_equal_a_count_one_by_one(new_tokens, context):
    visible, selected = pairs(SMALL, new_tokens, context)
    assert cost.visible_keys(new_tokens, context) == visible
    assert cost.selected_keys(SMALL, new_tokens, context) == selected
    dense, index, main = 4 * 6 * 8 * visible, 2 * 2 * 7 * visible, 4 * 6 * 8 * selected
    got = cost.prefill_flops(SMALL, new_tokens, context)
    assert got == (index + main, 2 * dense + 3 * (index + main))


def test_visible_keys_are_exact_beyond_a_floats_integers():
    assert cost.visible_keys(2**30 + 1, 2**30 + 1) == (2**30 + 1) * (2**29 + 1)


def test_decode_is_a_prefill_of_one_token():
    assert cost.decode_flops(SMALL, 40) == cost.prefill_flops(SMALL, 1, 40)
    assert cost.decode_flops(M2, 40) == (4 * 48 * 128 * 40, 62 * 4 * 48 * 128 * 40)


def test_paper_formula_of_a_chunk_is_the_difference_of_two_squares():
    whole, before = (cost.prefill_flops(M2, n, n, "paper").layer for n in (900, 700))
    assert cost.prefill_flops(M2, 200, 900, "paper").layer == whole - before


def test_paper_formula_charges_every_query_the_whole_budget():
    got = cost.prefill_flops(SMALL, 4, 10, "paper").layer
    assert got == 2 * 2 * 7 * (4 * 10 - 8) + 4 * 6 * 8 * 4 * 15


def test_decode_bytes_count_the_index_keys_and_the_selected_blocks():
    kv = 2 * 2 * 8 * 2
    assert cost.decode_bytes(SMALL, 23).layer == 7 * 2 * 23 + kv * 13
    assert cost.decode_bytes(SMALL, 23).model == 2 * kv * 23 + 3 * (7 * 2 * 23 + kv * 13)
    assert cost.decode_bytes(SMALL, 3).layer == 7 * 2 * 3 + kv * 3
    assert cost.decode_bytes(SMALL, 23, batch=4).layer == 4 * cost.decode_bytes(SMALL, 23).layer
    assert cost.decode_bytes(SMALL, 23, batch=4).model == 4 * cost.decode_bytes(SMALL, 23).model
    assert cost.decode_bytes(M2, 23, batch=4) == (4 * 4096 * 23, 62 * 4 * 4096 * 23)


def test_prefill_bytes_move_every_array_once():
    queries_and_outputs, keys_and_values = 2 * 6 * 8 * 2 * 4, 2 * 2 * 8 * 2 * 10
    index = 2 * 7 * 2 * 4 + 7 * 2 * 10
    dense = queries_and_outputs + keys_and_values
    assert cost.prefill_bytes(SMALL, 4, 10) == (dense + index, 2 * dense + 3 * (dense + index))
    assert cost.prefill_bytes(M2, 4, 10).layer == 2 * 48 * 128 * 2 * 4 + 4096 * 10


# Long against its block, so that the paper's half square is close to a count; every term weighs.
LONG = ModelSpec("long", 3, 1, 10, MSAConfig(6, 3, 8, 14, 2, 5), 6, 3, 8)
NEW, CONTEXT = 200, 600


def count_pieces(spec, new_tokens, context, *, index_bytes=2, partials=None, partial_bytes=2):
    """FLOPs of MSA's pieces and bytes of the arrays each moves, entry by entry."""
    config = spec.attention
    flops, moved = Counter(), Counter()

    def compute(piece, multiply_adds):
        flops[piece] += 2 * multiply_adds

    def move(piece, array, channels, width):
        moved[piece, array] += channels * width

    for _ in range(context):
        move("score", "index keys", config.index_dim, index_bytes)
        for _ in range(spec.num_kv_heads):
            move("attend", "keys", spec.head_dim, 2)
            move("attend", "values", spec.head_dim, 2)
    for position in range(context - new_tokens, context):
        for _ in range(spec.num_kv_heads):
            move("score", "index queries", config.index_dim, 2)
            for _ in range(position + 1):
                compute("score", config.index_dim)
            for _ in range(0, position + 1, 16 * config.block_size):
                move("score", "maxima written", 1, 4)
                move("select", "maxima read", 1, 4)
            for _ in range(config.top_k):
                move("select", "ids written", 1, 4)
                move("plan", "ids read", 1, 4)
                move("plan", "queries of each block", 1, 4)
                move("plan", "places in those lists", 1, 4)
        for _ in range(spec.num_heads):
            move("attend", "queries", spec.head_dim, 2)
            move("attend", "outputs", spec.head_dim, 2)
            move("combine", "outputs", spec.head_dim, 2)
            for _ in range(partials or config.top_k):
                move("combine", "partial outputs", spec.head_dim, partial_bytes)
            for _ in range(config.top_k * config.block_size):
                compute("attend", spec.head_dim)  # a score
                compute("attend", spec.head_dim)  # a weighted value
    return flops, moved


def test_pieces_of_a_prefill_equal_a_count_one_by_one():
    flops, moved = count_pieces(LONG, NEW, CONTEXT)
    got = cost.prefill_pieces(LONG, NEW, CONTEXT)
    assert list(got) == ["total", "score", "select", "plan", "attend", "combine"]
    for piece in list(got)[1:]:
        num_bytes = sum(count for (where, _), count in moved.items() if where == piece)
        # The half square leaves out half a key a query, and half of the last 16 blocks.
        assert got[piece].flops == pytest.approx(flops[piece], rel=2e-3), piece
        assert got[piece].bytes == pytest.approx(num_bytes, rel=4e-2), piece
    assert got["total"].flops == got["score"].flops + got["attend"].flops
    assert got["total"].flops == cost.prefill_flops(LONG, NEW, CONTEXT, "paper").layer
    assert got["total"].bytes == cost.prefill_bytes(LONG, NEW, CONTEXT).layer


@pytest.mark.parametrize(("batch", "index_bytes", "splits"), [(1, 2, 1), (3, 1, 4), (5, 0.5, 2)])
def test_pieces_of_a_decode_step_equal_a_count_one_by_one(batch, index_bytes, splits):
    sizes = {"index_bytes": index_bytes, "partials": splits, "partial_bytes": 4}
    flops, moved = count_pieces(LONG, 1, CONTEXT, **sizes)
    got = cost.decode_pieces(LONG, CONTEXT, batch, index_bytes, splits)
    assert list(got) == ["total", "score", "select", "attend", "combine"]
    for piece in list(got)[1:]:
        assert got[piece].flops == pytest.approx(batch * flops[piece], rel=2e-3)
    for piece in ("select", "combine"):
        num_bytes = sum(count for (where, _), count in moved.items() if where == piece)
        assert got[piece].bytes == pytest.approx(batch * num_bytes, rel=4e-2)
    # Bytes of the cache alone; the token stands second in its block, so five whole ones are read.
    assert got["score"].bytes == batch * moved["score", "index keys"]
    keys_and_values = moved["attend", "keys"] + moved["attend", "values"]
    assert got["attend"].bytes == batch * keys_and_values * 5 * 2 / CONTEXT
    assert got["total"].flops == got["score"].flops + got["attend"].flops
    assert got["total"].bytes == got["score"].bytes + got["attend"].bytes


def test_decode_pieces_are_of_one_sequence_in_bf16_and_one_split_unless_said():
    assert cost.decode_pieces(LONG, CONTEXT) == cost.decode_pieces(LONG, CONTEXT, 1, 2, 1)


def test_a_dense_layer_is_one_piece():
    dense = cost.dense_model(LONG)
    assert (dense.attention, dense.dense_layers, dense.layers) == (None, 3, 3)
    assert dataclasses.replace(dense, attention=LONG.attention, dense_layers=1) == LONG
    queries_and_outputs, keys_and_values = 2 * 6 * 8 * 2 * NEW, 2 * 3 * 8 * 2 * CONTEXT
    flops = 4 * 6 * 8 * (NEW * CONTEXT - NEW**2 / 2)
    want = {"total": (flops, queries_and_outputs + keys_and_values)}
    assert cost.prefill_pieces(dense, NEW, CONTEXT) == want
    assert cost.decode_pieces(dense, CONTEXT, 3) == {
        "total": (3 * 4 * 6 * 8 * (CONTEXT - 0.5), 3 * 2 * 3 * 8 * 2 * CONTEXT)
    }


def test_roofline_is_the_longer_of_computing_and_moving():
    machine = cost.Machine("toy", peak_flops=100.0, bandwidth=10.0)
    assert cost.roofline_seconds(500.0, 10.0, machine) == 5
    assert cost.roofline_seconds(50.0, 20.0, machine) == 2
    assert (cost.H100.peak_flops, cost.H100.bandwidth) == (989e12, 3.35e12)


@pytest.mark.without_shapes
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: cost.prefill_flops(M3, 5, 4), ValueError, "new_tokens: got 5, takes at most"),
        (lambda: cost.prefill_flops(M3, 0, 4), ValueError, "new_tokens: got 0, takes an integer"),
        (lambda: cost.prefill_flops(M3, 2.0, 4), TypeError, "new_tokens: got 2.0, takes an int"),
        (lambda: cost.prefill_flops(M3, 4, 4, "half"), ValueError, "formula: got 'half', takes"),
        (lambda: cost.prefill_flops(M3.attention, 4, 4), TypeError, "spec: got MSAConfig, takes"),
        (lambda: cost.selected_keys(M2, 4, 4), ValueError, "spec: got MiniMax-M2, all dense"),
        (lambda: cost.selected_keys(None, 4, 4), TypeError, "spec: got NoneType, takes"),
        (lambda: cost.visible_keys(3, 2), ValueError, "new_tokens: got 3, takes at most"),
        (lambda: cost.decode_flops(M3, 0), ValueError, "context: got 0, takes an integer"),
        (lambda: cost.decode_bytes(M3, 0), ValueError, "context: got 0, takes an integer"),
        (lambda: cost.decode_bytes(M3, 4, batch=0), ValueError, "batch: got 0, takes"),
        (lambda: cost.decode_bytes(M3, 4, index_bytes=-1), ValueError, "index_bytes: got -1"),
        (lambda: cost.decode_bytes("M3", 4), TypeError, "spec: got str, takes"),
        (lambda: cost.prefill_bytes("M3", 4, 4), TypeError, "spec: got str, takes"),
        (lambda: cost.prefill_bytes(M3, 5, 4), ValueError, "new_tokens: got 5, takes at most"),
        (lambda: cost.prefill_pieces(M3, 5, 4), ValueError, "new_tokens: got 5, takes at most"),
        (lambda: cost.decode_pieces(M3, 0), ValueError, "context: got 0, takes an integer"),
        (lambda: cost.decode_pieces(M3, 4, 0), ValueError, "batch: got 0, takes"),
        (lambda: cost.dense_model("M3"), TypeError, "spec: got str, takes"),
        (lambda: cost.cache_bytes_per_token(64), TypeError, "spec: got int, takes"),
    ],
)
def test_impossible_costs_are_refused(call, error, message):
    with pytest.raises(error, match=f"^{message}"):
        call()
