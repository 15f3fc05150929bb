"""Mutation testing: plant small faults in the package and count those that the tests find.

    python tests/mutation.py                     # six modules, a quarter of an hour on two cores
    python tests/mutation.py selection sparse    # some of them

Works on copies in build/mutation, prints a table and every fault that no test found, and exits with
1 if fewer than 90 % were found. The last full run is written down in docs/mutation.md.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build" / "mutation"
MODULES = ["dense", "blocks", "scoring", "selection", "sparse", "cache"]
# The tests of these modules and of what is made of them. Golden files are too slow for this.
TESTS = [*MODULES, "layer", "invariants", "properties", "traps", "bad_input", "bad_state"]
WANTED = 0.9
FOUND = {"killed", "timeout", "segfault", "suspicious"}

# Faults are found by failing, not by the smallest failing example: shrinking only takes time.
CONFTEST = """
from hypothesis import Phase, settings

settings.register_profile(
    "mutation", deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate]
)
settings.load_profile("mutation")
"""


def prepare(modules):
    """Copies of the package and of its tests in a folder of their own, with mutmut's settings."""
    shutil.rmtree(WORK, ignore_errors=True)
    tests = WORK / "tests"
    tests.mkdir(parents=True)
    shutil.copytree(
        ROOT / "msa_ref", WORK / "msa_ref", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ["cases", "oracle", *(f"core/test_{name}" for name in TESTS)]:
        shutil.copy(ROOT / "tests" / f"{name}.py", tests)
    (tests / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    (WORK / "pyproject.toml").write_text(
        f"""
[tool.mutmut]
source_paths = ["msa_ref"]
only_mutate = {json.dumps([f"msa_ref/{name}.py" for name in modules])}
pytest_add_cli_args_test_selection = ["tests"]
timeout_multiplier = 3.0
timeout_constant = 20.0
use_git_change_detection = false

[tool.pytest.ini_options]
filterwarnings = ["error"]
addopts = "-p no:cacheprovider -p no:randomly"
""",
        encoding="utf-8",
    )


def run_mutmut(*arguments):
    """Output of a mutmut command in the work folder; its own progress goes to the screen."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    shown = None if arguments[0] == "run" else subprocess.PIPE
    command = [sys.executable, "-m", "mutmut", *arguments]
    done = subprocess.run(command, cwd=WORK, env=environment, stdout=shown, text=True)
    if done.returncode and arguments[0] != "run":
        sys.exit(f"mutmut {' '.join(arguments)} failed")
    return done.stdout


def outcomes():
    """Outcome of every mutant by its name."""
    listed = run_mutmut("results", "--all", "true").splitlines()
    return dict(line.strip().split(": ") for line in listed if ": " in line)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", metavar="module", help=f"of {', '.join(MODULES)}")
    modules = parser.parse_args().modules or MODULES
    if unknown := set(modules) - set(MODULES):
        parser.error(f"takes modules of {', '.join(MODULES)}, not {', '.join(unknown)}")
    prepare(modules)
    run_mutmut("run", "--max-children", str(min(2, os.cpu_count() or 1)))
    results = outcomes()
    survivors = [name for name, outcome in results.items() if outcome not in FOUND]
    for name in survivors:
        print(f"\n--- {results[name]}: {name}\n{run_mutmut('show', name)}")
    print(f"\n{'module':<12}{'mutants':>9}{'found':>9}{'share':>9}")
    for module in [*modules, "all"]:
        group = [
            outcome for name, outcome in results.items() if module in ("all", name.split(".")[1])
        ]
        found = sum(outcome in FOUND for outcome in group)
        print(f"{module:<12}{len(group):>9}{found:>9}{found / max(1, len(group)):>9.1%}")
    print(dict(Counter(results.values())))
    sys.exit(1 - len(survivors) / max(1, len(results)) < WANTED or not results)


if __name__ == "__main__":
    main()
