"""The one place that raises for bad arrays: shapes, dtypes, selections, caches.

Every check names the argument, what it got and what it takes. Checks of float arrays return them
in one dtype: float64 if any is, float32 otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from msa_ref.config import check_budget, check_heads, check_int

if TYPE_CHECKING:
    from collections.abc import Mapping

    from msa_ref.cache import PagedCache
    from msa_ref.config import MSAConfig

__all__ = ["check_budget"]  # the rest is public by its name; this one comes from config


def check_sizes(**sizes: int) -> None:
    """Raise unless every size is an integer of at least 1."""
    for name, size in sizes.items():
        check_int(name, size, 1)


def check_queries(num_queries: int, num_keys: int) -> None:
    """Raise unless the queries are the last of the keys."""
    check_sizes(num_queries=num_queries, num_keys=num_keys)
    if num_queries > num_keys:
        raise ValueError(f"num_queries: got {num_queries}, takes at most the {num_keys} keys")


def check_block_id(block: int, block_size: int, num_keys: int) -> None:
    """Raise unless `block` is one of the blocks of `num_keys` tokens."""
    check_sizes(block_size=block_size, num_keys=num_keys)
    check_int("block", block, 0)
    if block * block_size >= num_keys:
        raise ValueError(f"block: got {block}, takes a block that starts before token {num_keys}")


def check_forced(init_blocks: int, local_blocks: int) -> None:
    """Raise unless both are integers of at least 0."""
    check_int("init_blocks", init_blocks, 0)
    check_int("local_blocks", local_blocks, 0)


def check_dtype(name: str, dtype: object) -> np.dtype:
    """The dtype computed in: float64 for float64, float32 for float32 and float16."""
    dtype = np.dtype(dtype)
    if dtype not in (np.float16, np.float32, np.float64):
        raise TypeError(f"{name}: got dtype {dtype}, takes float16, float32 or float64")
    return np.result_type(dtype, np.float32)


def check_floats(layout: str, **arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """The arrays in one dtype, each with the dimensions that `layout` names, none of them empty."""
    ndim = len(layout.split())
    dtypes = []
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{name}: got {type(array).__name__}, takes a NumPy array [{layout}]")
        dtypes.append(check_dtype(name, array.dtype))
        if array.ndim != ndim:
            raise ValueError(f"{name}: got shape {array.shape}, takes {ndim} dimensions [{layout}]")
        if 0 in array.shape:
            raise ValueError(
                f"{name}: got shape {array.shape}, takes no empty dimension [{layout}]"
            )
    common = np.result_type(*dtypes)
    return tuple(array.astype(common, copy=False) for array in arrays.values())


def check_shape(name: str, array: np.ndarray, shape: tuple[int, ...], layout: str) -> None:
    """Raise unless the array has just this shape."""
    if array.shape != shape:
        raise ValueError(f"{name}: got shape {array.shape}, takes {shape} [{layout}]")


def check_query_key(q: np.ndarray, k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """q [B,Hq,T,d] and k [B,Hkv,S,d] that fit: Hkv divides Hq, T at most S."""
    q, k = check_floats("B H T d", q=q, k=k)
    check_shape("k", k, (q.shape[0], k.shape[1], k.shape[2], q.shape[3]), "B Hkv S d")
    check_heads(q.shape[1], k.shape[1])
    check_queries(q.shape[2], k.shape[2])
    return q, k


def check_attention(
    q: np.ndarray, k: np.ndarray, v: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """q, k as in `check_query_key` and v of k's shape."""
    q, k, v = check_floats("B H T d", q=q, k=k, v=v)
    check_query_key(q, k)
    check_shape("v", v, k.shape, "B Hkv S d")
    return q, k, v


def check_index(index_q: np.ndarray, index_k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """index_q [B,Hkv,T,di] and index_k [B,1,S,di] that fit: one shared key head, T at most S."""
    index_q, index_k = check_floats("B H T di", index_q=index_q, index_k=index_k)
    batch, _, num_queries, index_dim = index_q.shape
    check_shape("index_k", index_k, (batch, 1, index_k.shape[2], index_dim), "B 1 S di")
    check_queries(num_queries, index_k.shape[2])
    return index_q, index_k


def check_msa(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    index_q: np.ndarray,
    index_k: np.ndarray,
    config: MSAConfig,
) -> tuple[np.ndarray, ...]:
    """All five arrays, fitting the config and each other."""
    q, k, v, index_q, index_k = check_floats(
        "B H T d", q=q, k=k, v=v, index_q=index_q, index_k=index_k
    )
    check_attention(q, k, v)
    batch, num_queries, num_keys = q.shape[0], q.shape[2], k.shape[2]
    groups, head_dim, index_dim = config.num_kv_heads, config.head_dim, config.index_dim
    check_shape("q", q, (batch, config.num_heads, num_queries, head_dim), "B Hq T d")
    check_shape("k", k, (batch, groups, num_keys, head_dim), "B Hkv S d")
    check_shape("index_q", index_q, (batch, groups, num_queries, index_dim), "B Hkv T di")
    check_shape("index_k", index_k, (batch, 1, num_keys, index_dim), "B 1 S di")
    return q, k, v, index_q, index_k


def check_partials(outs: np.ndarray, lses: np.ndarray) -> None:
    """Raise unless outs [P,...,d] has one LSE in lses [P,...] a row."""
    if outs.ndim < 2 or outs.shape[:-1] != lses.shape:
        raise ValueError(
            f"lses: got shape {lses.shape} with outs {outs.shape}, takes outs' shape without d"
        )


def check_weights(weights: np.ndarray, num_kv_heads: int, block_size: int) -> None:
    """Raise unless weights [B,Hq,T,S] split into the groups."""
    check_floats("B Hq T S", weights=weights)
    check_sizes(num_kv_heads=num_kv_heads, block_size=block_size)
    check_heads(weights.shape[1], num_kv_heads)


def check_block_scores(block_scores: np.ndarray, block_size: int, num_keys: int) -> np.ndarray:
    """block_scores [B,Hkv,T,nb] of `num_keys` tokens, each finite or -inf."""
    (block_scores,) = check_floats("B Hkv T nb", block_scores=block_scores)
    check_sizes(block_size=block_size)
    check_queries(block_scores.shape[2], num_keys)
    num_blocks = -(-num_keys // block_size)
    if block_scores.shape[3] != num_blocks:
        raise ValueError(
            f"block_scores: got {block_scores.shape[3]} blocks, takes {num_blocks} "
            f"for {num_keys} keys in blocks of {block_size}"
        )
    bad = np.isnan(block_scores) | (block_scores == np.inf)
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"block_scores: got {block_scores[where]} at {where}, takes finite scores or -inf"
        )
    return block_scores


def check_ids(selection: np.ndarray, num_blocks: int) -> None:
    """Raise unless the selection holds integers from -1 to num_blocks - 1."""
    if not isinstance(selection, np.ndarray) or selection.dtype.kind != "i":
        got = getattr(selection, "dtype", type(selection).__name__)
        raise TypeError(f"selection: got {got}, takes a NumPy array of signed integers")
    if selection.size and (selection.min() < -1 or selection.max() >= num_blocks):
        raise ValueError(
            f"selection: got ids from {selection.min()} to {selection.max()}, "
            f"takes -1 (unused) and 0 to {num_blocks - 1}"
        )


def check_selection(selection: np.ndarray, q: np.ndarray, k: np.ndarray, block_size: int) -> None:
    """Raise unless the selection is ascending, -1 on the right, and no id is wholly in the future."""
    check_sizes(block_size=block_size)
    num_keys = k.shape[2]
    check_ids(selection, -(-num_keys // block_size))
    top_k = selection.shape[-1] if selection.ndim == 4 else 0
    layout = (q.shape[0], k.shape[1], q.shape[2], top_k)
    if selection.shape != layout or top_k == 0:
        raise ValueError(f"selection: got shape {selection.shape}, takes {layout[:3]} + (top_k,)")
    left, right = selection[..., :-1], selection[..., 1:]
    if ((left < 0) & (right >= 0)).any():
        raise ValueError("selection: got a -1 before a valid id, takes -1 on the right only")
    if ((left == right) & (right >= 0)).any():
        raise ValueError("selection: got a block twice in one row, takes each block once")
    if ((left > right) & (right >= 0)).any():
        raise ValueError("selection: got ids out of order, takes them ascending")
    own = np.arange(num_keys - q.shape[2], num_keys) // block_size
    if (selection > own[:, None]).any():
        b, g, t, _ = (int(i) for i in np.argwhere(selection > own[:, None])[0])
        raise ValueError(
            f"selection: got block {selection[b, g, t].max()} for query {t} of group {g}, "
            f"takes blocks up to its own, {own[t]}: that one lies in its future"
        )


def check_lists(offsets: np.ndarray, queries: np.ndarray, num_queries: int, top_k: int) -> None:
    """Raise unless offsets and queries are block-to-query lists of at most top_k blocks a query."""
    check_sizes(num_queries=num_queries, top_k=top_k)
    if offsets.ndim != 1 or offsets[0] != 0 or (np.diff(offsets) < 0).any():
        raise ValueError("offsets: takes one dimension that starts at 0 and never falls")
    if queries.shape != (offsets[-1],):
        raise ValueError(f"queries: got shape {queries.shape}, takes {(int(offsets[-1]),)}")
    if queries.size and (queries.min() < 0 or queries.max() >= num_queries):
        raise ValueError(f"queries: takes rows from 0 to {num_queries - 1}")
    if np.bincount(queries, minlength=1).max() > top_k:
        raise ValueError(f"queries: got a row in more than top_k = {top_k} blocks")


def check_append(
    k: np.ndarray, v: np.ndarray, index_k: np.ndarray, cache: PagedCache
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """k, v [B,Hkv,T,d] and index_k [B,1,T,di] that fit the cache, its dtype and its room."""
    k, v, index_k = check_floats("B H T d", k=k, v=v, index_k=index_k)
    config, batch, count = cache.config, len(cache.block_table), k.shape[2]
    lane = (batch, config.num_kv_heads, count, config.head_dim)
    check_shape("k", k, lane, "B Hkv T d")
    check_shape("v", v, lane, "B Hkv T d")
    check_shape("index_k", index_k, (batch, 1, count, config.index_dim), "B 1 T di")
    if k.dtype != cache.k_pages.dtype and k.dtype == np.float64:
        raise TypeError(f"k: got float64, takes the cache's {cache.k_pages.dtype}")
    check_room(cache, count)
    return k, v, index_k


def check_room(cache: PagedCache, count: int) -> None:
    """Raise unless `count` more tokens fit into the cache."""
    if cache.length + count > cache.capacity:
        raise ValueError(
            f"cache: got {count} tokens more, takes at most {cache.capacity - cache.length} "
            f"({cache.length} of {cache.capacity} are stored)"
        )


def check_cached_query(
    q: np.ndarray, index_q: np.ndarray, cache: PagedCache
) -> tuple[np.ndarray, np.ndarray]:
    """q [B,Hq,T,d] and index_q [B,Hkv,T,di] of the last T tokens in the cache."""
    q, index_q = check_floats("B H T d", q=q, index_q=index_q)
    config, batch, count = cache.config, len(cache.block_table), q.shape[2]
    check_shape("q", q, (batch, config.num_heads, count, config.head_dim), "B Hq T d")
    shape = (batch, config.num_kv_heads, count, config.index_dim)
    check_shape("index_q", index_q, shape, "B Hkv T di")
    if count > cache.length:
        raise ValueError(f"q: got {count} queries, takes at most the {cache.length} tokens stored")
    return q, index_q


def check_layer_weights(
    weights: Mapping[str, np.ndarray], config: MSAConfig, rotary_dim: int, rope_theta: float
) -> dict[str, np.ndarray]:
    """The layer's ten weights in one dtype, each of the shape the config gives it."""
    check_int("rotary_dim", rotary_dim, 0)
    if rotary_dim % 2 or rotary_dim > min(config.head_dim, config.index_dim):
        raise ValueError(
            f"rotary_dim: got {rotary_dim}, takes an even number up to the smaller of "
            f"head_dim {config.head_dim} and index_dim {config.index_dim}"
        )
    if not rope_theta > 0:
        raise ValueError(f"rope_theta: got {rope_theta}, takes a positive number")
    groups, head_dim, index_dim = config.num_kv_heads, config.head_dim, config.index_dim
    rows = {
        "q_proj": config.num_heads * head_dim,
        "k_proj": groups * head_dim,
        "v_proj": groups * head_dim,
        "indexer.q_proj": groups * index_dim,
        "indexer.k_proj": index_dim,
    }
    norms = {"q_norm": head_dim, "k_norm": head_dim}
    norms |= {"indexer.q_norm": index_dim, "indexer.k_norm": index_dim}
    names = [f"{name}.weight" for name in (*rows, "o_proj", *norms)]
    missing = [name for name in names if name not in weights]
    if missing:
        raise ValueError(f"weights: got none named {', '.join(missing)}")
    hidden = np.shape(weights["q_proj.weight"])[-1:]
    shapes = {name: (size, *hidden) for name, size in rows.items()}
    shapes |= {"o_proj": (*hidden, rows["q_proj"])} | {
        name: (size,) for name, size in norms.items()
    }
    kept = {}
    for name, shape in shapes.items():
        layout = "out in" if len(shape) == 2 else "channels"
        (kept[f"{name}.weight"],) = check_floats(layout, **{name: weights[f"{name}.weight"]})
        check_shape(f"{name}.weight", kept[f"{name}.weight"], shape, layout)
    common = np.result_type(*kept.values())
    return {name: array.astype(common, copy=False) for name, array in kept.items()}


def check_hidden(hidden: np.ndarray, weights: Mapping[str, np.ndarray]) -> np.ndarray:
    """hidden [B,T,hidden] of the width that the weights take."""
    (hidden,) = check_floats("B T hidden", hidden=hidden)
    width = weights["q_proj.weight"].shape[1]
    check_shape("hidden", hidden, (*hidden.shape[:2], width), "B T hidden")
    return hidden.astype(np.result_type(hidden, weights["q_proj.weight"]), copy=False)


def check_cache(cache: PagedCache, config: MSAConfig, hidden: np.ndarray) -> None:
    """Raise unless the cache was made for this config, batch and dtype and has room."""
    if cache.config != config:
        raise ValueError(f"cache: got one of {cache.config}, takes one of {config}")
    if len(cache.block_table) != len(hidden):
        raise ValueError(
            f"hidden: got {len(hidden)} sequences, takes the cache's {len(cache.block_table)}"
        )
    if hidden.dtype == np.float64 and cache.k_pages.dtype != np.float64:
        raise TypeError(f"hidden: got float64, takes the cache's {cache.k_pages.dtype}")
    check_room(cache, hidden.shape[1])
