"""Under `pytest --nbval` lessons run as readers run them: anywhere, and every cell once more.

Each code cell runs twice in a row; both runs must end without an error and print what is stored.
Between them the generator `rng` is put back: that a second run draws other numbers is no fault of
a cell. Lessons do not rely on the working directory, which is not theirs here.
"""

import pytest
from nbval.plugin import IPyNbCell

ELSEWHERE = "__import__('os').chdir('/')"
KEEP = "_state = rng.bit_generator.state if 'rng' in globals() else None"
PUT_BACK = "if _state: rng.bit_generator.state = _state"
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
        for run in ([item, CellAgain.of(item)] if isinstance(item, IPyNbCell) else [item])
    ]


@pytest.hookimpl(trylast=True)  # after the kernel has started
def pytest_runtest_setup(item):
    if isinstance(item, IPyNbCell):
        kernel = item.parent.kernel
        code = PUT_BACK if isinstance(item, CellAgain) else f"{ELSEWHERE}; {KEEP}"
        kernel.await_reply(kernel.kc.execute(code, silent=True), timeout=TIMEOUT)
