"""What the core raises for bad arrays: shapes, dtypes, selections, and room in a cache.

Every check names the argument, what it got and what it takes. Checks of float arrays return them
in one dtype: float64 if any is, float32 otherwise. Built from the checks of one value in `checks`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from msa_ref.checks import (
    check_array,
    check_block_id,
    check_budget,
    check_dtype,
    check_finite,
    check_floats,
    check_forced,
    check_heads,
    check_instance,
    check_int,
    check_integers,
    check_queries,
    check_rotary,
    check_rows,
    check_scale,
    check_shape,
    check_sizes,
    refuse,
)
from msa_ref.config import MSAConfig, check_config

# Passed on from checks; what is defined here is public by its name.
__all__ = ["check_block_id", "check_budget", "check_dtype", "check_forced"]
__all__ += ["check_instance", "check_rotary", "check_rows", "check_scale"]


def check_query_key(q: np.ndarray, k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """q [B,Hq,T,d] and k [B,Hkv,S,d] that fit: Hkv divides Hq, T at most S."""
    q, k = check_floats("B H T d", q=q, k=k)
    check_shape("k", k, (q.shape[0], k.shape[1], k.shape[2], q.shape[3]), "B Hkv S d")
    if q.shape[1] % k.shape[1]:
        raise ValueError(f"k: got {k.shape[1]} heads, takes a divisor of q's {q.shape[1]}")
    check_queries(q.shape[2], k.shape[2], "q")
    return q, k


def check_attention(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, ...]:
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
    check_queries(num_queries, index_k.shape[2], "index_q")
    return index_q, index_k


def check_inputs(config: MSAConfig, batch: int, tokens: int, **arrays: np.ndarray) -> None:
    """Raise unless every array has the shape that the config gives it for so many tokens."""
    heads = {"q": config.num_heads, "index_k": 1}
    for name, array in arrays.items():
        channels = config.index_dim if name.startswith("index") else config.head_dim
        shape = (batch, heads.get(name, config.num_kv_heads), tokens, channels)
        check_shape(name, array, shape, "batch heads tokens channels")


def check_msa(q, k, v, index_q, index_k, config: MSAConfig) -> tuple[np.ndarray, ...]:
    """The five arrays in one dtype, fitting the config and each other."""
    check_config(config)
    arrays = check_floats("B H T d", q=q, k=k, v=v, index_q=index_q, index_k=index_k)
    check_inputs(config, len(q), q.shape[2], q=q, index_q=index_q)
    check_inputs(config, len(q), k.shape[2], k=k, v=v, index_k=index_k)
    check_queries(q.shape[2], k.shape[2], "q")
    return arrays


def check_partials(outs: np.ndarray, lses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """outs [P,...,d] with one LSE in lses [P,...] for every row."""
    outs, lses = check_floats("P ...", outs=outs, lses=lses)
    check_shape("lses", lses, outs.shape[:-1], "outs' shape without d")
    return outs, lses


def check_weights(weights: np.ndarray, num_kv_heads: int, block_size: int) -> np.ndarray:
    """weights [B,Hq,T,S] that split into the groups."""
    (weights,) = check_floats("B Hq T S", weights=weights)
    check_sizes(num_kv_heads=num_kv_heads, block_size=block_size)
    check_heads(weights.shape[1], num_kv_heads)
    return weights


def check_block_scores(block_scores: np.ndarray, block_size: int, num_keys: int) -> np.ndarray:
    """block_scores [B,Hkv,T,nb] of `num_keys` tokens, each finite or -inf."""
    (block_scores,) = check_floats("B Hkv T nb", block_scores=block_scores)
    check_sizes(block_size=block_size)
    check_queries(block_scores.shape[2], num_keys, "block_scores")
    shape = (*block_scores.shape[:3], -(-num_keys // block_size))
    check_shape("block_scores", block_scores, shape, "B Hkv T nb")
    bad = np.isnan(block_scores) | (block_scores == np.inf)
    refuse("block_scores", block_scores, bad, "finite scores or -inf")
    return block_scores


def check_ids(selection: np.ndarray, num_blocks: int, layout: str = "...") -> None:
    """Raise unless the selection holds integers from -1 (unused) to num_blocks - 1."""
    check_sizes(num_blocks=num_blocks)
    check_integers("selection", selection, layout, -1, num_blocks - 1)


def check_selection(selection: np.ndarray, q: np.ndarray, k: np.ndarray, block_size: int) -> None:
    """Raise unless ids ascend, -1 on the right, and none is wholly in its query's future."""
    check_sizes(block_size=block_size)
    num_keys = k.shape[2]
    check_ids(selection, -(-num_keys // block_size), "B Hkv T k")
    top_k = selection.shape[3]
    check_sizes(top_k=top_k)
    check_shape("selection", selection, (len(q), k.shape[1], q.shape[2], top_k), "B Hkv T k")
    left, right = selection[..., :-1], selection[..., 1:]
    used = right >= 0
    if ((left < 0) & used).any():
        raise ValueError("selection: got a -1 before a valid id, takes -1 on the right only")
    if ((left == right) & used).any():
        raise ValueError("selection: got a block twice in one row, takes each block once")
    if ((left > right) & used).any():
        raise ValueError("selection: got ids out of order, takes them ascending")
    local_block = np.arange(num_keys - q.shape[2], num_keys) // block_size
    future = selection > local_block[:, None]
    refuse("selection", selection, future, "no block that lies wholly in its query's future")


def check_mass(selection: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """mass [B,Hkv,T,nb] of the selection's rows."""
    (mass,) = check_floats("B Hkv T nb", mass=mass)
    check_array("selection", selection, "B Hkv T k")
    check_shape("mass", mass, (*selection.shape[:3], mass.shape[3]), "B Hkv T nb")
    return mass


def check_ideal(selection: np.ndarray, ideal: np.ndarray) -> None:
    """Raise unless `ideal` has the selection's rows, and a block in each of them."""
    check_array("selection", selection, "B Hkv T k")
    check_array("ideal", ideal, "B Hkv T k")
    check_shape("ideal", ideal, (*selection.shape[:3], ideal.shape[3]), "B Hkv T k")
    if not (ideal >= 0).any(axis=-1).all():
        raise ValueError("ideal: got a row without blocks, takes one at least in every row")


def check_lists(offsets: np.ndarray, queries: np.ndarray, num_queries: int, top_k: int) -> None:
    """Raise unless offsets and queries are block-to-query lists of at most top_k blocks a query."""
    check_sizes(num_queries=num_queries, top_k=top_k)
    check_integers("queries", queries, "E", 0, num_queries - 1)
    check_integers("offsets", offsets, "nb+1", 0, len(queries))
    ends = [*offsets[:1], *offsets[-1:]]
    if ends != [0, len(queries)] or (np.diff(offsets) < 0).any():
        raise ValueError(f"offsets: got a fall or other ends, takes 0 to {len(queries)}, ascending")
    if np.bincount(queries, minlength=1).max() > top_k:
        raise ValueError(f"queries: got a row in more than {top_k} blocks, takes at most top_k")


def check_append(
    k, v, index_k, config: MSAConfig, *, batch: int, dtype: np.dtype, length: int, capacity: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """k, v [B,Hkv,T,d] and index_k [B,1,T,di], finite, that fit a cache's config, dtype, room."""
    k, v, index_k = check_floats("B H T d", k=k, v=v, index_k=index_k)
    check_inputs(config, batch, k.shape[2], k=k, v=v, index_k=index_k)
    check_room("k, v, index_k", k, dtype=dtype, length=length, capacity=capacity)
    check_finite(k=k, v=v, index_k=index_k)
    return k, v, index_k


def check_room(
    name: str, array: np.ndarray, *, dtype: np.dtype, length: int, capacity: int
) -> None:
    """Raise unless the tokens of `array` [...,T,channels] fit into what is left of the capacity."""
    count = array.shape[-2]
    if not np.can_cast(array.dtype, dtype):
        raise TypeError(f"{name}: got {array.dtype}, takes at most the cache's {dtype}")
    if length + count > capacity:
        raise ValueError(
            f"{name}: got {count} tokens more than the {length} stored, "
            f"takes at most {capacity - length} (the capacity is {capacity})"
        )


def check_span(start: int, stop: int, *, block_size: int, length: int) -> None:
    """Raise unless tokens `start` to `stop` are among `length` and begin with a block."""
    check_int("start", start, 0)
    check_int("stop", stop, 1)
    if start % block_size or not start < stop <= length:
        raise ValueError(
            f"start, stop: got {start}, {stop}, takes a span within the {length} tokens "
            f"stored that starts at a multiple of {block_size}"
        )


def check_cached_query(
    q, index_q, config: MSAConfig, *, batch: int, length: int
) -> tuple[np.ndarray, np.ndarray]:
    """q [B,Hq,T,d] and index_q [B,Hkv,T,di] of the last T of the `length` tokens stored."""
    q, index_q = check_floats("B H T d", q=q, index_q=index_q)
    check_inputs(config, batch, q.shape[2], q=q, index_q=index_q)
    if q.shape[2] > length:
        raise ValueError(f"q: got {q.shape[2]} queries, takes at most the {length} tokens stored")
    return q, index_q


def check_cache_config(cached: MSAConfig, config: MSAConfig) -> None:
    """Raise unless a cache was made for this config."""
    if cached != config:
        raise ValueError(f"cache: got one of {cached}, takes one of {config}")


def check_hidden_room(
    hidden: np.ndarray, *, batch: int, dtype: np.dtype, length: int, capacity: int
) -> None:
    """Raise unless hidden [B,T,hidden] fits a cache's batch, dtype and room."""
    check_shape("hidden", hidden, (batch, *hidden.shape[1:]), "B T hidden")
    check_room("hidden", hidden, dtype=dtype, length=length, capacity=capacity)


def check_layer_weights(
    weights: Mapping[str, np.ndarray], config: MSAConfig, rotary_dim: int, rope_theta: float
) -> dict[str, np.ndarray]:
    """The layer's ten weights, finite, in one dtype, each of the shape the config gives it."""
    check_config(config)
    check_rotary(rotary_dim, rope_theta, "rope_theta")
    groups, head_dim, index_dim = config.num_kv_heads, config.head_dim, config.index_dim
    if rotary_dim > min(head_dim, index_dim):
        raise ValueError(
            f"rotary_dim: got {rotary_dim}, takes at most head_dim {head_dim} "
            f"and index_dim {index_dim}"
        )
    if not isinstance(weights, Mapping):
        raise TypeError(f"weights: got {type(weights).__name__}, takes a mapping of arrays")
    inside = config.num_heads * head_dim
    shapes = {
        "q_proj": (inside, "hidden"),
        "k_proj": (groups * head_dim, "hidden"),
        "v_proj": (groups * head_dim, "hidden"),
        "o_proj": ("hidden", inside),
        "indexer.q_proj": (groups * index_dim, "hidden"),
        "indexer.k_proj": (index_dim, "hidden"),
        "q_norm": (head_dim,),
        "k_norm": (head_dim,),
        "indexer.q_norm": (index_dim,),
        "indexer.k_norm": (index_dim,),
    }
    missing = [f"{name}.weight" for name in shapes if f"{name}.weight" not in weights]
    if missing:
        raise ValueError(f"weights: got none named {', '.join(missing)}, takes all ten")
    kept = {}
    for name, shape in shapes.items():
        name = f"{name}.weight"
        layout = "out in" if len(shape) == 2 else "channels"
        (array,) = check_floats(layout, **{name: weights[name]})
        hidden = kept.get("q_proj.weight", array).shape[-1]
        check_shape(name, array, tuple(hidden if n == "hidden" else n for n in shape), layout)
        check_finite(**{name: array})
        kept[name] = array
    common = np.result_type(*kept.values())
    return {name: array.astype(common, copy=False) for name, array in kept.items()}


def check_hidden(hidden: np.ndarray, weights: Mapping[str, np.ndarray]) -> np.ndarray:
    """hidden [B,T,hidden], finite, of the width that the weights take."""
    (hidden,) = check_floats("B T hidden", hidden=hidden)
    weight = weights["q_proj.weight"]
    check_shape("hidden", hidden, (*hidden.shape[:2], weight.shape[1]), "B T hidden")
    check_finite(hidden=hidden)
    return hidden.astype(np.result_type(hidden, weight), copy=False)


def check_norm(x: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x [...,d] and one weight for each of its channels."""
    x, weight = check_floats("...", x=x, weight=weight)
    check_shape("weight", weight, x.shape[-1:], "channels of x")
    return x, weight


def check_rotate(x: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> None:
    """Raise unless cos and sin [T,half] have a row for each token of x, half at most d/2."""
    check_floats("B heads T d", x=x)
    for name, table in (("cos", cos), ("sin", sin)):
        check_array(name, table, "T half")
        check_shape(name, table, (x.shape[2], cos.shape[1]), "T half")
    if 2 * cos.shape[1] > x.shape[3]:
        raise ValueError(f"cos: got {cos.shape[1]} angles, takes at most half of x's {x.shape[3]}")
