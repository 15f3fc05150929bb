"""Times one decode step on a CPU, sparse against the best dense attention there: its record.

OMP_NUM_THREADS=2 OPENBLAS_NUM_THREADS=2 python docs/measured/decode_cpu.py

Needs torch, 4 GB of memory and two minutes. MiniMax-M3's attention shape in float32, random values.
Sparse is NumPy, msa_ref.cache.attention; dense is torch's scaled_dot_product_attention, called in
two ways of which the faster counts, and plain NumPy. All read the same tokens, in turns, in one
run. Before anything is timed, the outputs are compared with each other.
"""

import json
import os
import platform
from datetime import date
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention

from msa_ref import M3, cache, cost, dense, sparse

CONTEXTS = [2**power for power in range(12, 18)]
REPEATS = 40


def milliseconds(step) -> float:
    """How long one call takes."""
    start = perf_counter()
    step()
    return 1000 * (perf_counter() - start)


def dense_steps(q, k, v) -> dict:
    """The ways of dense attention, by name, each a call that gives [Hq, d]."""
    torch_q, torch_k, torch_v = map(torch.from_numpy, (q, k, v))
    group_rows = torch_q.reshape(1, k.shape[1], -1, q.shape[-1])  # a group's heads as its rows
    return {
        "sdpa_rows": lambda: scaled_dot_product_attention(group_rows, torch_k, torch_v),
        "sdpa_gqa": lambda: scaled_dot_product_attention(
            torch_q, torch_k, torch_v, enable_gqa=True
        ),
        "numpy": lambda: dense.attention(q, k, v)[0],
    }


def prepare(context: int, rng: np.random.Generator) -> dict:
    """A decode step at `context` tokens in every way, by name, each checked against another."""
    config = M3.attention
    heads, groups, width = config.num_heads, config.num_kv_heads, config.head_dim
    k, v = (rng.standard_normal((1, groups, context, width), np.float32) for _ in range(2))
    index_k = rng.standard_normal((1, 1, context, config.index_dim), np.float32)
    q = rng.standard_normal((1, heads, 1, width), np.float32)
    index_q = rng.standard_normal((1, groups, 1, config.index_dim), np.float32)
    paged = cache.PagedCache(config, batch=1, capacity=context, dtype=np.float32)
    paged.append(k, v, index_k)

    got = cache.attention(q, index_q, paged)
    plain, _ = sparse.attention_query_major(q, k, v, got.selection, block_size=config.block_size)
    np.testing.assert_allclose(got.out, plain, atol=1e-5)
    steps = dense_steps(q, k, v)
    outs = [np.asarray(step()).reshape(heads, width) for step in steps.values()]
    for out in outs[1:]:
        np.testing.assert_allclose(out, outs[0], atol=1e-5)
    return steps | {"sparse": lambda: cache.attention(q, index_q, paged)}


def summary(context: int, times: dict) -> dict:
    """Quickest and median time of each way at `context` tokens, and how many fewer bytes."""
    best = min(("sdpa_rows", "sdpa_gqa"), key=lambda name: min(times[name]))
    fewer_bytes = (
        cost.decode_bytes(cost.dense_model(M3), context).layer
        / cost.decode_bytes(M3, context).layer
    )
    ways = {"sparse": "sparse", "sdpa": best, "numpy_dense": "numpy"}
    row = {"context": context, "sdpa_called": best}
    for name, way in ways.items():
        row[f"{name}_ms"] = round(min(times[way]), 2)
        row[f"{name}_median_ms"] = round(float(np.median(times[way])), 2)
    return row | {
        "times_faster": round(row["sdpa_ms"] / row["sparse_ms"], 2),
        "times_fewer_bytes": round(fewer_bytes, 2),
    }


def measure(rng: np.random.Generator) -> list:
    """A row per context. Contexts and ways take turns, so that a disturbance meets all alike."""
    steps = {context: prepare(context, rng) for context in CONTEXTS}
    times = {context: {name: [] for name in ways} for context, ways in steps.items()}
    for _ in range(REPEATS):
        for context, ways in steps.items():
            for name, step in ways.items():
                times[context][name].append(milliseconds(step))
    return [summary(context, times[context]) for context in CONTEXTS]


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def main():
    threads = int(os.environ.get("OMP_NUM_THREADS", "2"))
    torch.set_num_threads(threads)
    rng = np.random.default_rng(0)
    record = {
        "what": "one decode step of one layer of MiniMax-M3's shape on a CPU: "
        "msa_ref.cache.attention (NumPy) against dense attention; milliseconds, the quickest of "
        "the repeats, and their median",
        "made_by": f"OMP_NUM_THREADS={threads} OPENBLAS_NUM_THREADS={threads} "
        "python docs/measured/decode_cpu.py",
        "date": date.today().isoformat(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "dtype": "float32",
        "repeats": REPEATS,
        "steps": measure(rng),
    }
    path = Path(__file__).parents[2] / "msa_ref" / "data" / "measured" / "decode_cpu.json"
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
