"""Settings shared by every test: the same examples each run, and shapes checked if asked for."""

from pathlib import Path

from hypothesis import settings

CORE = Path(__file__).parent / "core"

# Derandomised: a red run can be repeated by whoever sees it. No deadline: machines are shared.
settings.register_profile("repeatable", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("repeatable")


def pytest_addoption(parser):
    parser.addoption(
        "--shapes",
        action="store_true",
        help="check msa_ref's shape annotations on every call, in tests not marked without_shapes",
    )


def pytest_configure(config):
    config.addinivalue_line(
        "markers",
        "without_shapes: outside core, or passes types that are forbidden, or calls nothing new",
    )
    if config.getoption("--shapes"):
        import shape_hook

        shape_hook.install()


def pytest_collection_modifyitems(config, items):
    for item in items:
        if not item.path.is_relative_to(CORE):
            item.add_marker("without_shapes")
    if config.getoption("--shapes"):
        left_out = [item for item in items if item.get_closest_marker("without_shapes")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
