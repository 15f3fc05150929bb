"""NSA's config, and the shapes it gives to weights and cache: `msa_ref.family.nsa` uses them."""

from __future__ import annotations

from dataclasses import dataclass

from msa_ref import checks
from msa_ref.family.gqa import GQAConfig
from msa_ref.family.inputs import Cache, check_multiple

# Forced: the first block, the query's own and the one before it.
INIT_BLOCKS = 1
LOCAL_BLOCKS = 2


@dataclass(frozen=True, kw_only=True)
class NSAConfig(GQAConfig):
    """Grouped-query attention with values of their own width, and the three branches' sizes.

    Slices of `compress_length` tokens begin every `compress_stride`; each query group selects
    `top_k` blocks of `block_size`, the forced ones included. All are tokens but top_k. A stride
    that does not divide both lengths raises ValueError.
    """

    value_dim: int
    compress_length: int
    compress_stride: int
    block_size: int
    top_k: int
    window: int

    def __post_init__(self):
        super().__post_init__()
        checks.check_sizes(
            value_dim=self.value_dim,
            compress_length=self.compress_length,
            compress_stride=self.compress_stride,
            block_size=self.block_size,
            window=self.window,
        )
        check_multiple(self, "compress_length", "compress_stride")
        check_multiple(self, "block_size", "compress_stride")
        checks.check_budget(self.top_k, INIT_BLOCKS, LOCAL_BLOCKS)

    @property
    def slices(self) -> dict[str, int]:
        """Length and stride of the slices."""
        return {"length": self.compress_length, "stride": self.compress_stride}


def nsa_shapes(config: NSAConfig) -> dict[str, tuple[int, int]]:
    """Shapes of all weights: k_proj and v_proj are the selected branch's."""
    shapes = {"q_proj": (config.num_heads * config.head_dim, config.d_model)}
    widths = {"k": config.head_dim, "v": config.value_dim}
    for kind, width in widths.items():
        for branch in ("", "compress_", "window_"):
            shapes[f"{branch}{kind}_proj"] = (config.num_kv_heads * width, config.d_model)
        shapes[f"compress_{kind}_position"] = (config.compress_length, width)
        shapes[f"compress_{kind}_up"] = (width, config.compress_length * width)
        shapes[f"compress_{kind}_down"] = (width, width)
    shapes["gate_up"] = (config.d_model, config.d_model)
    shapes["gate_down"] = (3 * config.num_heads, config.d_model)
    return shapes


def new_cache(config: NSAConfig, batch: int) -> Cache:
    """Empty cache: all tokens, the window's own, the summaries, and tokens not yet summarised."""
    key, value = (config.num_kv_heads, config.head_dim), (config.num_kv_heads, config.value_dim)
    lanes = {"k": key, "v": value, "window_k": key, "window_v": value}
    lanes |= {"summary_k": key, "summary_v": value, "pending_k": key, "pending_v": value}
    return Cache(config, batch, **lanes)
