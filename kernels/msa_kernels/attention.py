"""The entry points: MSA over a prefill, and over a decode step of a paged cache."""

import torch

from msa_kernels import checks, query_tile, sparse_decode, sparse_prefill
from msa_kernels.combine import combine
from msa_kernels.index_score import PREFILL_GROUP, score_decode, score_prefill
from msa_kernels.plan import make_plan
from msa_kernels.top_k import select_blocks

WORKSPACE_BYTES = 6 * 2**30  # block scores and partial results of one chunk of queries
MOST_QUERIES = 8192  # of a chunk: more fill the GPU no better
CHUNK = 128  # entries of a work item of the block-major pass
SHORT_CONTEXT = 8192  # keys; measured on an H100, see docs/log.md


def msa_attention(
    q, k, v, index_q, index_k, config, *, query_lengths=None, key_lengths=None, check=False
):
    """Output [B, Hq, T, d] in q's dtype, LSE [B, Hq, T] float32, selection int32 [B, Hkv, T, k].

    Right-padded sequences: `query_lengths, key_lengths` int32 [B] (all T, all S, if not given). Row
    t of sequence b stands at key_lengths[b] - query_lengths[b] + t; rows past its queries get
    output 0, LSE -inf, ids -1. Long prefills are cut into chunks of queries. Raises ValueError on
    tensors that do not fit; `check=True` also reads lengths and looks for NaN, which otherwise
    counts as -inf in a score. Source: MSA paper, Eq. 5 to 8 and section 4.
    """
    checks.check_prefill(q, k, v, index_q, index_k, config)
    batch, _, num_queries, _ = q.shape
    num_keys = k.shape[2]
    ragged = query_lengths is not None or key_lengths is not None
    if query_lengths is None:
        query_lengths = torch.full((batch,), num_queries, dtype=torch.int32, device=q.device)
    if key_lengths is None:
        key_lengths = torch.full((batch,), num_keys, dtype=torch.int32, device=q.device)
    checks.check_lengths("query_lengths", query_lengths, batch, q.device)
    checks.check_lengths("key_lengths", key_lengths, batch, q.device)
    if check:
        named = {"q": q, "k": k, "v": v, "index_q": index_q, "index_k": index_k}
        checks.check_values(query_lengths, key_lengths, num_queries, num_keys, **named)
    out = torch.empty_like(q, memory_format=torch.contiguous_format)
    lse = torch.empty(out.shape[:3], dtype=torch.float32, device=q.device)
    shape = (batch, config.num_kv_heads, num_queries, config.top_k)
    selection = torch.empty(shape, dtype=torch.int32, device=q.device)
    step = _queries_at_once(q, num_keys, config)
    for first in range(0, num_queries, step):
        part = slice(first, min(first + step, num_queries))
        seen = num_keys if ragged else num_keys - num_queries + part.stop
        lengths = {"query_lengths": query_lengths, "key_lengths": key_lengths}
        scores, maxima = score_prefill(
            index_q[:, :, part], index_k, **lengths,
            block_size=config.block_size, num_keys=seen, first_query=first,
        )  # fmt: skip
        chosen = select_blocks(
            scores, maxima, **lengths, config=config, group=PREFILL_GROUP, first_query=first
        )
        del scores, maxima
        attend_selection(
            q[:, :, part], k, v, chosen, **lengths,
            config=config, num_keys=seen, first_query=first, out=out, lse=lse,
        )  # fmt: skip
        selection[:, :, part] = chosen
    return out, lse, selection


def attend_selection(
    q, k, v, selection, query_lengths, key_lengths, *, config, num_keys, first_query, out, lse
):
    """Write rows `first_query` on of `out` and `lse`, by the order that the shapes call for.

    Up to SHORT_CONTEXT keys a tile of neighbours reads the union of its blocks; beyond, each block
    is loaded once for all queries that chose it and the partial results are combined.
    """
    size = config.block_size
    if num_keys <= SHORT_CONTEXT:
        query_tile.attend(
            q, k, v, selection, query_lengths, key_lengths, out, lse,
            block_size=size, first_query=first_query,
        )  # fmt: skip
        return
    plan = make_plan(selection, num_blocks=-(-k.shape[2] // size), chunk=CHUNK)
    parts, part_lses = sparse_prefill.attend(
        q, k, v, plan, query_lengths, key_lengths,
        top_k=config.top_k, block_size=size, chunk=CHUNK, first_query=first_query,
    )  # fmt: skip
    combine(
        parts, part_lses, out, lse, shape=selection.shape, where=plan.where, first_query=first_query
    )


def decode(q, index_q, cache, *, check=False):
    """Output [B, Hq, 1, d], LSE [B, Hq, 1] float32, selection int32 [B, Hkv, 1, k], newest token.

    `q [B, Hq, 1, d]` in the pages' dtype, `index_q [B, Hkv, 1, di]` in the index pages' (any float
    dtype where those are fp8). Its own key, value and index key are appended first: the query
    stands at lengths - 1; an empty sequence gets output 0, LSE -inf, ids -1. Four launches, shapes
    from the cache's capacity alone: safe inside a CUDA graph. Raises ValueError on tensors that do
    not fit; `check=True` also reads lengths and table, and looks for NaN. Source: MSA paper,
    Eq. 5 to 8.
    """
    config = cache.config
    batch, max_pages = cache.block_table.shape
    groups = config.num_kv_heads
    checks.check_tensor(
        "q", q, (batch, config.num_heads, 1, config.head_dim), "B Hq 1 d", cache.k_pages.dtype
    )
    stored = cache.index_pages.dtype
    checks.check_tensor(
        "index_q", index_q, (batch, groups, 1, config.index_dim), "B Hkv 1 di",
        None if stored == torch.float8_e4m3fn else stored,
    )  # fmt: skip
    checks.check_device(q=q, index_q=index_q, lengths=cache.lengths)
    if check:
        cache.check()
        checks.check_nan(q=q, index_q=index_q)
    float32 = {"dtype": torch.float32, "device": q.device}
    group = _decode_group(batch, max_pages)
    scores = torch.empty(batch, groups, max_pages, **float32)
    maxima = torch.empty(batch, groups, -(-max_pages // group), **float32)
    score_decode(index_q.contiguous(), cache, group=group, scores=scores, maxima=maxima)
    selection = select_blocks(
        scores[:, :, None], maxima[:, :, None], None, cache.lengths, config=config, group=group
    )
    splits = _decode_splits(batch * groups, config.top_k)
    parts = torch.empty(batch * groups * splits, config.group_size, config.head_dim, **float32)
    part_lses = torch.empty(parts.shape[:2], **float32)
    sparse_decode.attend(
        q.contiguous(), cache, selection, splits=splits, parts=parts, part_lses=part_lses
    )
    out = torch.empty_like(q, memory_format=torch.contiguous_format)
    lse = torch.empty(batch, config.num_heads, 1, **float32)
    combine(parts, part_lses, out, lse, shape=(batch, groups, 1, splits), heads=1)
    return out, lse, selection


def _queries_at_once(q, num_keys, config):
    batch, num_heads, num_queries, head_dim = q.shape
    parts = num_heads * config.top_k * (head_dim * q.element_size() + 4)
    scores = config.num_kv_heads * -(-num_keys // config.block_size) * 17 / 16 * 4
    fitting = int(WORKSPACE_BYTES / batch / (parts + scores))
    return max(1, min(num_queries, MOST_QUERIES, fitting))


def _decode_group(batch, max_pages):
    """Blocks one program scans: enough programs to fill the GPU, few enough maxima to rank."""
    if batch * max_pages > 16384 or max_pages > 4096:
        return 16
    return 2 if max_pages <= 512 else 4


def _decode_splits(pairs, top_k):
    """Programs that share one group's blocks: more where there are few groups to fill the GPU."""
    wanted = 16 if pairs < 32 else 8 if pairs < 128 else 4
    return min(wanted, top_k)
