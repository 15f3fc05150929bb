"""Checks of one number or one array, of which `contracts` and the configurations are made.

Each raises TypeError or ValueError with the argument's name, what it got and what it takes.
"""

from __future__ import annotations

from math import inf
from numbers import Integral, Real

import numpy as np


def check_int(name: str, value: object, smallest: int) -> None:
    """Raise unless `value` is an integer of at least `smallest`.

    NumPy's unsigned integers are refused: their differences wrap around.
    """
    if not isinstance(value, Integral) or isinstance(value, bool | np.unsignedinteger):
        raise TypeError(f"{name}: got {value!r}, takes an integer")
    if value < smallest:
        raise ValueError(f"{name}: got {value}, takes an integer of at least {smallest}")


def check_instance(name: str, value: object, kind: type) -> None:
    """Raise unless `value` is an instance of the class `kind`."""
    if not isinstance(value, kind):
        raise TypeError(f"{name}: got {type(value).__name__}, takes a {kind.__name__}")


def check_sizes(**sizes: int) -> None:
    """Raise unless every size is an integer of at least 1."""
    for name, size in sizes.items():
        check_int(name, size, 1)


def check_positive(name: str, number: object) -> float:
    """`number` as a Python float, which leaves the dtype of arrays alone."""
    if isinstance(number, bool) or not isinstance(number, Real):
        raise TypeError(f"{name}: got {number!r}, takes a number")
    if not 0 < number < inf:
        raise ValueError(f"{name}: got {number}, takes a finite number above 0")
    return float(number)


def check_scale(scale: float | None) -> float | None:
    """The scale of scores; None stands for the default."""
    return None if scale is None else check_positive("scale", scale)


def check_rotary(rotary_dim: int, theta: float, theta_name: str = "theta") -> None:
    """Raise unless rotary_dim channels pair up and theta is a base for their angles."""
    check_int("rotary_dim", rotary_dim, 0)
    if rotary_dim % 2:
        raise ValueError(f"rotary_dim: got {rotary_dim}, takes an even number")
    check_positive(theta_name, theta)


def check_queries(num_queries: int, num_keys: int, name: str = "num_queries") -> None:
    """Raise unless the queries are the last of the keys."""
    check_sizes(num_queries=num_queries, num_keys=num_keys)
    if num_queries > num_keys:
        raise ValueError(f"{name}: got {num_queries} queries, takes at most the {num_keys} keys")


def check_block_id(block: int, block_size: int, num_keys: int) -> None:
    """Raise unless `block` is one of the blocks of `num_keys` tokens."""
    check_sizes(block_size=block_size, num_keys=num_keys)
    check_int("block", block, 0)
    if block * block_size >= num_keys:
        raise ValueError(f"block: got {block}, takes a block that starts before token {num_keys}")


def check_heads(num_heads: int, num_kv_heads: int) -> None:
    """Raise unless the KV heads divide the query heads."""
    if num_heads % num_kv_heads:
        raise ValueError(f"num_kv_heads: got {num_kv_heads}, takes a divisor of {num_heads} heads")


def check_forced(init_blocks: int, local_blocks: int) -> None:
    """Raise unless both are integers of at least 0."""
    check_int("init_blocks", init_blocks, 0)
    check_int("local_blocks", local_blocks, 0)


def check_budget(top_k: int, init_blocks: int, local_blocks: int) -> None:
    """Raise unless top_k is an integer of at least 1 that holds the forced blocks."""
    check_int("top_k", top_k, 1)
    check_forced(init_blocks, local_blocks)
    if top_k < init_blocks + local_blocks:
        raise ValueError(
            f"top_k: got {top_k}, takes at least the forced blocks "
            f"(init_blocks {init_blocks} + local_blocks {local_blocks})"
        )


def check_dtype(name: str, dtype: object) -> np.dtype:
    """The dtype computed in: float64 for float64, float32 for float32 and float16."""
    try:
        known = np.dtype(dtype) in (np.float16, np.float32, np.float64)
    except TypeError:
        known = False
    if not known:
        raise TypeError(f"{name}: got dtype {dtype}, takes float16, float32 or float64")
    return np.result_type(dtype, np.float32)


def check_array(name: str, array: object, layout: str) -> None:
    """Raise unless `array` has the dimensions that `layout` names ("..." stands for any)."""
    if not isinstance(array, np.ndarray) or isinstance(array, np.ma.MaskedArray | np.matrix):
        raise TypeError(f"{name}: got {type(array).__name__}, takes a NumPy array [{layout}]")
    ndim = len(layout.split())
    if array.ndim != ndim and "..." not in layout:
        takes = f"{ndim} dimensions" if ndim > 1 else "1 dimension"
        raise ValueError(f"{name}: got shape {array.shape}, takes {takes} [{layout}]")


def check_rows(name: str, array: object) -> None:
    """Raise unless `array` has a last dimension with something in it."""
    check_array(name, array, "... n")
    if array.ndim == 0 or array.shape[-1] == 0:
        raise ValueError(f"{name}: got shape {array.shape}, takes rows of 1 number at least")


def check_floats(layout: str, **arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """The arrays in one dtype, each with the dimensions that `layout` names, none of them empty."""
    dtypes = []
    for name, array in arrays.items():
        check_array(name, array, layout)
        dtypes.append(check_dtype(name, array.dtype))
        if 0 in array.shape:
            raise ValueError(f"{name}: got shape {array.shape}, takes no empty dimension")
    common = np.result_type(*dtypes)
    return tuple(array.astype(common, copy=False) for array in arrays.values())


def check_integers(
    name: str, array: np.ndarray, layout: str, lowest: int, highest: float = inf
) -> None:
    """Raise unless `array` holds signed integers from `lowest` to `highest`."""
    check_array(name, array, layout)
    if array.dtype.kind != "i":
        raise TypeError(f"{name}: got dtype {array.dtype}, takes signed integers")
    if array.size and (array.min() < lowest or array.max() > highest):
        raise ValueError(f"{name}: got {array.min()} to {array.max()}, takes {lowest} to {highest}")


def check_shape(name: str, array: np.ndarray, shape: tuple[int, ...], layout: str) -> None:
    """Raise unless the array has just this shape."""
    if array.shape != shape:
        raise ValueError(f"{name}: got shape {array.shape}, takes {shape} [{layout}]")


def check_finite(**arrays: np.ndarray) -> None:
    """Raise on NaN and infinities."""
    for name, array in arrays.items():
        refuse(name, array, ~np.isfinite(array), "finite numbers")


def refuse(name: str, array: np.ndarray, bad: np.ndarray, takes: str) -> None:
    """Raise if anything in `array` is bad, with the first such value and its place."""
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"{name}: got {array[where]} at {where}, takes {takes}")
