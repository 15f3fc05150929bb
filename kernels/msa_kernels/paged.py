"""MSA over a paged cache: one decode step of every sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from msa_kernels import checks, contracts, decode_split, geometry
from msa_kernels.arguments import Lengths, Partials, as_block_scores, new_outputs
from msa_kernels.combine import combine
from msa_kernels.index_score import score_decode
from msa_kernels.top_k import select_blocks

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Int32
    from torch import Tensor

    from msa_kernels.cache import PagedCache


def decode(
    q: Float[Tensor, "B Hq 1 d"],
    index_q: Float[Tensor, "B Hkv 1 di"],
    cache: PagedCache,
    *,
    check: bool = False,
) -> tuple[Float[Tensor, "B Hq 1 d"], Float32[Tensor, "B Hq 1"], Int32[Tensor, "B Hkv 1 k"]]:
    """Output in q's dtype, LSE, and selection of the newest token of every sequence.

    `q` has the pages' dtype, `index_q` the index pages' (any float dtype where those are fp8). Its
    own key, value and index key are appended first: the query stands at lengths - 1; an empty
    sequence gets output 0, LSE -inf, ids -1. Four launches, shapes from the cache's capacity alone:
    safe inside a CUDA graph. There is no backward. Raises ValueError on tensors that do not fit or
    that need a gradient; `check=True` also reads lengths and table, and looks for NaN. Source: MSA
    paper, Eq. 5 to 8.
    """
    config = cache.config
    batch, max_pages = cache.block_table.shape
    num_kv_heads = config.num_kv_heads
    contracts.check_decode(q, index_q, cache)
    if check:
        cache.check()
        has_tokens = cache.lengths[:, None] > 0
        checks.check_nan(has_tokens, q=q, index_q=index_q)
    float32 = {"dtype": torch.float32, "device": q.device}
    blocks_per_max = geometry.blocks_per_scan(batch, max_pages)
    rows = batch, num_kv_heads, 1
    scores = as_block_scores(
        torch.empty(*rows, max_pages, **float32),
        torch.empty(*rows, -(-max_pages // blocks_per_max), **float32),
    )
    score_decode(index_q, cache, blocks_per_max=blocks_per_max, result=scores)
    selection = select_blocks(
        scores, Lengths(None, cache.lengths), config=config, blocks_per_max=blocks_per_max
    )
    splits = geometry.decode_splits(batch, num_kv_heads, config.top_k)
    parts = torch.empty(
        batch * num_kv_heads * splits, config.group_size, config.head_dim, **float32
    )
    partials = Partials(parts, torch.empty(parts.shape[:2], **float32))
    decode_split.attend(q, cache, selection, splits=splits, partials=partials)
    outputs = new_outputs(q)
    combine(partials, outputs, shape=(*rows, splits), heads=1)
    return outputs.out, outputs.lse, selection
