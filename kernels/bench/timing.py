"""How a step is timed: the L2 cache flushed before every run, medians of several runs."""

import statistics

import torch

FLUSH_BYTES = 256 * 2**20  # several times the L2 cache of any GPU at hand
STEPS = 20  # steps in one graph
MOST_RUNS, FEWEST_RUNS = 9, 3
WANTED_MS = 300
WAKING_FLUSHES = 100  # about 10 ms of work: the clock of an idle GPU is down


def num_runs(ms):
    """How often a step of so many milliseconds is run: an odd number, less often when long."""
    runs = int(WANTED_MS / max(ms, 1e-3))
    return max(FEWEST_RUNS, min(MOST_RUNS, runs - 1 + runs % 2))


def step_ms(pairs):
    """Median of one step, from times of graphs of STEPS: (flushes and steps, flushes alone)."""
    long, short = (statistics.median(times) for times in zip(*pairs))
    return (long - short) / STEPS


class Clock:
    """Times steps on the current GPU, in milliseconds."""

    def __init__(self):
        self.buffer = torch.empty(FLUSH_BYTES // 4, dtype=torch.int32, device="cuda")

    def flush(self):
        """Push everything else out of the L2 cache."""
        self.buffer.zero_()

    def wake(self):
        """Bring an idle GPU's clock up."""
        for _ in range(WAKING_FLUSHES):
            self.flush()

    def run(self, step):
        """Median of single runs: for a prefill, whose launches hide behind its work."""
        step()  # compiles, allocates
        self.wake()
        runs = num_runs(self._run_once(step))
        return statistics.median(self._run_once(step) for _ in range(runs))

    def graph(self, step):
        """Median of a step inside a CUDA graph: a graph of flushes and steps, less the flushes."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # outside the capture: compiles, allocates
            for _ in range(3):
                step()
        torch.cuda.synchronize()
        flushes = _captured(self.flush)
        both = _captured(lambda: (self.flush(), step()))
        self.wake()
        runs = num_runs(_elapsed(both.replay))
        _elapsed(flushes.replay)
        return step_ms([(_elapsed(both.replay), _elapsed(flushes.replay)) for _ in range(runs)])

    def _run_once(self, step):
        # Twice: while the GPU is still busy with the second, the host queues the step's launches.
        self.flush()
        self.flush()
        return _elapsed(step)


def _captured(step):
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(STEPS):
            step()
    return graph


def _elapsed(step):
    start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    step()
    stop.record()
    torch.cuda.synchronize()
    return start.elapsed_time(stop)
