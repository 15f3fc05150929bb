"""What must be green before anything is timed: the kernels' tests, memory and race checkers."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]
TEST_SECONDS, CHECKER_SECONDS = 150, 60
WORKERS = 14  # test processes that share the GPU
CHECKER = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
FOUND = 99  # exit status of the checkers when they find something
NO_TESTS = 5  # pytest's exit status when it collects none


def start_all():
    """Start what is at hand, side by side; returns {name: (process, its output, seconds)}."""
    started = {}
    tests = ROOT / "tests" / "kernels"
    if importlib.util.find_spec("pytest") and tests.is_dir():
        # Without the project's settings: they name plugins that a GPU machine may not have.
        command = ["-m", "pytest", tests, "-q", "-x", "-c", os.devnull, "--rootdir", ROOT]
        command += ["--confcutdir", tests, "-p", "no:cacheprovider", "-p", "no:benchmark"]
        if importlib.util.find_spec("xdist"):
            command += ["-n", str(min(WORKERS, os.cpu_count()))]
        started["tests"] = *_start([sys.executable, *command]), TEST_SECONDS
    if Path(CHECKER).exists():
        for tool in ("memcheck", "racecheck"):
            command = [CHECKER, "--tool", tool, "--error-exitcode", FOUND]
            script = ROOT / "kernels" / "bench" / "small_case.py"
            # No caching: a checker cannot see past the end of a tensor in a larger allocation.
            started[tool] = (
                *_start([*command, sys.executable, script], PYTORCH_NO_CUDA_MEMORY_CACHING="1"),
                CHECKER_SECONDS,
            )
    return started


def start_compiler():
    """Start compiling every shipped launch for this GPU; the process prints the figures as JSON."""
    major, minor = torch.cuda.get_device_capability()
    script = ROOT / "kernels" / "bench" / "compiled.py"
    command = [sys.executable, str(script), str(10 * major + minor)]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE)


def compiled(process):
    """What the compiler of `start_compiler` made: the figures of each kernel, None if it failed."""
    output, _ = process.communicate()
    return json.loads(output.splitlines()[-1]) if process.returncode == 0 else None


def run():
    """One phrase for each check, and whether none has failed; what is not at hand is named too."""
    said = dict.fromkeys(("tests", "memcheck", "racecheck"), "not at hand")
    green = True
    start = time.monotonic()
    for name, (process, output, seconds) in start_all().items():
        with output:
            try:
                process.wait(timeout=max(0.1, start + seconds - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)  # a checker's own child too
                process.wait()
                said[name] = f"not finished within {seconds} s"
                continue
            output.seek(0)
            lines = output.read().strip().splitlines() or [""]
        said[name] = lines[-1].strip("= ")
        if process.returncode not in (0, NO_TESTS if name == "tests" else 0):
            green = False
            said[name] = f"exit status {process.returncode}: {said[name]}"
            print("\n".join(lines[-60:]), flush=True)
    return said, green


def _start(command, **environment):
    output = tempfile.TemporaryFile("w+")  # noqa: SIM115 (read by `run` once the process ends)
    process = subprocess.Popen(
        [str(word) for word in command], cwd=ROOT, env={**os.environ, **environment}, text=True,
        stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    return process, output
