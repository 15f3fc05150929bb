"""InfLLM-v2: blocks chosen by mean-pooled keys, beside an initial block and a local window.

InfLLM-v2 (2509.24663), sections 3.2 and 3.3; MiniCPM4 and 4.1. Keys are mean-pooled over
overlapping kernels; each head's softmax over the closed kernels is summed over its group; a block
scores the best of the kernels that touch it. A group reads the initial blocks, those of the local
window, and the best others, ties to the lower block. No weights of its own, and dense attention
for short contexts, so a dense model can switch. Defaults there: kernels of 32 every 16 tokens,
blocks of 64, a window of 2048, top-k 64, 1 of them initial: 96 blocks, 6144 tokens; dense to 8192.

Left out: the released kernels take the softmax's denominator from coarser kernels, and decide
between dense and sparse once a call; here every query decides by its own position, which alone
makes decoding equal prefill.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from msa_ref import blocks, checks, contracts, dense
from msa_ref.family import gqa
from msa_ref.family.inputs import GrowingCache, check_multiple
from msa_ref.family.masks import tokens_of_best_blocks
from msa_ref.family.output import FamilyOutput, attend, attend_tokens, sum_over_groups
from msa_ref.family.slices import best_of_touching, cut_slices, slice_bounds

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True, kw_only=True)
class InfLLMConfig(gqa.GQAConfig):
    """Sizes in tokens; `top_k` counts blocks beside the local window, the initial ones included.

    A query reads `window / block_size + top_k` blocks, all tokens while it sees at most
    `dense_len`. The stride divides kernel and block, the block divides the window.
    """

    top_k: int = 64
    block_size: int = 64
    kernel_size: int = 32
    kernel_stride: int = 16
    init_blocks: int = 1
    window: int = 2048
    dense_len: int = 8192

    def __post_init__(self):
        super().__post_init__()
        for name in ("block_size", "kernel_size", "kernel_stride", "window"):
            checks.check_int(name, getattr(self, name), 1)
        checks.check_int("dense_len", self.dense_len, 0)
        checks.check_budget(self.top_k, self.init_blocks, 0)
        check_multiple(self, "kernel_size", "kernel_stride")
        check_multiple(self, "block_size", "kernel_stride")
        check_multiple(self, "window", "block_size")
        # Then every block left of the window has a closed kernel, hence a score.
        if self.kernel_size > self.window:
            raise ValueError(f"kernel_size: got {self.kernel_size}, takes at most the window")

    @property
    def local_blocks(self) -> int:
        """Blocks of the local window, the query's own included."""
        return self.window // self.block_size

    @property
    def kernels(self) -> dict[str, int]:
        """Length and stride of the kernels, which are slices of tokens."""
        return {"length": self.kernel_size, "stride": self.kernel_stride}


init_weights = gqa.init_weights


def new_cache(config: InfLLMConfig, batch: int) -> GrowingCache:
    """Empty cache of keys and values, and of one pooled key for every closed kernel."""
    return gqa.new_cache(config, batch, pooled_k=(config.num_kv_heads, config.head_dim))


def pool_keys(
    k: Float[np.ndarray, "B Hkv S d"], config: InfLLMConfig, first_kernel: int = 0
) -> Float[np.ndarray, "B Hkv K d"]:
    """Mean key of every closed kernel from `first_kernel` on; there may be none."""
    kernels, _ = cut_slices(k[:, :, first_kernel * config.kernel_stride :], **config.kernels)
    return kernels.mean(axis=3)


def score_blocks(
    q: Float[np.ndarray, "B Hq T d"],
    pooled_k: Float[np.ndarray, "B Hkv K d"],
    config: InfLLMConfig,
    num_keys: int,
) -> Float[np.ndarray, "B Hkv T nb"]:
    """Best score among the closed kernels that touch each block; -inf where there is none."""
    kernels = slice_bounds(pooled_k.shape[2], **config.kernels)
    closed = kernels[:, 1] <= blocks.query_positions(q.shape[2], num_keys)[:, None]
    _, weights = attend(q, pooled_k, pooled_k, closed)
    scores = np.where(closed, sum_over_groups(weights, pooled_k.shape[1]), -np.inf)
    return best_of_touching(scores, num_keys, block_size=config.block_size, **config.kernels)


def attend_to(
    q: Float[np.ndarray, "B Hq T d"],
    k: Float[np.ndarray, "B Hkv S d"],
    v: Float[np.ndarray, "B Hkv S d"],
    config: InfLLMConfig,
    *,
    pooled_k: Float[np.ndarray, "B Hkv K d"] | None = None,
) -> FamilyOutput:
    """Each query over the blocks its group picks; query row t stands at S - T + t.

    `pooled_k` are the pooled keys if they exist already, as in the cache.
    """
    q, k, v = contracts.check_attention(q, k, v)
    num_queries, num_keys = q.shape[2], k.shape[2]
    pooled_k = pool_keys(k, config) if pooled_k is None else pooled_k
    chosen = tokens_of_best_blocks(
        score_blocks(q, pooled_k, config, num_keys),
        top_k=config.top_k + config.local_blocks,
        block_size=config.block_size,
        num_keys=num_keys,
        num_heads=q.shape[1],
        init_blocks=config.init_blocks,
        local_blocks=config.local_blocks,
    )
    is_short = blocks.query_positions(num_queries, num_keys) < config.dense_len
    allowed = np.where(is_short[:, None], dense.causal_mask(num_queries, num_keys), chosen)
    return attend_tokens(q, k, v, allowed)


def run(
    hidden: Float[np.ndarray, "B T d_model"],
    weights: Mapping[str, np.ndarray],
    config: InfLLMConfig,
    cache: GrowingCache | None = None,
) -> FamilyOutput:
    """Output of T more tokens, which stand after those the cache holds and are stored in it.

    Raises ValueError or TypeError on what does not fit the config, and then stores nothing.
    """
    cache = new_cache(config, len(hidden)) if cache is None else cache
    q, k, v = gqa.store_tokens(hidden, weights, config, cache, gqa.weight_shapes(config))
    closed_before = cache.lanes["pooled_k"].shape[2]
    (pooled_k,) = cache.extend(pooled_k=pool_keys(k, config, closed_before))
    return attend_to(q, k, v, config, pooled_k=pooled_k)
