"""Times one decode step in NumPy, sparse against dense, and writes its record.

OMP_NUM_THREADS=1 python docs/measured/decode_numpy.py        (2 GB of memory, half a minute)

MiniMax-M3's attention shape in float32, random values. Both steps read the same tokens, in turns,
in one run. Before anything is timed, the sparse output is compared with the slow plain version's.
"""

import json
import os
import platform
from dataclasses import replace
from datetime import date
from pathlib import Path
from time import perf_counter

import numpy as np

from msa_ref import M3, cache, cost, dense, sparse

CONTEXTS = [2**power for power in range(12, 18)]
REPEATS = 15
DENSE = replace(M3, attention=None, dense_layers=M3.layers)


def milliseconds(step) -> float:
    """How long one call takes."""
    start = perf_counter()
    step()
    return 1000 * (perf_counter() - start)


def measure(context: int, rng: np.random.Generator) -> dict:
    """Median times of a decode step at `context` tokens, and how far apart bytes and FLOPs are."""
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

    def sparse_step():
        cache.attention(q, index_q, paged)

    def dense_step():
        dense.attention(q, k, v)

    times = [(milliseconds(sparse_step), milliseconds(dense_step)) for _ in range(REPEATS)]
    sparse_ms, dense_ms = (float(time) for time in np.median(times, axis=0))
    fewer_bytes = cost.decode_bytes(DENSE, context).layer / cost.decode_bytes(M3, context).layer
    fewer_flops = cost.decode_flops(DENSE, context).layer / cost.decode_flops(M3, context).layer
    return {
        "context": context,
        "sparse_ms": round(sparse_ms, 2),
        "dense_ms": round(dense_ms, 2),
        "times_faster": round(dense_ms / sparse_ms, 2),
        "times_fewer_bytes": round(fewer_bytes, 2),
        "times_fewer_flops": round(fewer_flops, 2),
    }


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def main():
    rng = np.random.default_rng(0)
    record = {
        "what": "one decode step of one layer in NumPy: msa_ref.cache.attention against "
        "msa_ref.dense.attention, median milliseconds",
        "made_by": "OMP_NUM_THREADS=1 python docs/measured/decode_numpy.py",
        "date": date.today().isoformat(),
        "processor": processor(),
        "threads": os.environ.get("OMP_NUM_THREADS", "as many as the library takes"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "dtype": "float32",
        "repeats": REPEATS,
        "steps": [measure(context, rng) for context in CONTEXTS],
    }
    path = Path(__file__).parents[2] / "msa_ref" / "data" / "measured" / "decode_numpy.json"
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
