"""MSAConfig, ModelSpec and the presets: the numbers a reader can check against a model card."""

from dataclasses import dataclass

from msa_ref.checks import check_budget, check_heads, check_int


@dataclass(frozen=True)
class MSAConfig:
    """Sizes of one MSA attention layer, validated when made.

    `top_k` counts every block a query reads, the forced ones included: `init_blocks` at the start
    of the sequence, and the last `local_blocks` up to the local block, which holds the query.
    Sizes are in channels, blocks or tokens; a wrong one raises ValueError, a non-integer TypeError.

    Source: MSA paper, section 3.1; MiniMax-M3's released configuration.
    """

    num_heads: int
    num_kv_heads: int
    head_dim: int
    index_dim: int
    block_size: int
    top_k: int
    init_blocks: int = 0
    local_blocks: int = 1

    def __post_init__(self):
        for name in ("num_heads", "num_kv_heads", "head_dim", "index_dim", "block_size"):
            check_int(name, getattr(self, name), 1)
        check_heads(self.num_heads, self.num_kv_heads)
        check_budget(self.top_k, self.init_blocks, self.local_blocks)

    @property
    def group_size(self) -> int:
        """G, the query heads that share one KV head and one selection."""
        return self.num_heads // self.num_kv_heads

    @property
    def budget(self) -> int:
        """Tokens a query reads at most: top_k * block_size."""
        return self.top_k * self.block_size


@dataclass(frozen=True)
class ModelSpec:
    """The attention shape of a whole model: what `msa_ref.cost` counts.

    `dense_layers` of the `layers` use dense attention; the rest use `attention`
    (an MSAConfig, or None for a model that is dense throughout).
    """

    name: str
    layers: int
    dense_layers: int
    d_model: int
    attention: MSAConfig | None
    num_heads: int
    num_kv_heads: int
    head_dim: int

    def __post_init__(self):
        for name in ("layers", "d_model", "num_heads", "num_kv_heads", "head_dim"):
            check_int(name, getattr(self, name), 1)
        check_int("dense_layers", self.dense_layers, 0)
        check_heads(self.num_heads, self.num_kv_heads)
        if self.dense_layers > self.layers:
            raise ValueError(
                f"dense_layers: got {self.dense_layers}, takes at most all {self.layers} layers"
            )
        if not isinstance(self.attention, MSAConfig | None):
            raise TypeError(
                f"attention: got {type(self.attention).__name__}, takes an MSAConfig or None"
            )
        if self.attention is None and self.dense_layers != self.layers:
            raise ValueError(
                f"attention: got None with {self.dense_layers} of {self.layers} layers dense, "
                "takes None only where all are"
            )
        if self.attention is not None:
            shape = (self.num_heads, self.num_kv_heads, self.head_dim)
            sparse = self.attention
            if shape != (sparse.num_heads, sparse.num_kv_heads, sparse.head_dim):
                raise ValueError(
                    f"attention: got heads (query, KV, channels) that differ, takes {shape}"
                )


def check_config(config: object) -> None:
    """Raise unless `config` describes one attention layer."""
    if not isinstance(config, MSAConfig):
        got = type(config).__name__
        raise TypeError(f"config: got {got}, takes an MSAConfig, such as TOY or M3.attention")


def check_spec(spec: object) -> None:
    """Raise unless `spec` describes a whole model."""
    if not isinstance(spec, ModelSpec):
        raise TypeError(f"spec: got {type(spec).__name__}, takes a ModelSpec, such as M3 or M2")


_PAPER_SHAPE = MSAConfig(64, 4, 128, 128, 128, 16)

M3 = ModelSpec("MiniMax-M3", 60, 3, 6144, _PAPER_SHAPE, 64, 4, 128)
MSA_109B = ModelSpec("MSA 109B", 41, 0, 3072, _PAPER_SHAPE, 64, 4, 128)
M2 = ModelSpec("MiniMax-M2", 62, 62, 3072, None, 48, 8, 128)
TOY = MSAConfig(8, 2, 16, 16, 16, 4)
