"""NSA, MoBA and DSA as flash-linear-attention's naive references and MoBA compute them.

Plain attention and pooling stand in for its GPU kernels.
"""

from unittest import mock

import numpy as np
import torch
from fla.ops.dsa.naive import naive_dsa
from fla.ops.moba import parallel as moba
from fla.ops.nsa import naive as nsa
from top_k import RecordTopK, check_untied


def randn(generator, *shape):
    return torch.randn(*shape, generator=generator)


def plain_attention(q, k, v, causal, window=None):
    """Output [T,H,dv] and LSE [H,T] of one sequence; stands in for the flash kernels."""
    scores = torch.einsum("thd,shd->hts", q, k) * q.shape[-1] ** -0.5
    distance = torch.arange(len(q))[:, None] - torch.arange(len(k))
    hidden = distance < 0 if causal else torch.zeros_like(distance, dtype=torch.bool)
    if window:
        hidden = hidden | (distance >= window)
    scores = scores.masked_fill(hidden, float("-inf"))
    return torch.einsum("hts,shv->thv", scores.softmax(-1), v), scores.logsumexp(-1)


def plain_varlen(q, k, v, cu_seqlens_q, cu_seqlens_k, *_, causal, **__):
    """Flash attention's packed form: the sequences one after the other."""
    sizes = [np.diff(bounds.tolist()).tolist() for bounds in (cu_seqlens_q, cu_seqlens_k)]
    pieces = zip(q.split(sizes[0]), k.split(sizes[1]), v.split(sizes[1]))
    outs, lses = zip(*(plain_attention(*piece, causal) for piece in pieces))
    return torch.cat(outs), torch.cat(lses, dim=1), None, None


def plain_window(q, k, v, causal, window_size):
    """Flash attention's batched form with a window of window_size[0] tokens before the own."""
    group = q.shape[2] // k.shape[2]
    k, v = (x.repeat_interleave(group, dim=2) for x in (k, v))
    rows = [plain_attention(*row, causal, window_size[0] + 1)[0] for row in zip(q, k, v)]
    return torch.stack(rows)


def plain_pooling(x, block_size, cu_seqlens):
    """Mean of every block of tokens, the last of which may be partial."""
    return torch.stack([block.mean(dim=1) for block in x.split(block_size, dim=1)], dim=1)


def make_nsa(case, generator):
    """The three branches of FLA's naive NSA, one by one and gated."""
    B, T, G, H, block = (case[key] for key in ("B", "T", "G", "H", "block_size"))
    q = randn(generator, B, T, H, case["d"]) * 2
    k, v = (randn(generator, B, T, G, case[width]) for width in ("d", "dv"))
    gates = randn(generator, 3, B, T, H).sigmoid()
    k_cmp, v_cmp = (plain_pooling(x, block, None) for x in (k, v))
    scale = case["d"] ** -0.5
    sizes = {"block_size": block, "block_counts": case["top_k"], "window_size": case["window"]}
    with (
        mock.patch.object(nsa, "mean_pooling", plain_pooling),
        mock.patch.object(nsa, "flash_attn_func", plain_window),
    ):
        out, ids = nsa.naive_nsa(q, k, v, *gates, **sizes, return_block_indices=True)
    out_cmp, _ = nsa.naive_nsa_compression(q, k_cmp, v_cmp, block, scale)
    out_slc = nsa.naive_nsa_selection(q, k, v, ids, block)
    arrays = {"k_cmp": k_cmp, "v_cmp": v_cmp, "out_cmp": out_cmp, "out_slc": out_slc}
    return {"q": q, "k": k, "v": v, "gates": gates, "out": out, "block_ids": ids} | arrays


def make_moba(case, generator):
    """FLA's MoBA of one sequence, plain attention in the place of its flash kernels."""
    q, k, v = (randn(generator, 1, case["T"], case["H"], case["d"]) for _ in range(3))
    bounds = torch.tensor([0, case["T"]], dtype=torch.int32)
    with (
        mock.patch.object(moba, "_flash_attn_varlen_forward", plain_varlen),
        mock.patch.object(
            moba, "flash_attn_varlen_func", lambda *a, **kw: plain_varlen(*a, **kw)[0]
        ),
    ):
        out = moba.parallel_moba(q, k, v, bounds, case["T"], case["block_size"], case["top_k"])
    return {"q": q, "k": k, "v": v, "out": out}


def make_dsa_naive(case, generator):
    """FLA's naive DSA on grouped keys: the indexer's ids and the attention over them."""
    B, T = case["B"], case["T"]
    q = randn(generator, B, T, case["H"], case["d"])
    k, v = (randn(generator, B, T, case["G"], case["d"]) for _ in range(2))
    index_q = randn(generator, B, T, case["HI"], case["di"])
    index_k = randn(generator, B, T, case["di"])
    votes = randn(generator, B, T, case["HI"])
    lanes = {"q": q, "k": k, "v": v, "index_q": index_q, "index_k": index_k, "votes": votes}
    with RecordTopK() as top_k:
        out, ids = naive_dsa(*lanes.values(), topk=case["top_k"], return_indices=True)
    check_untied(torch.stack(top_k.scores), case["top_k"])
    return lanes | {"out": out, "ids": ids}
