"""Checks of Measured: a bound from bytes, a ratio from rows, where the scan takes half."""

from __future__ import annotations

import itertools

import numpy as np

from msa_course.checking import exercise, expect
from msa_ref import M3, cost

PHASES = {"prefill": ("corr", 8192), "decode": (None, 1)}
# (contexts, scan, total, where the scan takes half)
CURVES = (
    ([1024, 4096], [1.0, 3.0], [4.0, 4.0], 2048.0),
    ([1024, 2048, 8192], [1.0, 2.0, 6.0], [4.0, 8.0, 8.0], 4096.0),
    ([8192, 16384, 65536], [1.0, 5.0, 9.0], [4.0, 10.0, 12.0], 16384.0),
    ([1024, 2048], [3.0, 5.0], [4.0, 6.0], 1024.0),
    ([1024, 65536], [1.0, 2.0], [9.0, 9.0], None),
)


@exercise("16.1")
def check_16_1(decode_bound_us):
    """`decode_bound_us(batch, context, index_bytes, bandwidth)`: least time of a decode step."""
    for batch, context, index_bytes, bandwidth in itertools.product(
        (1, 8), (2048, 32_768, 2**20), (2, 1), (3.03e12, 2e12)
    ):
        got = decode_bound_us(batch, context, index_bytes, bandwidth)
        seconds = cost.decode_bytes(M3, context, batch, index_bytes).layer / bandwidth
        right = 1e6 * seconds
        case = (
            f"batch {batch}, context {context}, index_bytes {index_bytes}, "
            f"bandwidth {bandwidth:.3g}: got {got!r}, takes {right:.4f}"
        )
        expect(np.size(got) == 1, case)
        index = 1e6 * batch * M3.attention.index_dim * index_bytes * context / bandwidth
        if np.isclose(got, right - index):
            case += "; the index keys are read as well, all of them"
        elif np.isclose(got, right + (M3.num_kv_heads - 1) * index):
            case += "; all groups share one index key"
        elif np.isclose(got, (right + index) / 2):
            case += "; what is chosen has keys and values, not keys alone"
        elif np.isclose(got, right / batch):
            case += "; every sequence of the batch has a cache of its own"
        elif np.isclose(got * 1000, right) or np.isclose(got * 1e6, right):
            case += "; the answer is in microseconds"
        expect(bool(np.isclose(got, right)), case)


@exercise("16.2", none=True)
def check_16_2(times_faster):
    """`times_faster(rows, phase, batch, context, shape)`: best dense over MSA, or None."""
    rows = list(_made_up_rows())
    for phase, shape, context in itertools.product(PHASES, ("M3", "M2"), (32_768, 2**20)):
        got = times_faster(rows, phase, 1, context, shape)
        dense = _dense_times(rows, phase, context, shape)
        (sparse,) = (row["ms"] for row in rows if _is_total(row, phase, context))
        right = min(dense.values()) / sparse
        case = f"{phase}, context {context}, shape {shape}: got {got!r}, takes {right:.4f}"
        expect(got is not None and np.size(got) == 1, case)
        others = [_dense_times(rows, phase, context, other) for other in ("M3", "M2")]
        if np.isclose(got, 1 / right):
            case += "; that is MSA over dense"
        elif any(
            np.isclose(got, ms / sparse) for ms in list(dense.values()) if ms > right * sparse
        ):
            case += "; the yardstick is the fastest dense kernel"
        elif np.isclose(got, min(min(times.values()) for times in others) / sparse):
            case += "; compare with dense attention of the shape asked for"
        elif any(
            np.isclose(got, right * sparse / row["ms"])
            for row in rows
            if row["impl"] == "msa" and row["phase"] == phase and row["context"] == context
        ):
            case += "; MSA's time is the row of its total, bf16, of neighbours that agree"
        expect(bool(np.isclose(got, right)), case)
    got = times_faster(rows, "decode", 8, 32_768, "M3")
    expect(got is None, f"no row of dense attention at batch 8: got {got!r}, takes None")


def _is_total(row, phase, context):
    return (row["impl"], row["piece"], row["index_dtype"], row["selection"], row["phase"]) == (
        "msa", "total", "bf16", PHASES[phase][0], phase,
    ) and (row["batch"], row["context"]) == (1, context)  # fmt: skip


def _dense_times(rows, phase, context, shape):
    return {
        row["impl"]: row["ms"]
        for row in rows
        if row["impl"] != "msa"
        and (row["phase"], row["context"], row["shape"]) == (phase, context, shape)
    }


def _made_up_rows():
    """Rows as a record has them, of invented times, no two alike; the fastest is not the first."""
    rng = np.random.default_rng(14)
    for phase, (selection, new_tokens) in PHASES.items():
        for context in (32_768, 2**20):
            key = {"phase": phase, "batch": 1, "new_tokens": new_tokens, "context": context}
            blank = key | {"selection": None, "index_dtype": "bf16", "piece": "total"}
            for shape, base in (("M2", 30.0), ("M3", 20.0)):
                for impl, slow in (("flash", 4.0), ("fa3", 2.0), ("cudnn", 2.5)):
                    ms = base * slow * (1 + 0.1 * rng.random())
                    # cuDNN is the fastest in decode here, so no kernel's name may be relied on
                    ms *= 0.5 if (phase, impl) == ("decode", "cudnn") else 1
                    yield blank | {"shape": shape, "impl": impl, "ms": ms}
            kinds = [(selection, "bf16", "score", 1.0), (selection, "bf16", "total", 5.0)]
            kinds += [("rand", "bf16", "total", 7.0)] if phase == "prefill" else []
            kinds += [(None, "fp8", "total", 3.0)] if phase == "decode" else []
            for chosen, dtype, piece, base in kinds:
                row = {"selection": chosen, "index_dtype": dtype, "piece": piece, "shape": "M3"}
                yield key | row | {"impl": "msa", "ms": base * (1 + 0.1 * rng.random())}
    yield {
        "phase": "decode", "batch": 8, "new_tokens": 1, "context": 32_768, "selection": None,
        "index_dtype": "bf16", "piece": "total", "shape": "M3", "impl": "msa", "ms": 6.0,
    }  # fmt: skip


@exercise("16.3", none=True)
def check_16_3(half_scan):
    """`half_scan(contexts, scan_ms, total_ms)`: where the scan takes half, None if nowhere."""
    for contexts, scan, total, right in CURVES:
        got = half_scan(contexts, scan, total)
        shares = np.divide(scan, total)
        case = (
            f"contexts {contexts}, shares of the scan {np.round(shares, 3).tolist()}: "
            f"got {got!r}, takes {right}"
        )
        if right is None:
            expect(got is None, f"{case}; the share never reaches a half here")
            continue
        expect(got is not None and np.size(got) == 1, case)
        rest = np.divide(scan, np.subtract(total, scan))
        if np.isclose(got, np.interp(0.5, shares, contexts)) and got != right:
            case += "; between two contexts the share is a line over their logarithm"
        elif got in contexts and got != right:
            case += "; it lies between two measured contexts"
        elif np.isclose(got, 2 ** np.interp(0.5, rest, np.log2(contexts))):
            case += "; half of the total, not half of the rest"
        expect(bool(np.isclose(got, right)), case)
