"""Mutation testing: plant small faults in the packages and count those that the tests find.

    python tests/mutation.py                     # every NumPy module
    python tests/mutation.py selection sparse    # some modules
    python tests/mutation.py learning/recall     # one of msa_learning

Works on copies in build/mutation, prints a table and every fault that no test found, and exits with
1 if fewer than 90 % were found. The last runs are written down in docs/mutation.md.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build" / "mutation"
PACKAGES = ["msa_ref", "kernels/msa_kernels", "kernels/msa_learning"]
# The tests of the core's modules and of what is made of them. Golden files are too slow for this.
CORE = [
    *(f"core/test_{name}" for name in ("dense", "blocks", "scoring", "selection", "sparse")),
    *(f"core/test_{name}" for name in ("cache", "layer", "invariants", "properties", "traps")),
    *("core/test_bad_input", "core/test_bad_state"),
]
COST = ["core/test_cost", "core/test_cost_systems"]
TRAIN = ["learning/test_learning_steps", "learning/test_learning_train"]
# Every module's file, and the test files that are to notice a fault in it.
MODULES = {
    "dense": ("msa_ref/dense.py", CORE),
    "blocks": ("msa_ref/blocks.py", CORE),
    "scoring": ("msa_ref/scoring.py", CORE),
    "selection": ("msa_ref/selection.py", CORE),
    "sparse": ("msa_ref/sparse.py", CORE),
    "cache": ("msa_ref/cache.py", CORE),
    "cost": ("msa_ref/cost.py", COST),
    "systems_cost": ("msa_ref/systems_cost.py", COST),
    "masks": ("msa_ref/family/masks.py", ["family/test_family_masks"]),
    "learning/selection": (
        "msa_learning/attention/selection.py",
        ["learning/test_learning_selection"],
    ),
    "learning/recall": ("msa_learning/evaluate/recall.py", ["learning/test_learning_recall"]),
    "learning/tokens": ("msa_learning/corpus/tokens.py", ["learning/test_learning_corpus"]),
    "learning/schedule": ("msa_learning/train/schedule.py", ["learning/test_learning_schedule"]),
    "learning/training": ("msa_learning/train/training.py", TRAIN),
}
# PyTorch's tests are slow, so its modules are mutated only when asked for by name.
BY_DEFAULT = [name for name, (path, _) in MODULES.items() if path.startswith("msa_ref")]
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

NO_GRAD = re.compile(r"^@torch\.no_grad\(\)\n(?=def (\w+))", re.MULTILINE)


def apply_last(path):
    """Apply a module's decorators `no_grad` at its end: mutmut leaves decorated functions out."""
    text = path.read_text(encoding="utf-8")
    applied = [f"{name} = torch.no_grad()({name})\n" for name in NO_GRAD.findall(text)]
    path.write_text(NO_GRAD.sub("", text) + "".join(applied), encoding="utf-8")


def prepare(modules, test_files):
    """Copies of packages and tests in a folder of their own, with mutmut's settings."""
    shutil.rmtree(WORK, ignore_errors=True)
    tests = WORK / "tests"
    tests.mkdir(parents=True)
    for package in map(Path, PACKAGES):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, WORK / package.name, ignore=ignored)
    for name in modules:
        apply_last(WORK / MODULES[name][0])
    folders = {(ROOT / "tests" / name).parent for name in test_files}
    helpers = [path for folder in (ROOT / "tests", *folders) for path in folder.glob("*.py")]
    helpers = [path for path in helpers if not path.name.startswith(("test_", "conftest"))]
    for path in [*helpers, *(ROOT / "tests" / f"{name}.py" for name in test_files)]:
        shutil.copy(path, tests)
    fixtures = [path.read_text() for folder in folders for path in folder.glob("conftest.py")]
    (tests / "conftest.py").write_text("\n".join([CONFTEST, *fixtures]), encoding="utf-8")
    (WORK / "pyproject.toml").write_text(
        f"""
[tool.mutmut]
source_paths = {json.dumps([Path(package).name for package in PACKAGES])}
only_mutate = {json.dumps([MODULES[name][0] for name in modules])}
pytest_add_cli_args_test_selection = ["tests"]
timeout_multiplier = 3.0
timeout_constant = 20.0
use_git_change_detection = false

[tool.pytest.ini_options]
filterwarnings = ["error"]
markers = ["without_shapes"]
addopts = "-p no:cacheprovider -p no:randomly"
""",
        encoding="utf-8",
    )


def run_mutmut(*arguments):
    """Output of a mutmut command in the work folder; its own progress goes to the screen."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
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


def plant(modules, test_files):
    """Outcomes of all mutants of these modules, which share their tests; prints the survivors."""
    prepare(modules, test_files)
    run_mutmut("run", "--max-children", str(min(2, os.cpu_count() or 1)))
    results = outcomes()
    for name, outcome in results.items():
        if outcome not in FOUND:
            print(f"\n--- {outcome}: {name}\n{run_mutmut('show', name)}", flush=True)
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", metavar="module", help=f"of {', '.join(MODULES)}")
    modules = parser.parse_args().modules or BY_DEFAULT
    if unknown := set(modules) - set(MODULES):
        parser.error(f"takes modules of {', '.join(MODULES)}, not {', '.join(unknown)}")
    results = {}
    for test_files in dict.fromkeys(tuple(MODULES[name][1]) for name in modules):
        together = [name for name in modules if tuple(MODULES[name][1]) == test_files]
        results |= plant(together, test_files)
    print(f"\n{'module':<20}{'mutants':>9}{'found':>9}{'share':>9}")
    for module in [*modules, "all"]:
        prefix = "" if module == "all" else MODULES[module][0].replace("/", ".").removesuffix("py")
        group = [outcome for name, outcome in results.items() if name.startswith(prefix)]
        found = sum(outcome in FOUND for outcome in group)
        print(f"{module:<20}{len(group):>9}{found:>9}{found / max(1, len(group)):>9.1%}")
    print(dict(Counter(results.values())))
    found = sum(outcome in FOUND for outcome in results.values())
    sys.exit(not results or found / len(results) < WANTED)


if __name__ == "__main__":
    main()
