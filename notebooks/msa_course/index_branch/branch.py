"""The index branch of a layer: index queries and index keys from hidden states."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from msa_ref import data, scoring, selection
from msa_ref.layer import rms_norm
from msa_ref.smollm2 import rotate

if TYPE_CHECKING:
    from jaxtyping import Float

THETA = 1e5  # the base of SmolLM2's rotary positions


def project_index(
    x: Float[np.ndarray, "T width"],
    w_iq: Float[np.ndarray, "width Hkv*di"],
    w_ik: Float[np.ndarray, "width di"],
    num_groups: int,
) -> tuple[Float[np.ndarray, "1 Hkv T di"], Float[np.ndarray, "1 1 T di"]]:
    """Index queries, one head per group, and index keys, one head for all groups."""
    index_q = (x @ w_iq).reshape(1, len(x), num_groups, -1).swapaxes(1, 2)
    return index_q, (x @ w_ik)[None, None]


def norm_and_rotate(
    heads: Float[np.ndarray, "1 H T di"], weight: Float[np.ndarray, " di"]
) -> Float[np.ndarray, "1 H T di"]:
    """The heads of tokens 0 to T - 1 after RMSNorm and SmolLM2's rotary positions."""
    return rotate(rms_norm(heads, weight), np.arange(heads.shape[2]), THETA)


class Catalogue(NamedTuple):
    """One query's block scores by a trained index, the blocks it reads, and their best tokens."""

    scores: Float[np.ndarray, " nb"]
    chosen: list[int]
    winners: dict[int, int]  # by chosen block
    words: list[str]


def trained_index(
    num_tokens: int,
) -> tuple[Float[np.ndarray, "1 Hkv T di"], Float[np.ndarray, "1 1 T di"]]:
    """Index queries and keys of the captured text's first tokens by layer 18's shipped index."""
    weights, hidden = data.load_index_weights(18), data.load_hidden()[:num_tokens]
    index_q, index_k = project_index(hidden, weights.q_proj.T, weights.k_proj.T, 3)
    return norm_and_rotate(index_q, weights.q_norm), norm_and_rotate(index_k, weights.k_norm)


def catalogue(query: int = 612, group: int = 2, top_k: int = 4) -> Catalogue:
    """What the shipped index of SmolLM2's layer 18 says to one query of the captured text."""
    index_q, index_k = trained_index(query + 1)
    tokens = scoring.token_scores(index_q[:, :, -1:], index_k)[0, group, 0]
    scores = scoring.max_pool(tokens, 32)
    sizes = {"top_k": top_k, "block_size": 32, "num_keys": query + 1}
    chosen = selection.select_blocks(scores[None, None, None], **sizes)[0, 0, 0].tolist()
    winners = {b: 32 * b + int(tokens[32 * b : 32 * b + 32].argmax()) for b in chosen}
    return Catalogue(scores, chosen, winners, data.load_text()["words"])
