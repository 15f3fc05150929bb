"""Under `pytest --nbval` lessons run as readers run them: anywhere, and every cell once more.

Each code cell of a lesson runs twice in a row; both runs must end without an error and print what
is stored. Between them the lessons' random generators, NumPy's `rng` and PyTorch's `generator`, are
put back: that a second run draws other numbers is no fault of a cell. The second run makes its
figures without turning them into PNG, which takes half the time and finds nothing new. Lessons do
not rely on the working directory, which is not theirs here. A figure with text of too little
contrast is an error here.
"""

from pathlib import Path

import pytest
from nbval.plugin import IPyNbCell

ELSEWHERE = "__import__('os').chdir('/')"
# The inline backend would draw every figure twice, to cut off its margins; no test sees those.
ONCE = "get_ipython().config.InlineBackend.print_figure_kwargs = {'bbox_inches': None}\n"
SHOW = "get_ipython().display_formatter.formatters['image/png'].enabled = {}"
KEEP = """
_states = {}
if "rng" in globals():
    _states["rng"] = rng.bit_generator.state
if "generator" in globals():
    _states["generator"] = generator.get_state()
"""
PUT_BACK = """
if "rng" in _states:
    rng.bit_generator.state = _states["rng"]
if "generator" in _states:
    generator.set_state(_states["generator"])
"""
# In a namespace of its own, so that no lesson has these names without importing them.
WATCH = f"""
import sys
if "contrast" not in sys.modules:
    sys.path.append({str(Path(__file__).parents[1] / "tests")!r})
    import contrast
    from msa_course import figures, live
    contrast.watch(figures, live)
sys.modules["msa_course.figures"].again = AGAIN
"""
WATCH_ONE = "\nexec({!r}, {{'AGAIN': {}}})"
TIMEOUT = 60  # seconds


class CellAgain(IPyNbCell):
    """The second run of a cell."""

    @classmethod
    def of(cls, first):
        return cls.from_parent(
            first.parent,
            name=f"{first.name} again",
            cell_num=first.cell_num,
            cell=first.cell,
            options=first.options,
        )

    def reportinfo(self):
        path, line, description = super().reportinfo()
        return path, line, f"{description}, second run"


def pytest_collection_modifyitems(items):
    items[:] = [
        run
        for item in items
        for run in ([item, CellAgain.of(item)] if _is_of_a_lesson(item) else [item])
    ]


def _is_of_a_lesson(item):
    """Solutions are read, and run once; a reader goes back and forth in a lesson."""
    return isinstance(item, IPyNbCell) and item.path.parent.name != "solutions"


@pytest.hookimpl(trylast=True)  # after the kernel has started
def pytest_runtest_setup(item):
    if isinstance(item, IPyNbCell):
        kernel = item.parent.kernel
        again = isinstance(item, CellAgain)
        code = ONCE + SHOW.format(not again) + (PUT_BACK if again else KEEP + ELSEWHERE)
        code += WATCH_ONE.format(WATCH, again)
        kernel.await_reply(kernel.kc.execute(code, silent=True), timeout=TIMEOUT)
