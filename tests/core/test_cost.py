"""Closed-form costs: the paper's figures, and counts by loop at small sizes."""

import dataclasses

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


def test_roofline_is_the_longer_of_computing_and_moving():
    machine = cost.Machine("toy", peak_flops=100.0, bandwidth=10.0)
    assert cost.roofline_seconds(500.0, 10.0, machine) == 5
    assert cost.roofline_seconds(50.0, 20.0, machine) == 2
    assert (cost.H100.peak_flops, cost.H100.bandwidth) == (989e12, 3.35e12)


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
        (lambda: cost.cache_bytes_per_token(64), TypeError, "spec: got int, takes"),
    ],
)
def test_impossible_costs_are_refused(call, error, message):
    with pytest.raises(error, match=f"^{message}"):
        call()
