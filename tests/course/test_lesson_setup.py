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
import os, warnings
import matplotlib
import numpy as np
from msa_course.setup import setup
def settings():
    figures = dict(matplotlib.rcParams)
    return np.get_printoptions(), list(warnings.filters), figures, dict(os.environ)
setup(seed=1)
before = settings()
rng = setup(seed=1)
assert settings() == before
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


@pytest.mark.parametrize("category", ["RuntimeWarning", "UserWarning", "DeprecationWarning"])
@pytest.mark.parametrize("when", ["in setup", "in a cell"])
def test_a_warning_stops_no_lesson(category, when):
    code = f"""
import warnings
from msa_course import palette
from msa_course.setup import setup
def warn():
    warnings.warn("careful", {category})
if {when!r} == "in setup":
    palette.use_style = warn
setup()
warn()
print("goes on")
"""
    assert run_python(code) == "goes on"


def test_a_numerical_warning_in_a_cell_is_shown_and_stops_nothing():
    code = """
import contextlib, io
import numpy as np
from msa_course.setup import setup
setup()
with contextlib.redirect_stderr(io.StringIO()) as shown:
    print(np.log(np.zeros(1)))
assert "RuntimeWarning: divide by zero" in shown.getvalue()
"""
    assert run_python(code) == "[-inf]"


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


@pytest.mark.parametrize("off", ["", "0", "false", "no"])
def test_interpret_after_triton_was_imported_says_what_to_do(off):
    code = """
import triton
from msa_course.setup import setup
try:
    setup(interpret=True)
except RuntimeError as error:
    print(error)
"""
    assert "restart the kernel" in run_python(code, TRITON_INTERPRET=off)


@pytest.mark.parametrize("on", ["1", "true", "TRUE", "yes", "on", "y"])
def test_interpret_again_with_triton_already_interpreting_is_fine(on):
    code = """
import triton
from msa_course.setup import setup
assert triton.knobs.runtime.interpret
setup(interpret=True)
print("fine")
"""
    assert run_python(code, TRITON_INTERPRET=on) == "fine"


def refused(call, missing, platform="linux"):
    """What setup says where these packages are not installed."""
    code = f"""
import importlib.util, sys
found = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name in {missing!r} else found(name)
sys.platform = {platform!r}
from msa_course.setup import setup
try:
    {call}
except RuntimeError as error:
    (line,) = error._render_traceback_()
    print(line)
"""
    return run_python(code, TRITON_INTERPRET="")


def test_a_lesson_does_not_begin_without_what_it_needs():
    line = refused("setup(needs=('torch',))", ["torch"])
    assert line.startswith("This lesson needs torch, not found here: ")
    assert "make EXTRAS=lab,gpu lab" in line
    assert "\n" not in line


def test_a_triton_lesson_needs_torch_and_triton():
    assert "needs torch and triton," in refused("setup(interpret=True)", ["torch", "triton"])
    assert "needs triton," in refused("setup(interpret=True, needs=('torch',))", ["triton"])


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_where_triton_is_not_published_the_message_says_so(platform):
    line = refused("setup(interpret=True)", ["torch", "triton"], platform)
    assert "Linux" in line
    assert "WSL" in line
    assert "make" not in line
    assert "make" in refused("setup(needs=('torch',))", ["torch"], platform)


def test_what_a_lesson_does_not_need_may_be_missing():
    assert refused("print(setup().integers(1000))", ["torch", "triton"]) == str(
        np.random.default_rng(0).integers(1000)
    )


@pytest.mark.parametrize(("seed", "error"), [(-1, ValueError), (1.5, TypeError), (True, TypeError)])
def test_a_seed_that_is_none_is_refused(seed, error):
    with pytest.raises(error, match="seed"):
        setup(seed=seed)
