"""The numbers behind the news: one real look, the library in bytes, the yardstick, the waiting."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from msa_ref import M2, M3, cost, data

MILLION = 2**20
# MiniMax's announcement of M3, against M2 at a million tokens, and the paper's own measurement of
# decode, against dense attention of the same shape.
CLAIMED_DECODE, CLAIMED_PREFILL, CLAIMED_SHARE = 15.6, 9.7, 1 / 20
PAPER_DECODE = 7.6
# The look that the course follows: this token of the shipped text, in this head of this layer.
LAYER, HEAD, TOKEN = 18, 6, 612
GPU_MEMORY = 80e9


class Look(NamedTuple):
    """What one token of a real text reads: the tokens up to it, and the weight of each."""

    words: list[str]
    weights: np.ndarray
    best: int


class Library(NamedTuple):
    """One attention layer of M3 at a million tokens: shelves, and bytes read for one new token."""

    shelves: int
    shelves_read: int
    all_pages: int
    pages_read: int
    cards: int


class Waiting(NamedTuple):
    """The least a reader waits at a million tokens, with dense attention and with MSA.

    Seconds to read the text, of which `dense_layers` are those of MSA's few dense layers, and
    tokens per second of the answer.
    """

    prompt: tuple[float, float]
    dense_layers: float
    tokens_per_second: tuple[float, float]


def look() -> Look:
    """The look of token TOKEN: softmax over everything before it and itself."""
    capture = data.load_capture(LAYER)
    group = HEAD * capture.k.shape[1] // capture.q.shape[1]
    keys = capture.k[0, group, : TOKEN + 1].astype(np.float64)
    scores = keys @ capture.q[0, HEAD, TOKEN] / np.sqrt(keys.shape[-1])
    weights = np.exp(scores - scores.max())
    weights /= weights.sum()
    return Look(data.load_text()["words"][: TOKEN + 1], weights, int(weights.argmax()))


def library(context: int = MILLION) -> Library:
    """M3's library for the newest of `context` tokens."""
    sizes = M3.attention
    all_pages = cost.decode_bytes(cost.dense_model(M3), context).layer
    cards = sizes.index_dim * cost.BF16_BYTES * context
    read = cost.decode_bytes(M3, context).layer - cards
    return Library(context // sizes.block_size, sizes.top_k, all_pages, read, cards)


def yardstick(context: int = MILLION) -> dict[str, int]:
    """Bytes that one layer reads for one new token: M2, M3's shape without MSA, and M3."""
    return {
        "M2: dense,\n8 KV heads": cost.decode_bytes(M2, context).layer,
        "M3's shape, dense:\n4 KV heads": cost.decode_bytes(cost.dense_model(M3), context).layer,
        "M3: sparse,\n4 KV heads": cost.decode_bytes(M3, context).layer,
    }


def waiting(context: int = MILLION) -> Waiting:
    """All 60 layers' attention on one H100 at its data sheet's speed: floors, not measurements."""
    dense = cost.dense_model(M3)
    peak, bandwidth = cost.H100.peak_flops, cost.H100.bandwidth
    prompt = [cost.prefill_flops(spec, context, context).model / peak for spec in (dense, M3)]
    layer = cost.prefill_flops(dense, context, context).layer / peak
    step = [cost.decode_bytes(spec, context).model / bandwidth for spec in (dense, M3)]
    return Waiting(tuple(prompt), M3.dense_layers * layer, tuple(1 / seconds for seconds in step))
