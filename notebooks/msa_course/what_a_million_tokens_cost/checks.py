"""Checks of lesson 01: keys one query reads, bytes of a decode step, where MSA begins to win."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from msa_course.checking import exercise, expect
from msa_ref import M3, ModelSpec, MSAConfig, cost

SMALL = ModelSpec("small", 2, 0, 32, MSAConfig(4, 2, 8, 8, 4, 2), 4, 2, 8)
WIDE = ModelSpec("wide index", 2, 1, 64, MSAConfig(6, 3, 8, 16, 8, 3), 6, 3, 8)


@exercise("1.1")
def check_1_1(keys_read):
    """`keys_read(position, block_size, top_k)` counts what one query reads, its own token too."""
    for block_size, top_k in ((2, 2), (4, 1), (4, 3), (128, 16)):
        spec = replace(SMALL, attention=MSAConfig(4, 2, 8, 8, block_size, top_k))
        for position in (*range(4 * block_size), 20 * block_size, 20 * block_size + 1):
            got = keys_read(position, block_size, top_k)
            right = cost.selected_keys(spec, 1, position + 1)
            case = (
                f"position {position}, blocks of {block_size}, k = {top_k}: "
                f"got {got!r}, takes {right}"
            )
            if got == block_size * top_k > position + 1:
                case += "; not every query sees k whole blocks: its own one ends at the query"
            elif got == min(position + 1, block_size * top_k):
                case += "; the local block is one of the k and is read only up to the query"
            elif got == right - 1:
                case += "; a query reads its own token too"
            elif got == right + block_size:
                case += "; the local block counts inside k"
            expect(got == right, case)


@exercise("1.2")
def check_1_2(decode_ratio):
    """`decode_ratio(spec, context, index_bytes)` is dense bytes over MSA's, for one layer."""
    for spec in (WIDE, M3):
        for context in (1, 7, 100, 2048, 131_072):
            for index_bytes in (2, 1):
                _check_decode(decode_ratio(spec, context, index_bytes), spec, context, index_bytes)


def _check_decode(got, spec, context, index_bytes):
    token = 2 * spec.num_kv_heads * spec.head_dim * cost.BF16_BYTES
    dense = token * context
    main = token * cost.selected_keys(spec, 1, context)
    index = spec.attention.index_dim * index_bytes * context
    right = dense / (index + main)
    case = (
        f"{spec.name}, context {context}, index_bytes {index_bytes}: got {got!r}, takes {right:.4f}"
    )
    expect(np.size(got) == 1, case)
    if np.isclose(got, dense / main):
        case += "; the index keys are read as well, all of them"
    elif np.isclose(got, dense / (index * spec.num_kv_heads + main)):
        case += "; all groups share one index key, it is read once"
    elif np.isclose(got, dense / (index * 2 / index_bytes + main)):
        case += "; index_bytes was not used"
    elif np.isclose(got, (dense / 2) / (index + main / 2)):
        case += "; the main branch reads keys and values, that is twice"
    elif np.isclose(got, 1 / right):
        case += "; that is MSA over dense"
    expect(np.isclose(got, right), case)


@exercise("1.3")
def check_1_3(break_even):
    """`break_even(spec, formula)` is the smallest context whose prefill MSA makes cheaper."""
    for spec in (SMALL, WIDE, M3):
        exact = _first_cheaper(spec, "exact")
        for formula in ("exact", "paper"):
            got, right = break_even(spec, formula), _first_cheaper(spec, formula)
            case = f'{spec.name}, formula "{formula}": got {got!r}, takes {right}'
            if got == spec.attention.budget + 1:
                case += "; the index scan costs something too"
            elif formula == "paper" and got == exact:
                case += "; that is where the exact count breaks even: pass the formula on"
            elif got == right - 1:
                case += "; there dense is still as cheap: MSA must need fewer FLOPs"
            expect(got == right, case)


def _first_cheaper(spec, formula):
    dense = replace(spec, attention=None, dense_layers=spec.layers)
    context = 1
    while True:
        costs = [cost.prefill_flops(model, context, context, formula) for model in (spec, dense)]
        if costs[0].layer < costs[1].layer:
            return context
        context += 1
