"""Print the lower bounds of pyproject.toml as exact versions, as `make oldest` installs them."""

import re
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
BOUND = re.compile(r"(?P<name>[\w.-]+)>=(?P<version>[\w.]+)")


def lower_bounds(project):
    """name==version for every requirement of a parsed `[project]` table, extras included.

    A requirement without a lower bound is a ValueError; extras of the project itself are skipped.
    """
    extras = project["optional-dependencies"].values()
    lines = {line for lines in (project["dependencies"], *extras) for line in lines}
    own = f"{project['name']}["
    pins = []
    for line in sorted(line for line in lines if not line.startswith(own)):
        bound = BOUND.match(line)
        if bound is None:
            raise ValueError(f"{line!r} has no lower bound; write name>=version first")
        pins.append(f"{bound['name']}=={bound['version']}")
    return pins


if __name__ == "__main__":
    table = tomllib.loads(PROJECT.read_text(encoding="utf-8"))
    print(*lower_bounds(table["project"]), sep="\n")
