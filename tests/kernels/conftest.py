"""Where the kernels run: on the GPU if there is one, under Triton's interpreter otherwise."""

import os
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "kernels"))
if not torch.cuda.is_available():
    # Read when a function is decorated, so it is decided here, before Triton is imported.
    os.environ["TRITON_INTERPRET"] = "1"

from triton import knobs

ON_GPU = not knobs.runtime.interpret

DTYPES = ("float32", "float16", "bfloat16") if ON_GPU else ("float32", "float16")


def pytest_report_header(config):
    return f"kernels: {'on the GPU' if ON_GPU else 'under the interpreter of Triton, on the CPU'}"


def pytest_generate_tests(metafunc):
    if "dtype" in metafunc.fixturenames:
        metafunc.parametrize("dtype", [getattr(torch, name) for name in DTYPES], ids=DTYPES)


@pytest.fixture(scope="session")
def device():
    """The device that the kernels run on."""
    return torch.device("cuda" if ON_GPU else "cpu")


@pytest.fixture
def poisoned(monkeypatch):
    """New tensors start as NaN, or as a huge id, so that nothing unwritten can pass unseen."""

    def poison(make):
        def made(*args, **named):
            tensor = make(*args, **named)
            return tensor.fill_(float("nan") if tensor.is_floating_point() else 2**30)

        return made

    monkeypatch.setattr(torch, "empty", poison(torch.empty))
    monkeypatch.setattr(torch, "empty_like", poison(torch.empty_like))
