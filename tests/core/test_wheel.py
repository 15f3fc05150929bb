"""What the wheel holds: every file of the four packages, and nothing else."""

import os
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "msa_ref": ROOT,
    "msa_kernels": ROOT / "kernels",
    "msa_learning": ROOT / "kernels",
    "msa_course": ROOT / "notebooks",
}
NEVER_SHIPPED = {"__pycache__", ".ipynb_checkpoints"}
MAX_BYTES = 20_000_000  # nearly all of it captured attention and trained weights


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel):
    """Files in the wheel, directories of metadata apart."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def source_files(package):
    """Every file of a package's folder, by its name in the wheel."""
    source = PACKAGES[package]
    found = [path for path in (source / package).rglob("*") if path.is_file()]
    return {
        path.relative_to(source).as_posix() for path in found if not NEVER_SHIPPED & set(path.parts)
    }


def versions(lines):
    """(package, versions) of every requirement but those that name this project's own extras."""
    found = {(one.name, one.specifier) for one in map(Requirement, lines)}
    return {(name, specifier) for name, specifier in found if name != "msa-ref"}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_file_of_a_package_is_in_the_wheel(package, names):
    inside = {name for name in names if name.startswith(f"{package}/")}
    assert inside == source_files(package)


def test_the_wheel_holds_the_packages_the_licence_and_metadata(names):
    metadata = {name for name in names if ".dist-info/" in name}
    (licence,) = [name for name in metadata if name.endswith("/licenses/LICENSE")]
    assert {name.split("/")[0] for name in names - metadata} == set(PACKAGES)
    assert {Path(name).name for name in metadata - {licence}} == {"METADATA", "WHEEL", "RECORD"}


def test_the_metadata_declare_the_versions_of_pyproject(wheel, names):
    """Lesson 00 compares what is installed with them."""
    (name,) = [name for name in names if name.endswith(".dist-info/METADATA")]
    with zipfile.ZipFile(wheel) as archive:
        metadata = Parser().parsestr(archive.read(name).decode("utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(line for lines in extras for line in lines)]
    assert versions(metadata.get_all("Requires-Dist")) == versions(wanted)
    assert metadata["Requires-Python"] == project["requires-python"]


def test_the_wheel_stays_small(wheel):
    assert wheel.stat().st_size < MAX_BYTES


def test_the_unpacked_wheel_finds_its_own_records(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = """
import msa_course, msa_ref
from msa_ref.data import load_record
print(msa_ref.__file__, msa_course.__file__, load_record("h200")["gpu"], sep="\\n")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    reference, course, gpu = done.stdout.splitlines()
    assert Path(reference).is_relative_to(tmp_path)
    assert Path(course).is_relative_to(tmp_path)
    assert "H200" in gpu
