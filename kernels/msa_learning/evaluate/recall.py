"""How good a layer's selection is: score and block recall against the dense model's attention."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from msa_learning.attention.index_loss import attention_target
from msa_learning.attention.selection import (
    CHUNK_QUERIES,
    Budget,
    best_blocks,
    query_chunks,
    selection_mask,
    visible_tokens,
)
from msa_learning.models.smollm2 import AttentionInput, attend_dense
from msa_ref.checks import check_sizes

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

    from msa_learning.evaluate.block_scorers import Scorer


class Recall(NamedTuple):
    """Means over the rows that see more than k blocks, one number a sequence: [B]."""

    score: Tensor
    block: Tensor
    mass: Tensor


@torch.no_grad()
def block_mass(
    q: Float[Tensor, "B Hq T d"], k: Float[Tensor, "B Hkv S d"], *, block_size: int
) -> Float[Tensor, "B Hkv T nb"]:
    """Dense attention mass of every block, the mean over the group's heads. Source: section 5.2."""
    check_sizes(block_size=block_size)
    num_keys, dtype = k.shape[2], torch.promote_types(q.dtype, torch.float32)
    mass = q.new_zeros(
        (q.shape[0], k.shape[1], q.shape[2], -(-num_keys // block_size)), dtype=dtype
    )
    for rows, num_visible in query_chunks(q.shape[2], num_keys, CHUNK_QUERIES):
        visible = visible_tokens(rows.stop - rows.start, num_visible, q.device)
        queries, keys = q[:, :, rows].to(dtype), k[:, :, :num_visible].to(dtype)
        with torch.autocast(q.device.type, enabled=False):
            weights = attention_target(queries, keys, visible, q.shape[3] ** -0.5)
        weights = torch.nn.functional.pad(weights, (0, -num_visible % block_size))
        sums = weights.unflatten(-1, (-1, block_size)).sum(dim=-1)
        mass[:, :, rows, : sums.shape[-1]] = sums
    return mass


@torch.no_grad()
def measure(
    selection: Int[Tensor, "B Hkv T k"],
    mass: Float[Tensor, "B Hkv T nb"],
    *,
    num_keys: int,
    block_size: int,
) -> Recall:
    """Recall of a selection against the best blocks by mass, the local block forced in both.

    Over the rows that see more than k blocks; NaN if there are none. Source: MSA paper,
    section 5.2.
    """
    top_k, num_blocks = selection.shape[3], mass.shape[3]
    ideal = best_blocks(mass, top_k=top_k, block_size=block_size, num_keys=num_keys)
    first = max(0, top_k * block_size - (num_keys - mass.shape[2]))
    chosen, ideal, mass = (
        rows[:, :, first:]
        for rows in (
            selection_mask(selection, num_blocks),
            selection_mask(ideal, num_blocks),
            mass,
        )
    )
    hits = chosen & ideal
    shares = (
        (mass * hits).sum(dim=-1) / (mass * ideal).sum(dim=-1),
        hits.sum(dim=-1) / ideal.sum(dim=-1),
        (mass * chosen).sum(dim=-1),
    )
    return Recall(*(share.mean(dim=(1, 2)) for share in shares))


class RecallByLayer:
    """Dense attention that measures how well each scorer would have selected, in every layer.

    `found[name, budget]` fills with one Recall a layer.
    """

    def __init__(self, scorers: dict[str, Scorer], budgets: list[Budget]):
        self.scorers, self.budgets = scorers, budgets
        self.found: dict[tuple[str, Budget], list[Recall]] = {}

    def __call__(self, inputs: AttentionInput):
        for block_size in dict.fromkeys(budget.block_size for budget in self.budgets):
            mass = block_mass(inputs.q, inputs.k, block_size=block_size)
            for name, scorer in self.scorers.items():
                scores = scorer.scores(inputs, block_size)
                for budget in self.budgets:
                    if budget.block_size == block_size:
                        chosen = scorer.from_scores(scores, inputs, budget)
                        self.note(name, budget, chosen, mass)
        return attend_dense(inputs)

    def note(self, name: str, budget: Budget, chosen: Tensor, mass: Tensor) -> None:
        """Store one layer's recall."""
        sizes = {"num_keys": mass.shape[2], "block_size": budget.block_size}
        found = measure(chosen, mass, **sizes)
        self.found.setdefault((name, budget), []).append(found)
