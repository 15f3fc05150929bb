"""Dense causal attention with grouped heads, and the pieces that let it be cut into parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from msa_ref import blocks, contracts

if TYPE_CHECKING:
    from jaxtyping import Bool, Float


def causal_mask(num_queries: int, num_keys: int) -> Bool[np.ndarray, "{num_queries} {num_keys}"]:
    """True where a query may look: at keys no later than its own position."""
    positions = blocks.query_positions(num_queries, num_keys)
    return np.arange(num_keys) <= positions[:, None]


def softmax_lse(
    scores: Float[np.ndarray, "*rows S"],
) -> tuple[Float[np.ndarray, "*rows S"], Float[np.ndarray, "*rows"]]:
    """Softmax weights of each row and its LSE, the natural log of the sum of exponentials.

    The row's peak is subtracted first, so no exponential of finite scores overflows. A row of -inf
    alone has weights 0 and LSE -inf; a row with NaN or +inf has NaN weights and LSE NaN. Raises
    ValueError on rows without a score.
    """
    contracts.check_rows("scores", scores)
    peak = scores.max(axis=-1, keepdims=True)
    peak = np.where(peak == -np.inf, 0, peak)
    exponentials = np.exp(scores - peak)
    total = exponentials.sum(axis=-1, keepdims=True)
    weights = exponentials / np.where(total == 0, 1, total)
    with np.errstate(divide="ignore"):
        lse = peak + np.log(total)
    return weights, lse[..., 0]


def group_matmul(
    rows: Float[np.ndarray, "B Hq T n"], shared: Float[np.ndarray, "B Hkv n m"]
) -> Float[np.ndarray, "B Hq T m"]:
    """Matrix product of every query head with the array of its KV head (head h // G).

    The G heads of a group become G * T rows of one product: nothing is copied per head.
    """
    batch, num_heads, num_queries, width = rows.shape
    folded = rows.reshape(batch, shared.shape[1], -1, width)
    return (folded @ shared).reshape(batch, num_heads, num_queries, -1)


def attention_weights(
    q: Float[np.ndarray, "B Hq T d"],
    k: Float[np.ndarray, "B Hkv S d"],
    *,
    scale: float | None = None,
    causal: bool = True,
) -> tuple[Float[np.ndarray, "B Hq T S"], Float[np.ndarray, "B Hq T"]]:
    """Softmax weights of every query over every key, and the LSE of every row.

    Query head h reads KV head h // G. Query row t stands at position S - T + t; with `causal` it
    sees the keys up to that position, without it all S. Either way T is at most S. `scale` is
    d**-0.5 unless given. Raises ValueError or TypeError on shapes or dtypes that do not fit.
    Source: MSA paper, section 2 (grouped-query attention).
    """
    q, k = contracts.check_query_key(q, k)
    scale = contracts.check_scale(scale)
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    scores = group_matmul(q, k.swapaxes(-1, -2)) * scale
    if causal:
        scores = np.where(causal_mask(q.shape[2], k.shape[2]), scores, -np.inf)
    return softmax_lse(scores)


def attention(
    q: Float[np.ndarray, "B Hq T d"],
    k: Float[np.ndarray, "B Hkv S d"],
    v: Float[np.ndarray, "B Hkv S d"],
    *,
    scale: float | None = None,
    causal: bool = True,
) -> tuple[Float[np.ndarray, "B Hq T d"], Float[np.ndarray, "B Hq T"]]:
    """Output and LSE of exact attention: each query's weighted mean of the values.

    Conventions and errors as in `attention_weights`. Every value is multiplied by its weight, 0
    included, so a NaN or infinity among the values reaches every row of its KV head.
    """
    q, k, v = contracts.check_attention(q, k, v)
    weights, lse = attention_weights(q, k, scale=scale, causal=causal)
    return group_matmul(weights, v), lse


def merge_partials(
    outs: Float[np.ndarray, "P *rows d"], lses: Float[np.ndarray, "P *rows"]
) -> tuple[Float[np.ndarray, "*rows d"], Float[np.ndarray, "*rows"]]:
    """Attention over the union of P disjoint sets of keys, from the P partial results.

    Each partial output counts by its share exp(lse_p - lse) of the whole sum. An empty part
    (output 0, LSE -inf) changes nothing; a row whose parts are all empty stays empty. Raises
    ValueError or TypeError unless every row of `outs` has one LSE.
    Source: MSA paper, appendix C (combine).
    """
    outs, lses = contracts.check_partials(outs, lses)
    share, lse = softmax_lse(np.moveaxis(lses, 0, -1))
    share = np.moveaxis(share, -1, 0)
    return (share[..., None] * outs).sum(axis=0), lse


def online_attention(
    q: Float[np.ndarray, "B Hq T d"],
    k: Float[np.ndarray, "B Hkv S d"],
    v: Float[np.ndarray, "B Hkv S d"],
    *,
    chunk: int,
    scale: float | None = None,
    causal: bool = True,
) -> tuple[Float[np.ndarray, "B Hq T d"], Float[np.ndarray, "B Hq T"]]:
    """Output and LSE of exact attention, `chunk` keys at a time: no T x S array ever exists.

        for each chunk of keys:
            scores = q . k, -inf where hidden
            peak = max(peak, scores)                      # a higher peak rescales what came before
            total = total * rescale + sum(exp(scores - peak))
            out = out * rescale + exp(scores - peak) @ v
        output = out / total, LSE = peak + log(total)

    Conventions and errors as in `attention`. Source: online softmax (Milakov and Gimelshein).
    """
    q, k, v = contracts.check_attention(q, k, v)
    contracts.check_sizes(chunk=chunk)
    scale = contracts.check_scale(scale)
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    num_keys = k.shape[2]
    positions = blocks.query_positions(q.shape[2], num_keys)
    peak = np.full(q.shape[:3], -np.inf, dtype=q.dtype)
    total = np.zeros_like(peak)
    out = np.zeros_like(q)
    for start in range(0, num_keys, chunk):
        keys = slice(start, start + chunk)
        scores = group_matmul(q, k[:, :, keys].swapaxes(-1, -2)) * scale
        if causal:
            scores = np.where(np.arange(num_keys)[keys] <= positions[:, None], scores, -np.inf)
        new_peak = np.maximum(peak, scores.max(axis=-1))
        shift = np.where(new_peak == -np.inf, 0, new_peak)
        rescale = np.exp(peak - shift)
        exponentials = np.exp(scores - shift[..., None])
        total = total * rescale + exponentials.sum(axis=-1)
        out = out * rescale[..., None] + group_matmul(exponentials, v[:, :, keys])
        peak = new_peak
    with np.errstate(divide="ignore"):
        lse = peak + np.log(total)
    return out / np.where(total == 0, 1, total)[..., None], lse
