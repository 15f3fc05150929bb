"""MiniMax-M3's attention layer: projections, norms, rotary positions, and MSA through the cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from msa_ref import cache as paged
from msa_ref import contracts

if TYPE_CHECKING:
    from jaxtyping import Float, Int, Int32

    from msa_ref.config import MSAConfig

NORM_EPSILON = 1e-6


class LayerOutput(NamedTuple):
    """What the layer returns: output, and the selection with the scores it came from."""

    out: Float[np.ndarray, "B T hidden"]
    selection: Int32[np.ndarray, "B Hkv T k"]
    block_scores: Float[np.ndarray, "B Hkv T nb"]


def rms_norm(
    x: Float[np.ndarray, "*rows d"], weight: Float[np.ndarray, " d"]
) -> Float[np.ndarray, "*rows d"]:
    """`x` divided by its root mean square over the last axis, times (1 + weight).

    Gemma's form: a weight of 0 leaves the normalised vector as it is. Raises ValueError or
    TypeError unless there is one weight a channel.
    """
    x, weight = contracts.check_norm(x, weight)
    mean_square = (x * x).mean(axis=-1, keepdims=True)
    return x / np.sqrt(mean_square + NORM_EPSILON) * (1 + weight)


def rotary_tables(
    positions: Int[np.ndarray, " T"], *, rotary_dim: int, theta: float
) -> tuple[Float[np.ndarray, "T half"], Float[np.ndarray, "T half"]]:
    """Cosine and sine of every position's angles: rotary_dim / 2 frequencies, high to low.

    Frequency i is theta ** (-2 i / rotary_dim) radians per token. Raises ValueError or TypeError on
    negative positions, an odd rotary_dim or a theta that is no base. Source: RoPE, section 3.2.
    """
    contracts.check_integers("positions", positions, "T", 0)
    contracts.check_rotary(rotary_dim, theta)
    frequencies = theta ** (-np.arange(0, rotary_dim, 2) / rotary_dim)
    angles = positions[:, None] * frequencies
    return np.cos(angles), np.sin(angles)


def rotate(
    x: Float[np.ndarray, "B heads T d"],
    cos: Float[np.ndarray, "T half"],
    sin: Float[np.ndarray, "T half"],
) -> Float[np.ndarray, "B heads T d"]:
    """`x` with its first channels rotated by their position's angles; the others pass through.

    Split-half pairing: channel i is rotated with channel i + half, where half is the
    tables' width.
    """
    contracts.check_rotate(x, cos, sin)
    half = cos.shape[-1]
    first, second, rest = np.split(x, [half, 2 * half], axis=-1)
    rotated = [first * cos - second * sin, second * cos + first * sin, rest]
    return np.concatenate(rotated, axis=-1).astype(x.dtype)


class M3Attention:
    """One sparse attention layer of MiniMax-M3, from hidden states to hidden states.

    `weights` go by Hugging Face's names ("q_proj.weight" ... "indexer.k_norm.weight"), projections
    as [out, in]. `rotary_dim` channels of every head are rotated by position (M3: 64 of 128),
    `rope_theta` is their base. No biases. Raises ValueError or TypeError on weights that are
    missing or do not fit the config. Source: MiniMax-M3's released configuration and code.
    """

    def __init__(
        self,
        config: MSAConfig,
        weights: Mapping[str, np.ndarray],
        *,
        rotary_dim: int,
        rope_theta: float = 5e6,
    ):
        self.weights = contracts.check_layer_weights(weights, config, rotary_dim, rope_theta)
        self.config = config
        self.rotary_dim = rotary_dim
        self.rope_theta = rope_theta

    def new_cache(self, batch: int, capacity: int) -> paged.PagedCache:
        """Empty cache for `batch` sequences of up to `capacity` tokens, in the weights' dtype."""
        dtype = self.weights["q_proj.weight"].dtype
        return paged.PagedCache(self.config, batch=batch, capacity=capacity, dtype=dtype)

    def project(
        self, hidden: Float[np.ndarray, "B T hidden"], name: str, num_heads: int
    ) -> Float[np.ndarray, "B heads T d"]:
        """Heads of one projection of the hidden states, before norm and rotation."""
        batch, num_queries, _ = hidden.shape
        rows = hidden @ self.weights[f"{name}.weight"].T
        return rows.reshape(batch, num_queries, num_heads, -1).swapaxes(1, 2)

    def __call__(
        self, hidden: Float[np.ndarray, "B T hidden"], cache: paged.PagedCache | None = None
    ) -> LayerOutput:
        """Output, selection and block scores of T more tokens of every sequence.

        With a cache the tokens are appended to it in place and their positions start at its
        length: prefill, chunked prefill and decode are this one call. Without, an empty cache is
        made for the call. Raises ValueError or TypeError on hidden states or a cache that do not
        fit, and then changes nothing.
        """
        hidden = contracts.check_hidden(hidden, self.weights)
        if cache is None:
            batch, count, _ = hidden.shape
            cache = paged.PagedCache(self.config, batch=batch, capacity=count, dtype=hidden.dtype)
        contracts.check_instance("cache", cache, paged.PagedCache)
        contracts.check_cache_config(cache.config, self.config)
        contracts.check_hidden_room(
            hidden,
            batch=len(cache.block_table),
            dtype=cache.k_pages.dtype,
            length=cache.length,
            capacity=cache.capacity,
        )
        positions = cache.length + np.arange(hidden.shape[1])
        cos, sin = rotary_tables(positions, rotary_dim=self.rotary_dim, theta=self.rope_theta)

        def normed_and_rotated(name, num_heads):
            heads = self.project(hidden, f"{name}_proj", num_heads)
            return rotate(rms_norm(heads, self.weights[f"{name}_norm.weight"]), cos, sin)

        num_groups = self.config.num_kv_heads
        q = normed_and_rotated("q", self.config.num_heads)
        k = normed_and_rotated("k", num_groups)
        v = self.project(hidden, "v_proj", num_groups)
        index_q = normed_and_rotated("indexer.q", num_groups)
        index_k = normed_and_rotated("indexer.k", 1)

        contracts.check_finite(q=q, index_q=index_q)
        cache.append(k, v, index_k)
        attended = paged.attention(q, index_q, cache)
        joined = attended.out.swapaxes(1, 2).reshape(*hidden.shape[:2], -1)
        out = joined @ self.weights["o_proj.weight"].T
        return LayerOutput(out, attended.selection, attended.block_scores)
