"""What is timed: random tensors, and selections as live traffic has them or drawn anew."""

import numpy as np
import torch

REDRAWN = {"corr": 2 / 16, "rand": 1.0}  # chance that a free slot changes from query to query


def injected_selection(kind, new_tokens, context, config, seed=0):
    """Ids int32 [1, Hkv, T, k] as the top-k gives them: ascending, local block in, -1 on the right.

    "corr" redraws each of the k - 1 free slots with probability 2/16 from one query to the next,
    "rand" always. Slot r draws among the past blocks r, r + (k - 1), r + 2 (k - 1) ..., so that the
    ids of a query differ and stay valid while the slot keeps them.
    """
    generator = np.random.default_rng(seed)
    free = config.top_k - 1
    own = np.arange(context - new_tokens, context) // config.block_size
    slot = np.arange(free)
    choices = np.maximum(0, -(-(own[:, None] - slot) // free))  # [T, free]
    shape = (config.num_kv_heads, new_tokens, free)
    redrawn = generator.random(shape, dtype=np.float32) < REDRAWN[kind]
    redrawn[:, 0] = True
    redrawn[:, 1:] |= (choices[1:] > 0) & (choices[:-1] == 0)
    drawn = slot + free * np.floor(generator.random(shape) * choices).astype(np.int32)
    drawn = np.where(choices > 0, drawn, -1)
    since = np.where(redrawn, np.arange(new_tokens)[:, None], 0)
    ids = np.take_along_axis(drawn, np.maximum.accumulate(since, axis=1), axis=1)
    ids = np.concatenate([ids, np.broadcast_to(own[:, None], (*shape[:2], 1))], axis=-1)
    unused = np.iinfo(np.int32).max
    ids = np.sort(np.where(ids < 0, unused, ids), axis=-1)
    return np.where(ids == unused, -1, ids).astype(np.int32)[None]


def union_size(selection, neighbours):
    """Mean number of different blocks that `neighbours` adjacent queries of one group choose."""
    _, num_groups, new_tokens, _ = selection.shape
    tiles = new_tokens // neighbours
    flat = selection[0, :, : tiles * neighbours].reshape(num_groups * tiles, -1)
    return float(np.mean([len(set(tile.tolist()) - {-1}) for tile in flat]))


def normal(*shape, dtype=torch.bfloat16, device="cuda"):
    """A tensor of normal random numbers."""
    return torch.empty(shape, dtype=dtype, device=device).normal_()


def prefill_tensors(spec, new_tokens, context, *, dtype=torch.bfloat16, device="cuda"):
    """q, k, v of one sequence, and its index queries and keys where the model has them."""
    to = {"dtype": dtype, "device": device}
    q = normal(1, spec.num_heads, new_tokens, spec.head_dim, **to)
    k, v = (normal(1, spec.num_kv_heads, context, spec.head_dim, **to) for _ in range(2))
    if spec.attention is None:
        return q, k, v
    index_dim = spec.attention.index_dim
    index_q = normal(1, spec.num_kv_heads, new_tokens, index_dim, **to)
    return q, k, v, index_q, normal(1, 1, context, index_dim, **to)


def fill_cache(cache, context):
    """Fill every page of a cache with random numbers; pages lie in random order."""
    for pages in (cache.k_pages, cache.v_pages, cache.index_pages):
        pages.normal_()
    order = torch.randperm(len(cache.k_pages), device=cache.block_table.device)
    cache.block_table.copy_(order.view_as(cache.block_table))
    cache.lengths.fill_(context)
