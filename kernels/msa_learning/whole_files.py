"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Write `data` to `path` by way of a temporary file beside it.

    It is moved there once it is on disk, so a process that is killed leaves the old file or the
    new one.
    """
    half = path.with_name(f"{path.name}.half")
    with half.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(half, path)
