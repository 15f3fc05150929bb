"""Arrays of the README's picture: dense attention's mask, block scores, and what MSA reads."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from msa_ref import dense, scoring, selection

NUM_TOKENS, BLOCK_SIZE, TOP_K = 128, 8, 4
INDEX_DIM, NUM_TOPICS = 16, 4


class Overview(NamedTuple):
    """Arrays behind the picture, one row a query: causal mask, block scores, state of each key."""

    causal: np.ndarray
    block_scores: np.ndarray
    states: np.ndarray


def compute() -> Overview:
    """Dense attention's mask, the index branch's scores and what MSA reads, for a made-up text.

    Every block of the text is about one of a few topics, and a query asks for its own topic or
    another one. States are 0 hidden, 1 visible but not read, 2 chosen, 3 forced (its local block).
    """
    rng = np.random.default_rng(7)
    topics = rng.standard_normal((NUM_TOPICS, INDEX_DIM))
    num_blocks = NUM_TOKENS // BLOCK_SIZE
    topic_of = np.repeat(rng.permutation(np.arange(num_blocks) % NUM_TOPICS), BLOCK_SIZE)
    asked = np.roll(topic_of, BLOCK_SIZE // 2)
    index_k = topics[topic_of] + 0.7 * rng.standard_normal((NUM_TOKENS, INDEX_DIM))
    index_q = topics[asked] + 0.4 * rng.standard_normal((NUM_TOKENS, INDEX_DIM))

    causal = dense.causal_mask(NUM_TOKENS, NUM_TOKENS)
    block_scores = scoring.block_scores(
        index_q[None, None], index_k[None, None], block_size=BLOCK_SIZE
    )
    chosen = selection.select_blocks(
        block_scores, top_k=TOP_K, block_size=BLOCK_SIZE, num_keys=NUM_TOKENS
    )
    read = np.repeat(selection.selection_mask(chosen, num_blocks)[0, 0], BLOCK_SIZE, axis=1)
    block_of = np.arange(NUM_TOKENS) // BLOCK_SIZE
    own = block_of == block_of[:, None]
    states = np.where(causal, 1 + read + (read & own), 0)
    return Overview(causal, block_scores[0, 0], states)
