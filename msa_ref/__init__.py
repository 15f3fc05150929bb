"""MiniMax Sparse Attention in NumPy, written to be read."""

from msa_ref import blocks, cache, config, contracts, cost, dense, layer, scoring, selection, sparse
from msa_ref.config import M2, M3, MSA_109B, TOY, ModelSpec, MSAConfig
from msa_ref.sparse import MSAOutput, msa_attention

__version__ = "0.1.0"

__all__ = [
    "M2",
    "M3",
    "MSA_109B",
    "TOY",
    "MSAConfig",
    "MSAOutput",
    "ModelSpec",
    "blocks",
    "cache",
    "config",
    "contracts",
    "cost",
    "dense",
    "layer",
    "msa_attention",
    "scoring",
    "selection",
    "sparse",
]
