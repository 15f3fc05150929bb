"""MiniMax Sparse Attention on the GPU: Triton kernels and their torch entry points."""

from msa_kernels.attention import decode, msa_attention
from msa_kernels.cache import PagedCache

__all__ = ["PagedCache", "decode", "msa_attention"]
