"""Runs every kernel on a small case: what compute-sanitizer watches.

PYTHONPATH=.:kernels compute-sanitizer --tool memcheck python3 kernels/bench/small_case.py
"""

import torch

from bench import decode, inputs
from msa_kernels import geometry, index_kl, msa_attention, select
from msa_ref import M3, MSAConfig

NEW_TOKENS, CONTEXT = 70, 3 * 128 * 16 + 1  # neither a multiple of a tile or block
SMALL = MSAConfig(9, 3, 64, 64, 16, 4)  # the heads of SmolLM2, whose index is trained


def main():
    tensors = inputs.prefill_tensors(M3, NEW_TOKENS, CONTEXT)
    for short_context in (CONTEXT, 0):  # query-major, then block-major
        geometry.SHORT_CONTEXT = short_context
        msa_attention(*tensors, M3.attention)
    cache = decode.new_cache(M3.attention, 2, 4096)
    q = inputs.normal(2, M3.num_heads, 1, M3.head_dim)
    index_q = inputs.normal(2, M3.num_kv_heads, 1, M3.attention.index_dim)
    for dtype in decode.INDEX_DTYPES.values():
        cache.index_pages = cache.index_pages.to(dtype)
        decode.decode(q, index_q, cache)
    q, k, index_q, index_k = (inputs.normal(1, heads, NEW_TOKENS, 64) for heads in (9, 3, 3, 1))
    for blocks in (None, select(index_q, index_k, SMALL)):
        index_kl(index_q, index_k, q, k, blocks, block_size=SMALL.block_size)
    torch.cuda.synchronize()


if __name__ == "__main__":
    main()
