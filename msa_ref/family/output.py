"""What every system of the family returns, and the one softmax that all of them end in."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from msa_ref import dense

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int


class Branch(NamedTuple):
    """One softmax of a system: the entries there are, who may look at which, and its weight.

    An entry is what one key stands for, by its first and last token: (j, j) is the raw token j,
    (8, 11) a summary of four tokens. `gate` is the weight of this branch's softmax in the output:
    ones where there is one branch.
    """

    entries: Int[np.ndarray, "E 2"]
    allowed: Bool[np.ndarray, "B H T E"]
    gate: Float[np.ndarray, "B H T"]


class FamilyOutput(NamedTuple):
    """What `run` returns: every query head's output (no output projection), and its branches."""

    out: Float[np.ndarray, "B H T dv"]
    branches: tuple[Branch, ...]


def make_branch(
    entries: Int[np.ndarray, "E 2"],
    allowed: Bool[np.ndarray, "*#rows E"],
    gate: Float[np.ndarray, "B H T"],
) -> Branch:
    """The branch with its mask for every sequence, head and query, where `allowed` is for all."""
    return Branch(entries, np.broadcast_to(allowed, (*gate.shape, len(entries))), gate)


def single_branch(
    out: Float[np.ndarray, "B H T dv"],
    entries: Int[np.ndarray, "E 2"],
    allowed: Bool[np.ndarray, "*#rows E"],
) -> FamilyOutput:
    """The output of a system with one softmax: its gate is 1 everywhere."""
    return FamilyOutput(out, (make_branch(entries, allowed, np.ones(out.shape[:3])),))


def token_entries(tokens: Int[np.ndarray, " E"]) -> Int[np.ndarray, "E 2"]:
    """Entries that are raw tokens: each is its own first and last."""
    return np.stack([tokens, tokens], axis=1)


def attend(
    q: Float[np.ndarray, "B H T d"],
    k: Float[np.ndarray, "B Hkv E d"],
    v: Float[np.ndarray, "B Hkv E dv"],
    allowed: Bool[np.ndarray, "*#rows E"],
    *,
    scale: float | None = None,
    sink: Float[np.ndarray, " H"] | None = None,
) -> tuple[Float[np.ndarray, "B H T dv"], Float[np.ndarray, "B H T E"]]:
    """Output and weights of one softmax over the entries each query is allowed.

    Query head h reads KV head h // (H / Hkv). `scale` is d**-0.5 unless given. `sink` is a logit
    per head that joins the denominator and carries no value, so weights sum to less than 1. A row
    that is allowed nothing has output and weights 0; there may be no entries at all (E = 0).
    """
    batch, num_heads, num_queries, head_dim = q.shape
    scale = head_dim**-0.5 if scale is None else scale
    k = np.repeat(k, num_heads // k.shape[1], axis=1)
    v = np.repeat(v, num_heads // v.shape[1], axis=1)
    scores = np.where(allowed, q @ k.swapaxes(-1, -2) * scale, -np.inf)
    sink = np.full(num_heads, -np.inf) if sink is None else sink
    column = np.broadcast_to(sink[:, None, None], (batch, num_heads, num_queries, 1))
    weights, _ = dense.softmax_lse(np.concatenate([scores, column], axis=-1))
    weights = weights[..., :-1]
    return weights @ v, weights


def attend_tokens(
    q: Float[np.ndarray, "B Hq T d"],
    k: Float[np.ndarray, "B Hkv S d"],
    v: Float[np.ndarray, "B Hkv S d"],
    allowed: Bool[np.ndarray, "*#rows S"],
) -> FamilyOutput:
    """The output of one softmax over raw tokens 0 to S - 1."""
    out, _ = attend(q, k, v, allowed)
    return single_branch(out, token_entries(np.arange(k.shape[2])), allowed)


def sum_over_groups(
    weights: Float[np.ndarray, "B Hq T E"], num_groups: int
) -> Float[np.ndarray, "B groups T E"]:
    """Softmax weights summed over the query heads of each group; there may be no entries."""
    batch, num_heads, num_queries, num_entries = weights.shape
    shape = (batch, num_groups, num_heads // num_groups, num_queries, num_entries)
    return weights.reshape(shape).sum(axis=2)
