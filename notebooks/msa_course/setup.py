"""What every lesson's first cell runs."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

import numpy as np

from msa_course.one_line import OneLine
from msa_ref.config import check_int

# As Triton reads its own switch: in any case of letters, without spaces around it.
TRUE = ("1", "true", "yes", "on", "y")


class SetupError(OneLine, RuntimeError):
    """What is missing or was done too late, and what to do about it."""


def setup(
    seed: int = 0, interpret: bool = False, needs: tuple[str, ...] = ()
) -> np.random.Generator:
    """A seeded random generator; arrays print short, figures share one style (where matplotlib is
    installed). Safe to call again.

    A lesson's `needs` are packages without which it cannot end: one that is not installed raises
    SetupError. `interpret=True` needs torch and triton, and makes Triton run kernels on the CPU;
    Triton reads the choice when it is imported, so a process that has already imported it without
    raises SetupError.
    """
    check_int("seed", seed, 0)
    _check_installed((*needs, "torch", "triton") if interpret else needs)
    if interpret:
        _interpret()
    np.set_printoptions(precision=3, suppress=True, linewidth=100)
    if find_spec("matplotlib"):
        from msa_course import palette

        palette.use_style()
    return np.random.default_rng(seed)


def _check_installed(packages):
    missing = [name for name in dict.fromkeys(packages) if find_spec(name) is None]
    if not missing:
        return
    advice = "install with `make EXTRAS=lab,gpu lab` and restart the kernel"
    if "triton" in missing and sys.platform != "linux":
        advice = "Triton is published for Linux alone: use a Linux machine, or WSL on Windows"
    raise SetupError(f"This lesson needs {' and '.join(missing)}, not found here: {advice}.")


def _interpret():
    interpreting = os.environ.get("TRITON_INTERPRET", "").lower() in TRUE
    if "triton" in sys.modules and not interpreting:
        raise SetupError("interpret: got True after triton was imported; restart the kernel")
    os.environ["TRITON_INTERPRET"] = "1"
