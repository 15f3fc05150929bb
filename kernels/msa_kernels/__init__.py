"""MiniMax Sparse Attention on the GPU: Triton kernels and their torch entry points.

Entry points are imported on first use, so that `msa_kernels.geometry` needs neither torch nor
Triton.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from msa_kernels.attention import attend, msa_attention, select
    from msa_kernels.cache import PagedCache
    from msa_kernels.index_loss import index_kl
    from msa_kernels.paged import decode

__all__ = ["PagedCache", "attend", "decode", "index_kl", "msa_attention", "select"]

_MODULES = {
    "PagedCache": "cache",
    "attend": "attention",
    "decode": "paged",
    "index_kl": "index_loss",
    "msa_attention": "attention",
    "select": "attention",
}


def __getattr__(name):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__():
    return sorted({*globals(), *__all__})
