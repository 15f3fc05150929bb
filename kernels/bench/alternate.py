"""Times two checkouts of the kernels in turn on one GPU: did a change cost time, or a bit?

    PYTHONPATH=.:kernels python3 kernels/bench/alternate.py OLD [NEW] [--rounds 5] [--out FILE]

OLD and NEW (this checkout, if not given) are folders with msa_ref/ and kernels/. Each round runs
every case once with each of them, in a process of its own, on the same random inputs, through the
public entry points alone. Prints medians over the rounds and whether outputs, LSEs and selections
are the same bits. Exit status 1 if a case is more than 3 % and more than 0.5 us slower.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]
K = 1024
PREFILLS = ((8 * K, 8 * K), (16 * K, 16 * K), (32 * K, 32 * K), (8 * K, 128 * K), (8 * K, K * K))
DECODES = ((1, 32 * K), (1, K * K), (8, 128 * K), (32, 32 * K))
EAGER = (1, 32 * K)  # a step so short that the host's launches are what is timed
EAGER_STEPS = 200
MOST_SLOWER, LEAST_MS = 0.03, 0.0005


def digest(*tensors):
    """A hash of the tensors' bits."""
    import torch

    whole = hashlib.sha256()
    for tensor in tensors:
        whole.update(tensor.contiguous().view(torch.uint8).cpu().numpy().tobytes())
    return whole.hexdigest()[:16]


def measure(tree):
    """{case: [milliseconds, hash]} of the kernels in this folder; the clock is this checkout's."""
    import torch

    from bench import timing

    sys.path[:0] = [str(tree), str(tree / "kernels")]
    import msa_kernels
    from msa_ref import M3

    if Path(msa_kernels.__file__).parents[2] != tree:
        raise RuntimeError(f"{tree}: imported {msa_kernels.__file__}")
    clock, config, found = timing.Clock(), M3.attention, {}
    generator = torch.Generator("cuda").manual_seed(0)

    def normal(*shape):
        options = {"generator": generator, "device": "cuda", "dtype": torch.bfloat16}
        return torch.randn(*shape, **options)

    heads, groups = config.num_heads, config.num_kv_heads
    for new, context in PREFILLS:
        tensors = (
            normal(1, heads, new, config.head_dim),
            *(normal(1, groups, context, config.head_dim) for _ in range(2)),
            normal(1, groups, new, config.index_dim),
            normal(1, 1, context, config.index_dim),
        )
        bits = digest(*msa_kernels.msa_attention(*tensors, config))
        ms = clock.run(lambda tensors=tensors: msa_kernels.msa_attention(*tensors, config))
        found[f"prefill {new // K}K@{context // K}K"] = ms, bits
    for batch, context in DECODES:
        cache = full_cache(msa_kernels.PagedCache, config, batch, context, normal)
        q = normal(batch, heads, 1, config.head_dim)
        index_q = normal(batch, groups, 1, config.index_dim)

        def step(q=q, index_q=index_q, cache=cache):
            return msa_kernels.decode(q, index_q, cache)

        bits = digest(*step())
        found[f"decode {batch}x{context // K}K, in a graph"] = clock.graph(step), bits
        if (batch, context) == EAGER:
            ms = clock.run(lambda step=step: [step() for _ in range(EAGER_STEPS)]) / EAGER_STEPS
            found[f"decode {batch}x{context // K}K, eager"] = ms, bits
    return found


def full_cache(kind, config, batch, context, normal):
    """A bf16 cache that holds `context` random tokens of each sequence, its pages in order."""
    import torch

    pages = context // config.block_size
    kinds = {"dtype": torch.bfloat16, "index_dtype": torch.bfloat16, "device": "cuda"}
    cache = kind(config, num_pages=batch * pages, batch=batch, max_pages=pages, **kinds)
    for name in ("k_pages", "v_pages", "index_pages"):
        getattr(cache, name).copy_(normal(*getattr(cache, name).shape))
    table = torch.arange(batch * pages, dtype=torch.int32, device="cuda")
    cache.block_table.copy_(table.view(batch, pages))
    cache.lengths.fill_(context)
    return cache


def run_child(tree):
    """What `measure` finds in a fresh process."""
    command = [sys.executable, __file__, "--measure", str(tree)]
    environment = os.environ | {"PYTHONPATH": str(HERE / "kernels")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def compare(old, new, rounds):
    """One dict for each case: medians in ms, their ratio, the spread, and whether bits agree."""
    runs = {old: [], new: []}
    for number in range(rounds):
        for tree in (old, new) if number % 2 == 0 else (new, old):
            runs[tree].append(run_child(tree))
            print(f"round {number + 1} of {rounds}: {tree.name}", flush=True)
    rows = []
    for case in runs[old][0]:
        times = {tree: [run[case][0] for run in runs[tree]] for tree in (old, new)}
        before, after = (statistics.median(times[tree]) for tree in (old, new))
        bits = {run[case][1] for tree in (old, new) for run in runs[tree]}
        spread = max(max(all_) / min(all_) - 1 for all_ in times.values())
        rows.append(
            {
                "case": case, "old_ms": round(before, 5), "new_ms": round(after, 5),
                "new_over_old": round(after / before, 4), "spread": round(spread, 4),
                "same_bits": len(bits) == 1,
            }
        )  # fmt: skip
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path, nargs="?", help="folder with msa_ref/ and kernels/")
    parser.add_argument("new", type=Path, nargs="?", default=HERE)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure.resolve())))
        return
    if arguments.old is None:
        parser.error("takes the folder of the old checkout")
    from bench import record

    rows = compare(arguments.old.resolve(), arguments.new.resolve(), arguments.rounds)
    slow = [
        row for row in rows
        if row["new_over_old"] > 1 + MOST_SLOWER and row["new_ms"] - row["old_ms"] > LEAST_MS
    ]  # fmt: skip
    for row in rows:
        print(*(f"{name} {value}" for name, value in row.items()), sep="  ")
    if arguments.out:
        page = record.header() | {"rounds": arguments.rounds, "rows": rows}
        arguments.out.write_text(json.dumps(page, indent=1) + "\n", encoding="utf-8")
    sys.exit(f"slower: {[row['case'] for row in slow]}" if slow else 0)


if __name__ == "__main__":
    main()
