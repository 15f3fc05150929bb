"""What every lesson's first cell runs."""

from __future__ import annotations

import os
import sys
import warnings
from importlib.util import find_spec

import numpy as np

from msa_ref.config import check_int


def setup(seed: int = 0, interpret: bool = False) -> np.random.Generator:
    """A seeded random generator; arrays print short, numerical warnings are errors, figures share
    one style (where matplotlib is installed).

    `interpret=True` makes Triton run kernels on the CPU: the choice is read when Triton is
    imported, so a process that already imported it raises RuntimeError. Safe to call again.
    """
    check_int("seed", seed, 0)
    if interpret and os.environ.get("TRITON_INTERPRET") != "1":
        if "triton" in sys.modules:
            raise RuntimeError("interpret: got True after triton was imported; restart the kernel")
        os.environ["TRITON_INTERPRET"] = "1"
    np.set_printoptions(precision=3, suppress=True, linewidth=100)
    for category in (RuntimeWarning, UserWarning):
        warnings.simplefilter("error", category)
    if find_spec("matplotlib"):
        from msa_course import palette

        palette.use_style()
    return np.random.default_rng(seed)
