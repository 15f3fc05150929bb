"""Recall, perplexity and needles of a trained index, beside scorers that need no training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from msa_learning.attention.selection import Budget, selection_mask
from msa_learning.corpus import needles
from msa_learning.evaluate.block_scorers import Scorer, all_scorers
from msa_learning.evaluate.intervals import bootstrap, wilson
from msa_learning.evaluate.recall import RecallByLayer
from msa_learning.models.smollm2 import SmolLM2, SparseAttention, attend_dense, lm_losses

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

    from msa_learning.models.smollm2 import Attend

BLOCK_SIZES = (128, 32, 64)
BUDGET_TOKENS = (1024, 256, 512, 2048)
NO_BUDGET = ("block_size", "top_k", "budget")  # null in a record's row of dense attention
BY_LAYER_BUDGET = Budget(128, 8)
NEEDLE_LENGTHS = (4096, 1024, 2048, 6144)
BY_LAYER_LENGTHS = (4096, 6144)
# Sequences at a time, for a large GPU: many small steps cost more than their work.
TEXTS_AT_ONCE, NEEDLES_AT_ONCE = 9, 100


class RecallAndAgreement(RecallByLayer):
    """Recall of every scorer; of the learned index also where its selections agree.

    `agreement[budget]` fills with one tensor [4] a layer: the share of free blocks that a group has
    in common with its neighbour, the share in common with the layer before, the share of rows that
    select the first block, and the share that two random selections would have in common. Free
    are the blocks other than the local one, in rows that see more than k blocks.
    """

    def __init__(self, scorers: dict[str, Scorer], budgets: list[Budget]):
        super().__init__(scorers, budgets)
        self.agreement: dict[Budget, list[Tensor]] = {}
        self.layer_before: dict[Budget, Tensor] = {}

    def note(self, name: str, budget: Budget, chosen: Tensor, mass: Tensor) -> None:
        """Store one layer's recall, and the learned index's agreement."""
        super().note(name, budget, chosen, mass)
        if name == "learned":
            self.note_agreement(budget, chosen)

    def note_agreement(self, budget: Budget, chosen: Int[Tensor, "B Hkv T k"]) -> None:
        """Store one layer's agreement; the queries are all of the sequence."""
        num_keys = chosen.shape[2]
        mask = selection_mask(chosen, -(-num_keys // budget.block_size))
        local = torch.arange(num_keys, device=chosen.device) // budget.block_size
        free = mask & ~functional.one_hot(local, mask.shape[-1]).bool()
        free = free[:, :, budget.tokens :]
        groups = overlap(free, free.roll(1, dims=1))
        before = self.layer_before.get(budget)
        layers = overlap(free, before) if before is not None else torch.tensor(torch.nan)
        first = free[..., 0].float().mean()
        chance = ((budget.top_k - 1) / local[budget.tokens :]).mean()
        noted = torch.stack([x.cpu() for x in (groups, layers, first, chance)])
        self.agreement.setdefault(budget, []).append(noted)
        self.layer_before[budget] = free


def overlap(one: Bool[Tensor, "..."], other: Bool[Tensor, "..."]) -> Float[Tensor, ""]:
    """Share of one selection's blocks that the other has too."""
    return (one & other).sum() / one.sum()


def all_budgets(length: int) -> list[Budget]:
    """Every block size and number of tokens that leaves something to select."""
    return [Budget(size, n // size) for size in BLOCK_SIZES for n in BUDGET_TOKENS if n < length]


def budget_fields(budget: Budget) -> dict[str, int]:
    """A budget as the records have it: `budget` is in tokens."""
    return budget._asdict() | {"budget": budget.tokens}


def measure_recall(
    model: SmolLM2, scorers: dict[str, Scorer], texts: Int[np.ndarray, "n T"], device: torch.device
) -> tuple[list[dict], list[dict]]:
    """A row for every scorer and budget with recall by layer; and the index's agreement."""
    found, agreement = {}, {}
    budgets = all_budgets(texts.shape[1])
    for ids in torch.from_numpy(texts).split(TEXTS_AT_ONCE):
        hook = RecallAndAgreement(scorers, budgets)
        with torch.no_grad():
            model(ids.to(device), hook)
        for key, layers in hook.found.items():
            stacked = torch.stack([torch.stack(recall).cpu() for recall in layers])
            found.setdefault(key, []).append(stacked)
        for budget, layers in hook.agreement.items():
            agreement.setdefault(budget, []).append(torch.stack(layers))
    rows = []
    for (name, budget), batches in found.items():
        shares = torch.cat(batches, dim=-1)  # [layers, 3, texts]
        row = {"method": name} | budget_fields(budget)
        for place, share in enumerate(("score_recall", "block_recall", "mass")):
            row[share] = rounded(shares[:, place].mean(dim=-1))
        rows.append(row | {"score_recall_texts": rounded(shares[:, 0].mean(dim=0))})
    return rows, [agreement_row(*noted) for noted in agreement.items()]


def agreement_row(budget: Budget, batches: list[Float[Tensor, "layers 4"]]) -> dict:
    """One row of the record: means over the batches, layer by layer."""
    groups, layers, first, chance = torch.stack(batches).mean(dim=0).T
    lists = {"groups": groups, "neighbours": layers[1:], "first_block": first}
    row = budget_fields(budget) | {name: rounded(values) for name, values in lists.items()}
    return row | {"chance": rounded(chance)[0]}


def rounded(values: Float[Tensor, " n"]) -> list[float]:
    """To the records' four digits."""
    return [round(value, 4) for value in values.tolist()]


@torch.no_grad()
def nll_per_token(
    model: SmolLM2, texts: Int[np.ndarray, "n T"], attend: Attend, device: torch.device
) -> Float[np.ndarray, " n"]:
    """Mean negative log-likelihood of each text's tokens, in nats."""
    parts = torch.from_numpy(texts).to(device).split(TEXTS_AT_ONCE)
    return torch.cat([lm_losses(model, ids, attend) for ids in parts]).double().cpu().numpy()


def measure_perplexity(
    model: SmolLM2, scorers: dict[str, Scorer], texts: Int[np.ndarray, "n T"], device: torch.device
) -> Iterator[dict]:
    """Perplexity, sparse in every layer, of every scorer and budget; intervals over texts."""
    dense = nll_per_token(model, texts, attend_dense, device)
    yield {"method": "dense"} | perplexity_row(dense, dense)
    for budget in all_budgets(texts.shape[1]):
        for name, scorer in scorers.items():
            attend = SparseAttention(scorer.select, budget)
            row = {"method": name} | budget_fields(budget)
            yield row | perplexity_row(nll_per_token(model, texts, attend, device), dense)


def perplexity_row(nats: Float[np.ndarray, " n"], dense: Float[np.ndarray, " n"]) -> dict:
    """Perplexity and its ratio to dense, with 95 % bootstrap intervals over texts."""

    def interval(values):
        return [round(float(end), 4) for end in np.exp(bootstrap(values))]

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
    """Needles found of `count`, for every length, scorer and budget; dense beside them."""
    scorers, rows = all_scorers(branches), []
    for length in NEEDLE_LENGTHS:
        hay = needles.make_haystacks(encode, filler, length=length, count=count)
        right: dict[tuple, list] = {}
        for start in range(0, count, NEEDLES_AT_ONCE):
            part = needles.Haystacks(*(part[start : start + NEEDLES_AT_ONCE] for part in hay))
            ready = needles.Prefilled(model, branches, part)
            right.setdefault(("dense", None), []).append(ready.right(attend_dense))
            for budget in all_budgets(length):
                for name, scorer in scorers.items():
                    attend = SparseAttention(scorer.select, budget)
                    right.setdefault((name, budget), []).append(ready.right(attend))
        for (name, budget), parts in right.items():
            hits = int(torch.cat(parts).sum())
            sizes = budget_fields(budget) if budget else dict.fromkeys(NO_BUDGET)
            row = {"method": name, "length": length} | sizes
            rows.append(row | {"right": hits, "of": count, "interval": wilson(hits, count)})
    return rows


def needles_by_layer(
    model: SmolLM2, branches: nn.ModuleList, encode, filler, *, count: int
) -> list[dict]:
    """Needles found where one layer alone uses the learned index, or all layers but that one.

    The other layers select by exact mass. `layer` None: exact mass in every layer, and the learned
    index in every layer.
    """
    scorers, rows = all_scorers(branches), []
    learned, mass = (
        SparseAttention(scorers[name].select, BY_LAYER_BUDGET) for name in ("learned", "mass")
    )
    for length in BY_LAYER_LENGTHS:
        hay = needles.make_haystacks(encode, filler, length=length, count=count)
        ready = needles.Prefilled(model, branches, hay)
        for layer in (None, *range(model.sizes.layers)):
            alone, all_but = (
                int(ready.right(except_in_layer(layer, *both)).sum())
                for both in ((learned, mass), (mass, learned))
            )
            row = {"length": length, "layer": layer, "alone": alone, "all_but": all_but}
            rows.append(row | {"of": count})
        del ready  # its cache is large
    return rows


def except_in_layer(layer: int | None, here: Attend, elsewhere: Attend) -> Attend:
    """Attention that is `here` in this layer and `elsewhere` in all others."""
    return lambda inputs: (here if inputs.layer == layer else elsewhere)(inputs)
