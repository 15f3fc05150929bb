"""Checks the kernels on this GPU, times them against dense attention, writes msa_ref/data/measured.

    PYTHONPATH=.:kernels python3 kernels/bench/run.py [--out FILE] [--minutes 8] [--cases 8K 1x1M]

Correctness first; then every case, its rows printed as they come and the record written anew after
each. What could not run has no row. Exit status 1 if a check failed or a case is missing.
"""

import argparse
import sys
import time
import traceback

import torch

from bench import correctness, decode, prefill, record, table, timing
from bench.cases import DECODES, PREFILLS

LAST_CASE_SECONDS = 30  # what the longest case takes


def main(arguments):
    stop = time.monotonic() + 60 * arguments.minutes
    if not torch.cuda.is_available():
        sys.exit("No CUDA GPU here: the kernels are timed on one; `make test` needs none.")
    header = record.header()
    print(", ".join(str(header[name]) for name in ("gpu", "driver", "torch", "triton")), flush=True)
    compiler = correctness.start_compiler()
    header["checks"], green = correctness.run()
    header["compiled"] = correctness.compiled(compiler)
    for name, phrase in header["checks"].items():
        print(f"{name}: {phrase}", flush=True)
    if not green:
        sys.exit("A check failed: nothing is timed.")
    print(f"checked, {stop - time.monotonic():.0f} s left", flush=True)
    written = record.Record(arguments.out or record.default_path(header["gpu"]), header)
    missing = run_cases(written, arguments.cases, stop)
    print("\n" + table.render(written.as_dict()))
    print(f"{written.path}: {len(written.rows)} rows", flush=True)
    if missing:
        sys.exit(f"Without some or all rows: {', '.join(missing)}")


def run_cases(written, names, stop):
    """Run the named cases (all, if none) until the time is up; returns those that failed."""
    clock = timing.Clock()
    missing = []
    for module, cases in ((prefill, PREFILLS), (decode, DECODES)):
        for case in cases:
            if names and case.name not in names:
                continue
            start = time.monotonic()
            if stop - start < LAST_CASE_SECONDS:
                missing.append(case.name)
                continue
            try:
                module.run(case, clock, written)
            except (AssertionError, RuntimeError, ValueError):
                missing.append(case.name)
                traceback.print_exc()
            torch.cuda.empty_cache()
            written.write()
            print(f"  {time.monotonic() - start:.1f} s", flush=True)
    return missing


def parse(words):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", help="where the record goes (msa_ref/data/measured/<gpu>.json)")
    parser.add_argument("--minutes", type=float, default=8, help="cases not begun by then are left")
    parser.add_argument("--cases", nargs="*", help="names of cases, such as 8K@1M or 1x32K")
    return parser.parse_args(words)


if __name__ == "__main__":
    main(parse(sys.argv[1:]))
