"""MiniMax Sparse Attention on the GPU: Triton kernels and their torch entry points."""

from msa_kernels.attention import decode, msa_attention
from msa_kernels.cache import PagedCache
from msa_kernels.index_kl import index_kl

__all__ = ["PagedCache", "decode", "index_kl", "msa_attention"]
