"""Writes the list of the shipped files' checksums, after one of them was replaced.

python -m msa_ref.data.checksums
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from msa_ref.data import CHECKSUMS

FOLDER = Path(__file__).parent
SUFFIXES = {".npz", ".safetensors", ".json"}


def make_checksums() -> dict[str, str]:
    """SHA-256 of every array file and text beside this module; `measured/` is left out."""
    paths = [path for path in FOLDER.iterdir() if path.suffix in SUFFIXES]
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(paths)
        if path.name != CHECKSUMS
    }


def main() -> None:
    """Write the list."""
    text = json.dumps(make_checksums(), indent=1) + "\n"
    (FOLDER / CHECKSUMS).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
