"""Measure a trained index: recall, perplexity and needles, beside scorers without training.

python -m msa_learning.evaluate --tokens build/tokens --index build/i --out build/e.json
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from msa_learning.arguments import new_parser
from msa_learning.corpus.tokens import held_out_texts, load_tokens
from msa_learning.evaluate.block_scorers import all_scorers
from msa_learning.evaluate.measure import (
    measure_needles,
    measure_perplexity,
    measure_recall,
    needles_by_layer,
)
from msa_learning.index.storage import load_index
from msa_learning.models.smollm2 import load_model
from msa_ref import smollm2

if TYPE_CHECKING:
    import argparse

LENGTH = 4096


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = new_parser(__doc__, "tokens", "index", "weights", "out")
    made.add_argument("--texts", type=int, default=4, help="of every held-out set")
    made.add_argument("--needles", type=int, default=200)
    return made


def main() -> None:
    """Measure one part after the other; the file is written again after each."""
    arguments = parser().parse_args()
    tokens, _ = load_tokens(arguments.tokens)
    source = smollm2.SmolLM2(arguments.weights)
    model = load_model(source)
    device = model.token_embd.weight.device
    branches = load_index(arguments.index).to(device).requires_grad_(False)
    scorers = all_scorers(branches)
    names, texts = held_out_texts(tokens, per_set=arguments.texts, length=LENGTH)
    found = {"texts": names, "seconds": {}}

    def done(part: str, started: float) -> None:
        found["seconds"][part] = round(time.perf_counter() - started, 1)
        arguments.out.write_text(json.dumps(found) + "\n", encoding="utf-8")
        print(f"{part}: {len(found[part])} rows, {found['seconds'][part]} s", flush=True)

    started = time.perf_counter()
    found["recall"], found["agreement"] = measure_recall(model, scorers, texts, device)
    done("recall", started)
    needles = source.encode, tokens["held_topics"]
    for part, measure in (("needles", measure_needles), ("by_layer", needles_by_layer)):
        started = time.perf_counter()
        found[part] = measure(model, branches, *needles, count=arguments.needles)
        done(part, started)
    started, found["perplexity"] = time.perf_counter(), []
    for row in measure_perplexity(model, scorers, texts, device):
        found["perplexity"].append(row)
        done("perplexity", started)


if __name__ == "__main__":
    main()
