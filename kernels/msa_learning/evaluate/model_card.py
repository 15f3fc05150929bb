"""The tables of docs/model_card.md, from the record of the training run.

python -m msa_learning.evaluate.model_card msa_ref/data/measured/learning.json docs/model_card.md
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from msa_learning.arguments import new_parser

if TYPE_CHECKING:
    import argparse

BEGIN, END = "<!-- tables -->", "<!-- /tables -->"
GOAL = {"block_size": 128, "top_k": 8}
LENGTH = 4096
METHODS = {
    "learned": "**learned index**",
    "learned+sink": "learned index, first block forced",
    "max": "exact highest score (reads every key)",
    "mass": "exact attention mass (reads every key)",
    "mean": "mean of a block's keys",
    "bound": "bound from a block's lowest and highest channels",
    "window": "last blocks",
}
SCORE_RECALL, PERPLEXITY_RATIO, NEEDLE_POINTS, MINUTES = 0.90, 1.01, 2, 20


def pick(rows: list[dict], **wanted) -> dict | None:
    """The first row with all of these values, or None: the record of a stopped run lacks some."""
    return next((row for row in rows if wanted.items() <= row.items()), None)


def mean(values: list[float]) -> float:
    """Mean of a list of numbers."""
    return sum(values) / len(values)


def table(head: str, rows: list[list[str]]) -> Iterator[str]:
    """Lines of a Markdown table; `head` names the columns, with bars between."""
    yield f"| {head} |"
    yield "|---" * (head.count("|") + 1) + "|"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def goals(record: dict) -> Iterator[str]:
    """The goals at 8 blocks of 128 and 4K, what was measured, and whether each is reached."""
    recall = mean(pick(record["recall"], method="learned", **GOAL)["score_recall"])
    ratio = pick(record["perplexity"], method="learned", **GOAL)["ratio"]
    dense = pick(record["needles"], method="dense", length=LENGTH)
    found = pick(record["needles"], method="learned", length=LENGTH, **GOAL)
    behind = 100 * (dense["right"] / dense["of"] - found["right"] / found["of"])
    minutes = record["header"]["run"]["seconds"] / 60
    rows = [
        ["score recall", "at least .90", f"{recall:.3f}", recall >= SCORE_RECALL],
        [
            "perplexity against dense",
            "within 1 %",
            f"{100 * (ratio - 1):+.1f} %",
            ratio <= PERPLEXITY_RATIO,
        ],
        [
            "needles against dense",
            "within 2 points",
            f"{found['right']} of {found['of']} against {dense['right']}: {behind:.1f} points less",
            behind <= NEEDLE_POINTS,
        ],
        ["training time", "within 20 minutes", f"{minutes:.1f} minutes", minutes <= MINUTES],
    ]
    yield from table(
        "goal | wanted | found | reached",
        [[*row[:3], "yes" if row[3] else "**no**"] for row in rows],
    )


def methods(record: dict) -> Iterator[str]:
    """Every method at 8 blocks of 128 and 4K, dense last."""
    rows = []
    for method, name in METHODS.items():
        recall = pick(record["recall"], method=method, **GOAL)
        text = pick(record["perplexity"], method=method, **GOAL)
        needles = pick(record["needles"], method=method, length=LENGTH, **GOAL)
        shares = [f"{mean(recall[key]):.3f}" for key in ("score_recall", "block_recall", "mass")]
        low, high = text["ratio_interval"]
        rows.append([name, *shares, f"{text['ratio']:.3f} [{low:.3f}, {high:.3f}]"])
        rows[-1].append(needle_cell(needles))
    dense = pick(record["needles"], method="dense", length=LENGTH)
    rows.append(["dense attention", "", "", "", "1", needle_cell(dense)])
    yield from table(
        "blocks chosen by | score recall | block recall | mass | perplexity / dense | needles", rows
    )


def needle_cell(row: dict) -> str:
    """Needles found, with the interval of the share."""
    low, high = row["interval"]
    return f"{row['right']} of {row['of']} [{low:.2f}, {high:.2f}]"


def budgets(record: dict) -> Iterator[str]:
    """The learned index at every block size and budget, 4K."""
    rows = []
    for recall in sorted(
        (row for row in record["recall"] if row["method"] == "learned"),
        key=lambda row: (row["budget"], row["block_size"]),
    ):
        size = {key: recall[key] for key in ("block_size", "top_k")}
        text = pick(record["perplexity"], method="learned", **size)
        needles = pick(record["needles"], method="learned", length=LENGTH, **size)
        oracle = pick(record["needles"], method="max", length=LENGTH, **size)
        rows.append(
            [
                f"{recall['budget']:,}",
                f"{recall['top_k']} of {recall['block_size']}",
                f"{mean(recall['score_recall']):.3f}",
                f"{text['ratio']:.3f}" if text else "not measured",
                f"{needles['right']}",
                f"{oracle['right']}",
            ]
        )
    head = "budget, tokens | blocks | score recall | perplexity / dense"
    yield from table(f"{head} | needles of 200 | exact highest score", rows)


def lengths(record: dict) -> Iterator[str]:
    """Needles by context length, at 8 blocks of 128 or half of that where 8 are all there is."""
    rows = []
    for length in sorted({row["length"] for row in record["needles"]}):
        size = {"block_size": 128, "top_k": 8 if length > 8 * 128 else 4}
        row = [f"{length:,}", f"{size['top_k']} of 128"]
        row.append(str(pick(record["needles"], method="dense", length=length)["right"]))
        for method in ("learned", "max", "mean", "window"):
            row.append(str(pick(record["needles"], method=method, length=length, **size)["right"]))
        rows.append(row)
    yield from table("context | blocks | dense | learned | highest score | mean | last", rows)


def trunks(record: dict) -> Iterator[str]:
    """LM loss on held-out text of every run in which the trunk learned too."""
    dense = pick(record["joint"], run="dense")
    rows = []
    for run in record["joint"]:
        before, after = (mean(run[key]) for key in ("lm_before", "lm_after"))
        over = 100 * (mean([a / b for a, b in zip(run["lm_after"], dense["lm_after"])]) - 1)
        rows.append(
            [run["run"], str(run["steps"]), f"{before:.4f}", f"{after:.4f}", f"{over:+.2f} %"]
        )
    yield from table("run | steps | loss before | loss after | against dense", rows)


def tables(record: dict) -> str:
    """All tables under their headings, between the two marks."""
    header = record["header"]
    run = header["run"]
    parts = [
        ("Goals", goals),
        ("Ways to choose 8 blocks of 128 at 4,096 tokens", methods),
        ("Budgets at 4,096 tokens", budgets),
        ("Needles of 200 by context", lengths),
    ]
    if record["joint"]:
        parts.append(("The trunk learns too, 8 blocks of 128 at 4,096 tokens", trunks))
    lines = [
        BEGIN,
        f"Measured on {header['gpu']} on {header['date']} (torch {header['versions']['torch']}): "
        f"{run['steps']} steps, {run['trained_tokens'] / 1e6:.1f} M tokens, "
        f"{run['seconds']:.0f} s of training, seed {run['seed']}.",
    ]
    if header["missing"]:
        lines += ["", f"Not in the record: {'; '.join(header['missing'])}."]
    for heading, part in parts:
        lines += ["", f"### {heading}", "", *part(record)]
    return "\n".join([*lines, END])


def between(text: str, made: str) -> str:
    """The page with the text between the marks replaced."""
    before, rest = text.split(BEGIN)
    return before + made + rest.split(END)[1]


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = new_parser(__doc__)
    made.add_argument("record", type=Path)
    made.add_argument("page", type=Path)
    return made


def main() -> None:
    """Write the record's tables between the marks of the page."""
    arguments = parser().parse_args()
    record, page = arguments.record, arguments.page
    made = tables(json.loads(record.read_text(encoding="utf-8")))
    page.write_text(between(page.read_text(encoding="utf-8"), made), encoding="utf-8")


if __name__ == "__main__":
    main()
