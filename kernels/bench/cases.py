"""The cases that are timed: prefills of one sequence and decode steps of several."""

from typing import NamedTuple

K = 1024
MILLION = K * K


class Prefill(NamedTuple):
    """`new_tokens` queries against `context` keys, the new ones included."""

    name: str
    new_tokens: int
    context: int
    dense_shapes: tuple = ("M3",)


class Decode(NamedTuple):
    """One new token each of `batch` sequences of `context` tokens."""

    name: str
    batch: int
    context: int
    dense_shapes: tuple = ("M3",)


PREFILLS = (
    Prefill("8K", 8 * K, 8 * K),
    Prefill("16K", 16 * K, 16 * K),
    Prefill("32K", 32 * K, 32 * K),
    Prefill("64K", 64 * K, 64 * K),
    Prefill("8K@128K", 8 * K, 128 * K),
    Prefill("8K@512K", 8 * K, 512 * K),
    Prefill("8K@1M", 8 * K, MILLION, ("M3", "M2")),
    Prefill("128K", 128 * K, 128 * K),
)

DECODES = (
    Decode("1x32K", 1, 32 * K),
    Decode("1x128K", 1, 128 * K),
    Decode("1x1M", 1, MILLION, ("M3", "M2")),
    Decode("8x32K", 8, 32 * K),
    Decode("8x128K", 8, 128 * K),
    Decode("8x512K", 8, 512 * K),
    Decode("32x32K", 32, 32 * K),
    Decode("32x128K", 32, 128 * K),
    Decode("8x1M", 8, MILLION, ("M3", "M2")),
)
