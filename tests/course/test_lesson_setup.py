"""What a lesson's first cell does to its process, seen from fresh processes."""

import os
import subprocess
import sys

import numpy as np
import pytest

from msa_course.setup import setup


def run_python(code, **environment):
    """Standard output of a fresh process, which must succeed."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_generator_is_seeded():
    code = "from msa_course.setup import setup; print(setup(seed=3).integers(1000, size=4))"
    expected = np.random.default_rng(3).integers(1000, size=4)
    assert run_python(code) == str(expected)


def test_the_default_seed_is_0():
    code = "from msa_course.setup import setup; print(setup().integers(1000))"
    assert run_python(code) == str(np.random.default_rng(0).integers(1000))


def test_setup_twice_is_setup_once():
    code = """
import warnings
import numpy as np
from msa_course.setup import setup
setup(seed=1)
before = (np.get_printoptions(), list(warnings.filters))
rng = setup(seed=1)
assert (np.get_printoptions(), list(warnings.filters)) == before
print(rng.integers(1000))
"""
    assert run_python(code) == str(np.random.default_rng(1).integers(1000))


def test_arrays_print_short():
    code = """
import numpy as np
from msa_course.setup import setup
setup()
print(np.array([1/3, 1e-9, 1e5]))
"""
    assert run_python(code) == "[     0.333      0.    100000.   ]"


@pytest.mark.parametrize("fault", ["np.log(np.zeros(1))", "warnings.warn('careful')"])
def test_numerical_and_user_warnings_are_errors(fault):
    code = f"""
import warnings
import numpy as np
from msa_course.setup import setup
setup()
try:
    {fault}
except (RuntimeWarning, UserWarning) as error:
    print(type(error).__name__)
"""
    assert run_python(code) in ("RuntimeWarning", "UserWarning")


def test_figures_get_the_style():
    code = """
import matplotlib
from msa_course.setup import setup
setup()
print(matplotlib.rcParams["axes.titlelocation"], matplotlib.rcParams["image.cmap"])
"""
    assert run_python(code) == "left cividis"


def test_without_matplotlib_the_rest_still_works():
    code = """
import sys
sys.modules["matplotlib"] = None
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name == "matplotlib" else real(name)
from msa_course.setup import setup
print(setup().integers(1000))
"""
    assert run_python(code) == str(np.random.default_rng(0).integers(1000))


def test_interpret_is_asked_for_in_the_environment():
    code = """
import os
from msa_course.setup import setup
setup(interpret=True)
print(os.environ["TRITON_INTERPRET"])
"""
    assert run_python(code, TRITON_INTERPRET="") == "1"


def test_interpret_after_triton_was_imported_says_what_to_do():
    code = """
import sys
sys.modules["triton"] = object()
from msa_course.setup import setup
try:
    setup(interpret=True)
except RuntimeError as error:
    print(error)
"""
    assert "restart the kernel" in run_python(code, TRITON_INTERPRET="")


def test_interpret_again_with_triton_already_interpreting_is_fine():
    code = """
import sys
sys.modules["triton"] = object()
from msa_course.setup import setup
setup(interpret=True)
print("fine")
"""
    assert run_python(code, TRITON_INTERPRET="1") == "fine"


@pytest.mark.parametrize(("seed", "error"), [(-1, ValueError), (1.5, TypeError), (True, TypeError)])
def test_a_seed_that_is_none_is_refused(seed, error):
    with pytest.raises(error, match="seed"):
        setup(seed=seed)
