"""The documented commands of training: each module is there and takes the options it is given."""

import importlib
import re
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "docs" / "measured" / "learning.sh"
PAGES = [SCRIPT, ROOT / "docs" / "model_card.md", ROOT / "msa_ref" / "data" / "README.md"]


def commands():
    """Module and options of every command, continued lines joined."""
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        text = text.replace("$T ", "--tokens a --weights b ").replace("$INDEX", "--index c")
        for module, rest in re.findall(r"(?:\$L|python -m msa_learning)\.([\w.]+)(.*)", text):
            yield pytest.param(module, re.findall(r"--\w+", rest), id=f"{page.name} {module}")


@pytest.mark.parametrize(("module", "options"), list(commands()))
def test_a_documented_command_has_its_options(module, options):
    name = f"msa_learning.{module}"
    if find_spec(name).submodule_search_locations is not None:
        name += ".__main__"
    known = {option for action in parser_of(name)._actions for option in action.option_strings}
    assert set(options) <= known


def parser_of(name):
    return importlib.import_module(name).parser()


def test_there_are_commands_to_check():
    assert len(list(commands())) >= 14


def test_the_script_is_bash_and_explains_itself():
    subprocess.run(["bash", "-n", SCRIPT], check=True)
    told = subprocess.run(["bash", SCRIPT], cwd=ROOT, capture_output=True, text=True)
    assert told.returncode == 2
    verbs = re.findall(r"^(\w+)\)$", SCRIPT.read_text(), re.MULTILINE)
    assert verbs == ["pack", "store", "time", "train", "evaluate", "joint", "short"]
    assert all(f"learning.sh {verb}" in told.stdout for verb in verbs)
