"""The documented commands of training: each module is there and takes the options it is given."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "docs" / "measured" / "learning.sh"
LEARNING = ROOT / "kernels" / "msa_learning"
PAGES = [SCRIPT, ROOT / "docs" / "model_card.md"]


def commands():
    """Module and options of every command, continued lines joined."""
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        text = text.replace("$T ", "--tokens a --weights b ").replace("$INDEX", "--index c")
        for module, rest in re.findall(r"(?:\$L|python -m msa_learning)\.([\w.]+)(.*)", text):
            yield pytest.param(module, re.findall(r"--\w+", rest), id=f"{page.name} {module}")


@pytest.mark.parametrize(("module", "options"), list(commands()))
def test_a_documented_command_has_its_options(module, options):
    source = (LEARNING / f"{module.replace('.', '/')}.py").read_text()
    known = set(re.findall(r'"--(\w+)"', source))
    for names in re.findall(r"for name in \(([^)]*)\):\s+parser", source):
        known |= set(re.findall(r'"(\w+)"', names))
    assert {option.removeprefix("--") for option in options} <= known


def test_there_are_commands_to_check():
    assert len(list(commands())) >= 14


def test_the_script_is_bash_and_explains_itself():
    subprocess.run(["bash", "-n", SCRIPT], check=True)
    told = subprocess.run(["bash", SCRIPT], cwd=ROOT, capture_output=True, text=True)
    assert told.returncode == 2
    verbs = re.findall(r"^(\w+)\)$", SCRIPT.read_text(), re.MULTILINE)
    assert verbs == ["pack", "store", "time", "train", "evaluate", "joint", "short"]
    assert all(f"learning.sh {verb}" in told.stdout for verb in verbs)
