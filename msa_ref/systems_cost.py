"""Decode costs of dense attention, MSA and their relatives: FLOPs, bytes, cache, in closed form.

In every system a layer keeps lists of entries (keys and values of tokens, index keys, means of
blocks, compressed tokens), and a new token reads each list whole or up to a budget. Counted are
attention and its selector alone, 2 FLOPs for a multiply-add. A function gives one layer; defaults
are the sizes of published models, and MiniMax-M3's heads for systems that name none. MSA reads
whole blocks here; `msa_ref.cost`, which also holds SYSTEMS and MODELS, counts a last partial one.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from msa_ref.checks import check_heads, check_int, check_sizes

BF16_BYTES = 2
# Rows of DeepSeek's caches in bytes, as stored.
MLA_ROW = 512 + 4 * 4 + 64 * BF16_BYTES  # fp8, 4 scales in fp32, RoPE in bf16
DSA_INDEX_ROW = 128 + 4  # fp8, one scale in fp32
V4_ROW = 448 + 64 * BF16_BYTES + 8  # fp8, RoPE in bf16, 8 scales of one byte
V4_INDEX_ROW = 128 // 2 + 4  # 4-bit floats, 4 scales of one byte
MLA_CHANNELS = (512 + 64) + 512  # multiply-adds of one score, and of one output
V4_CHANNELS = 512 + 512
INDEX_CHANNELS = 128


class Entries(NamedTuple):
    """One list of a layer's cache, and what a new token does with it."""

    flops: float  # for each entry read, all heads together
    bytes: float  # of one entry
    stride: int = 1  # tokens that share one entry
    width: int = 0  # tokens before which the list does not grow
    most: float = inf  # entries read at most: the budget
    grows: bool = True  # False for a window, in which old entries make room

    def read(self, context: int) -> float:
        """Entries that the newest of `context` tokens reads."""
        return min(max(context - self.width, 0) / self.stride, self.most)


@dataclass(frozen=True)
class LayerCost:
    """One layer of a system: its lists, and the `source` of their sizes."""

    name: str
    source: str
    entries: tuple[Entries, ...]

    def decode_flops(self, context: int) -> float:
        """FLOPs of one decode step, the newest of `context` tokens being the query."""
        check_int("context", context, 1)
        return sum(one.flops * one.read(context) for one in self.entries)

    def decode_bytes(self, context: int) -> float:
        """Bytes of cache that this step reads."""
        check_int("context", context, 1)
        return sum(one.bytes * one.read(context) for one in self.entries)

    def cache_bytes_per_token(self) -> float:
        """Bytes that one token adds to the cache: 0 where it only replaces an older one."""
        return sum(one.bytes / one.stride for one in self.entries if one.grows)


@dataclass(frozen=True)
class ModelCost:
    """A whole model: how many layers of which kind."""

    layers: tuple[tuple[int, LayerCost], ...]

    def decode_flops(self, context: int) -> float:
        """FLOPs of attention and selectors in one decode step."""
        return sum(count * layer.decode_flops(context) for count, layer in self.layers)

    def decode_bytes(self, context: int) -> float:
        """Bytes of cache that one decode step reads."""
        return sum(count * layer.decode_bytes(context) for count, layer in self.layers)

    def cache_bytes_per_token(self) -> float:
        """Bytes that one token adds to the cache."""
        return sum(count * layer.cache_bytes_per_token() for count, layer in self.layers)


def _tokens(heads: int, kv_heads: int, dim: int, most: float = inf) -> Entries:
    """Keys and values of single tokens."""
    check_sizes(heads=heads, kv_heads=kv_heads, dim=dim)
    check_heads(heads, kv_heads)
    return Entries(4 * heads * dim, 2 * kv_heads * dim * BF16_BYTES, most=most)


def dense(heads: int = 64, kv_heads: int = 4, dim: int = 128) -> LayerCost:
    """Every token."""
    return LayerCost("Dense GQA", "M3's dense layers", (_tokens(heads, kv_heads, dim),))


def window(
    heads: int = 64, kv_heads: int = 4, dim: int = 128, length: int = 2044, sinks: int = 4
) -> LayerCost:
    """The last tokens and the first few. The length is ours: with the sinks, MSA's budget."""
    check_sizes(length=length)
    check_int("sinks", sinks, 0)
    tokens = _tokens(heads, kv_heads, dim, length + sinks)._replace(grows=False)
    return LayerCost("Window", "StreamingLLM, arXiv 2309.17453", (tokens,))


def msa(
    heads: int = 64,
    kv_heads: int = 4,
    dim: int = 128,
    index_dim: int = 128,
    block: int = 128,
    top_k: int = 16,
) -> LayerCost:
    """Every index key, then k blocks of tokens."""
    check_sizes(index_dim=index_dim, block=block, top_k=top_k)
    index = Entries(2 * kv_heads * index_dim, index_dim * BF16_BYTES)
    tokens = _tokens(heads, kv_heads, dim, top_k * block)
    return LayerCost("MSA", "arXiv 2606.13392, section 3.3", (index, tokens))


def moba(
    heads: int = 64, kv_heads: int = 4, dim: int = 128, block: int = 4096, top_k: int = 12
) -> LayerCost:
    """Every block's mean key, then k blocks; bytes as if the heads of a group chose the same."""
    check_sizes(block=block, top_k=top_k)
    means = Entries(2 * heads * dim, kv_heads * dim * BF16_BYTES, stride=block)
    tokens = _tokens(heads, kv_heads, dim, top_k * block)
    return LayerCost("MoBA", "arXiv 2502.13189, its 1M model", (means, tokens))


def quest(
    heads: int = 64, kv_heads: int = 4, dim: int = 128, page: int = 16, budget: int = 2048
) -> LayerCost:
    """Every page's two bounds, then tokens; bytes as if the heads of a group chose the same."""
    check_sizes(page=page, budget=budget)
    tokens = _tokens(heads, kv_heads, dim, budget)
    bounds = tokens._replace(stride=page, most=inf)
    return LayerCost("Quest", "arXiv 2406.10774", (bounds, tokens))


def infllm(
    heads: int = 64, kv_heads: int = 4, dim: int = 128, stride: int = 16, budget: int = 96 * 64
) -> LayerCost:
    """Every mean key, then tokens: the first block, those of the window and those chosen."""
    check_sizes(stride=stride, budget=budget)
    means = Entries(2 * heads * dim, kv_heads * dim * BF16_BYTES, stride)
    tokens = _tokens(heads, kv_heads, dim, budget)
    return LayerCost("InfLLM-v2", "arXiv 2509.24663", (means, tokens))


def nsa(
    heads: int = 64,
    kv_heads: int = 4,
    channels: int = 192 + 128,
    stride: int = 16,
    length: int = 32,
    chosen: int = 16 * 64,
    recent: int = 512,
) -> LayerCost:
    """Every compressed entry, the chosen tokens, the last tokens: three lists of keys and values.

    The compressed branch's scores choose the tokens, at no further cost. `channels` are a key's
    and a value's together.
    """
    check_sizes(stride=stride, length=length, chosen=chosen, recent=recent)
    tokens = _tokens(heads, kv_heads, channels)
    tokens = tokens._replace(flops=tokens.flops / 2, bytes=tokens.bytes / 2)
    lists = (
        tokens._replace(stride=stride, width=length),
        tokens._replace(most=chosen),
        tokens._replace(most=recent, grows=False),
    )
    return LayerCost("NSA", "arXiv 2502.11089, section 4.1", lists)


def mla(heads: int = 128) -> LayerCost:
    """Every token's latent, which all heads share: DeepSeek-V3, in which DSA was put."""
    check_sizes(heads=heads)
    latents = Entries(2 * heads * MLA_CHANNELS, MLA_ROW)
    return LayerCost("MLA", "DeepSeek-V3, arXiv 2412.19437", (latents,))


def dsa(heads: int = 128, index_heads: int = 64, top_k: int = 2048) -> LayerCost:
    """Every index key, then k tokens' latents."""
    check_sizes(index_heads=index_heads, top_k=top_k)
    index = Entries(2 * index_heads * INDEX_CHANNELS, DSA_INDEX_ROW)
    latents = mla(heads).entries[0]._replace(most=top_k)
    return LayerCost("DSA", "DeepSeek-V3.2", (index, latents))


def v4_window(heads: int = 64, recent: int = 128) -> LayerCost:
    """The last tokens, one vector each as key and value: part of every layer of DeepSeek-V4."""
    check_sizes(heads=heads, recent=recent)
    newest = Entries(2 * heads * V4_CHANNELS, V4_ROW, most=recent, grows=False)
    return LayerCost("V4's window", "arXiv 2606.19348", (newest,))


def csa(
    heads: int = 64, index_heads: int = 64, stride: int = 4, top_k: int = 512, recent: int = 128
) -> LayerCost:
    """Every compressed index key, then k compressed entries and the last tokens."""
    check_sizes(index_heads=index_heads, stride=stride, top_k=top_k)
    newest = v4_window(heads, recent).entries[0]
    index = Entries(2 * index_heads * INDEX_CHANNELS, V4_INDEX_ROW, stride)
    chosen = newest._replace(stride=stride, most=top_k, grows=True)
    return LayerCost("CSA", "DeepSeek-V4-Flash, arXiv 2606.19348", (index, chosen, newest))


def hca(heads: int = 64, stride: int = 128, recent: int = 128) -> LayerCost:
    """Every compressed entry and the last tokens."""
    check_sizes(stride=stride)
    newest = v4_window(heads, recent).entries[0]
    every = newest._replace(stride=stride, most=inf, grows=True)
    return LayerCost("HCA", "DeepSeek-V4-Flash, arXiv 2606.19348", (every, newest))


# One layer of each system as published, under the names of `msa_ref.family`; MLA for comparison.
SYSTEMS = {
    layer.__name__: layer()
    for layer in (dense, window, moba, quest, infllm, nsa, msa, mla, dsa, csa, hca)
}

MODELS = {
    "MiniMax-M2": ModelCost(((62, dense(48, 8)),)),
    "MiniMax-M3": ModelCost(((3, dense()), (57, msa()))),
    "DeepSeek-V3.2": ModelCost(((61, dsa()),)),
    "DeepSeek-V4-Flash": ModelCost(((2, v4_window()), (21, csa()), (20, hca()))),
    "DeepSeek-V4-Pro": ModelCost(((30, csa(128, top_k=1024)), (31, hca(128)))),
}
