"""One case on the screen: a line for every row as it is measured."""

from contextlib import contextmanager

import torch

from bench import bounds

BLANK = {"selection": None, "index_dtype": "bf16", "shape": "M3", "impl": "msa", "piece": "total"}


class Case:
    """Adds rows of one case to the record and prints them."""

    def __init__(self, record, phase, batch, new_tokens, context, name):
        self.record, self.name = record, name
        self.phase, self.batch = phase, batch
        self.new_tokens, self.context = new_tokens, context
        self.machine = bounds.ceiling(record.header["gpu"])
        self.best_dense = {}
        print(f"\n{phase} {name}", flush=True)

    def add(self, ms, work, **key):
        """Add a row; `work` is its FLOPs and bytes."""
        key = {**BLANK, **key}
        case = {name: getattr(self, name) for name in ("phase", "batch", "new_tokens", "context")}
        bound = bounds.bound_ms(*work, self.machine)
        self.record.add({**case, **key}, ms, bound)
        if key["impl"] != "msa":
            self.best_dense[key["shape"]] = min(self.best_dense.get(key["shape"], ms), ms)
        print(self.line(ms, work, bound, key), flush=True)

    def add_prefill(self, ms, piece, selection, num_queries=None):
        """Add a row of a sparse prefill; `num_queries` if only some of them passed this piece."""
        queries = self.new_tokens if num_queries is None else num_queries
        work = bounds.prefill(piece, queries, self.context)
        self.add(ms, work, piece=piece, selection=selection)

    def line(self, ms, work, bound, key):
        """What is printed: time, rate, ratio to dense, share of the bound."""
        flops, num_bytes = work
        ridge = self.machine.peak_flops / self.machine.bandwidth
        limited_by_flops = flops > ridge * num_bytes
        rate = (
            f"{flops / ms / 1e9:8.0f} TFLOP/s"
            if limited_by_flops
            else f"{num_bytes / ms / 1e6:8.0f} GB/s   "
        )
        words = [key["shape"], key["impl"], key["piece"], key["selection"] or key["index_dtype"]]
        name = "  ".join(f"{word:8}" for word in words)
        time = f"{ms:10.3f} ms" if self.phase == "prefill" else f"{1000 * ms:10.1f} us"
        dense = self.best_dense.get(key["shape"])
        ratio = f"{dense / ms:8.2f}x dense" if dense else " " * 15
        return f"  {name}{time}{rate}{ratio}{bound / ms:8.0%} of bound"

    @contextmanager
    def attempt(self, shape, impl):
        """What cannot run here, or is wrong, is said and gets no row."""
        try:
            yield
        except (RuntimeError, AssertionError, ValueError) as error:
            print(f"  {shape}  {impl}: no row: {str(error).splitlines()[0][:120]}", flush=True)
            torch.cuda.empty_cache()
