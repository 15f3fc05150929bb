"""Token 612 of the captured text on its way through MSA, and what its whole layer chooses."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from msa_course.index_branch.branch import trained_index
from msa_ref import data, scoring, selection

if TYPE_CHECKING:
    from jaxtyping import Float, Int32

LAYER, HEAD, GROUP, BLOCK_SIZE = 18, 6, 2, 32


class FourSteps(NamedTuple):
    """One query: scores of tokens and blocks, the blocks it reads, its attention to them."""

    token_scores: Float[np.ndarray, " S"]
    block_scores: Float[np.ndarray, " nb"]
    chosen: Int32[np.ndarray, " k"]
    weights: Float[np.ndarray, " S"]  # 0 at tokens that are not read


def four_steps(query: int = 612, top_k: int = 4) -> FourSteps:
    """The four steps of one query of layer 18, head 6, with the shipped index."""
    index_q, index_k = trained_index(query + 1)
    tokens = scoring.token_scores(index_q[:, :, -1:], index_k)[:, [GROUP]]
    blocks = scoring.max_pool(tokens, BLOCK_SIZE)
    sizes = {"top_k": top_k, "block_size": BLOCK_SIZE, "num_keys": query + 1}
    chosen = selection.select_blocks(blocks, **sizes)[0, 0, 0]
    capture = data.load_capture(LAYER)
    keys = capture.k[0, GROUP, : query + 1]
    logits = keys @ capture.q[0, HEAD, query] / np.sqrt(keys.shape[1])
    read = np.isin(np.arange(query + 1) // BLOCK_SIZE, chosen)
    weights = np.where(read, np.exp(logits - logits.max()), 0)
    return FourSteps(tokens[0, 0, 0], blocks[0, 0, 0], chosen, weights / weights.sum())


def text_selection(num_tokens: int = 1024, top_k: int = 4) -> Int32[np.ndarray, "T k"]:
    """The blocks of 32 that each query of layer 18's group 2 reads, chosen by the shipped index."""
    index_q, index_k = trained_index(num_tokens)
    scores = scoring.block_scores(index_q[:, [GROUP]], index_k, block_size=BLOCK_SIZE)
    sizes = {"top_k": top_k, "block_size": BLOCK_SIZE, "num_keys": num_tokens}
    return selection.select_blocks(scores, **sizes)[0, 0]


def attention_of(query: int = 612) -> Float[np.ndarray, " S"]:
    """Dense attention weights of layer 18, head 6 at one query."""
    capture = data.load_capture(LAYER)
    keys = capture.k[0, GROUP, : query + 1]
    logits = keys @ capture.q[0, HEAD, query] / np.sqrt(keys.shape[1])
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()
