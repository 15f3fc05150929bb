"""SmolLM2-135M in PyTorch: a real decoder whose attention is exchanged by one argument.

A Llama-style model: 30 layers, 9 query heads that share 3 KV heads, RoPE, SwiGLU. The weights are
those of `msa_ref.smollm2`, read from the same GGUF file. `model(ids, attend)` runs it with whatever
attention is handed in: `attend_dense`, the MSA of `SparseAttention`, or one that also learns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from msa_learning.attention import select, sparse
from msa_learning.index.index_branch import IndexBranch, rotate
from msa_ref import smollm2

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

    Attend = Callable[["AttentionInput"], Float[Tensor, "B Hq T d"]]


class Sizes(NamedTuple):
    """What a decoder is made of, by the names of the GGUF file's fields."""

    vocabulary: int
    layers: int
    width: int
    hidden_width: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    max_context: int
    rope_theta: float
    epsilon: float


class AttentionInput(NamedTuple):
    """What a layer's attention may look at: T new tokens and all S seen so far.

    `hidden` [B,T,width] is the input of the layer's own q projection; q [B,Hq,T,d] and
    k, v [B,Hkv,S,d] are as attention sees them (after RoPE). `angles` [T,d/2] are the new
    tokens' for RoPE and `cache` is the model's, or None.
    """

    layer: int
    hidden: Tensor
    q: Tensor
    k: Tensor
    v: Tensor
    angles: Tensor
    cache: Cache | None


class Cache:
    """Keys, values and index keys of every layer for a batch, with room for `capacity` tokens."""

    def __init__(self, capacity: int):
        self.capacity, self.length = capacity, 0
        self.lanes: dict[tuple[str, int], Tensor] = {}

    def extend(self, name: str, layer: int, new: Float[Tensor, "B H T d"]):
        """All of a lane [B,H,S,d], the new tokens stored behind the `length` there already."""
        if (name, layer) not in self.lanes:
            shape = (*new.shape[:2], self.capacity, new.shape[3])
            self.lanes[name, layer] = new.new_zeros(shape)
        lane = self.lanes[name, layer]
        stop = self.length + new.shape[2]
        lane[:, :, self.length : stop] = new
        return lane[:, :, :stop]


class Layer(nn.Module):
    """One decoder layer's weights; biases there are none."""

    def __init__(self, sizes: Sizes):
        super().__init__()
        inside, kv = sizes.num_heads * sizes.head_dim, sizes.num_kv_heads * sizes.head_dim
        self.attn_norm = nn.RMSNorm(sizes.width, sizes.epsilon)
        self.attn_q = nn.Linear(sizes.width, inside, bias=False)
        self.attn_k = nn.Linear(sizes.width, kv, bias=False)
        self.attn_v = nn.Linear(sizes.width, kv, bias=False)
        self.attn_output = nn.Linear(inside, sizes.width, bias=False)
        self.ffn_norm = nn.RMSNorm(sizes.width, sizes.epsilon)
        self.ffn_gate = nn.Linear(sizes.width, sizes.hidden_width, bias=False)
        self.ffn_up = nn.Linear(sizes.width, sizes.hidden_width, bias=False)
        self.ffn_down = nn.Linear(sizes.hidden_width, sizes.width, bias=False)

    def project(self, hidden, head_dim: int, angles):
        """q, k, v of the tokens, head by head, q and k turned by their positions."""
        q, k, v = (
            linear(hidden).unflatten(-1, (-1, head_dim)).transpose(1, 2)
            for linear in (self.attn_q, self.attn_k, self.attn_v)
        )
        return rotate(q, angles), rotate(k, angles), v

    def feed_forward(self, x):
        """What the SwiGLU half adds to the stream."""
        normed = self.ffn_norm(x)
        return self.ffn_down(functional.silu(self.ffn_gate(normed)) * self.ffn_up(normed))


class SmolLM2(nn.Module):
    """The decoder. `SmolLM2.from_gguf()` has the real weights, in float32 on the CPU."""

    def __init__(self, sizes: Sizes):
        super().__init__()
        self.sizes = sizes
        self.token_embd = nn.Embedding(sizes.vocabulary, sizes.width)
        self.blk = nn.ModuleList(Layer(sizes) for _ in range(sizes.layers))
        self.output_norm = nn.RMSNorm(sizes.width, sizes.epsilon)

    @classmethod
    def from_gguf(cls, source: smollm2.SmolLM2) -> SmolLM2:
        """The same model as the NumPy one: GGUF's tensor names are this module's."""
        weights = source.weights
        model = cls(
            Sizes(
                *weights["token_embd.weight"].shape[:1],
                source.layers,
                *weights["blk.0.ffn_up.weight"].shape[::-1],
                source.num_heads,
                source.num_kv_heads,
                source.head_dim,
                source.max_context,
                source.rope_theta,
                source.epsilon,
            )
        )
        model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
        return model

    def forward(
        self, ids: Int[Tensor, "B T"], attend: Attend | None = None, cache: Cache | None = None
    ) -> Float[Tensor, "B T width"]:
        """Final hidden states of the tokens, which follow those in the cache and are stored there.

        Ids on the CPU are checked there, without waiting for the GPU, and moved to the weights.
        `attend` gives a layer's attention output from its AttentionInput; dense unless given.
        Ids that are no tokens, or too many: ValueError, and the cache is unchanged.
        """
        start = 0 if cache is None else cache.length
        self.check_ids(ids, start, self.sizes.max_context if cache is None else cache.capacity)
        attend = attend_dense if attend is None else attend
        ids = ids.to(self.token_embd.weight.device, non_blocking=True)
        angles = self.angles(start, ids.shape[1], ids.device)
        x = self.token_embd(ids)
        for number, layer in enumerate(self.blk):
            hidden = layer.attn_norm(x)
            q, k, v = layer.project(hidden, self.sizes.head_dim, angles)
            if cache is not None:
                k, v = cache.extend("k", number, k), cache.extend("v", number, v)
            out = attend(AttentionInput(number, hidden, q, k, v, angles, cache))
            x = x + layer.attn_output(out.transpose(1, 2).flatten(2))
            x = x + layer.feed_forward(x)
        if cache is not None:
            cache.length += ids.shape[1]
        return self.output_norm(x)

    def logits(self, hidden: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows vocabulary"]:
        """Score of every token as the next one; the embedding serves as the output matrix."""
        return functional.linear(hidden, self.token_embd.weight)

    def angles(self, start: int, count: int, device) -> Float[Tensor, "T d/2"]:
        """RoPE's angles at `count` positions from `start`, one a pair of channels."""
        pairs = torch.arange(0, self.sizes.head_dim, 2, device=device, dtype=torch.float64)
        frequencies = self.sizes.rope_theta ** (-pairs / self.sizes.head_dim)
        positions = torch.arange(start, start + count, device=device, dtype=torch.float64)
        return (positions[:, None] * frequencies).float()

    def check_ids(self, ids, start: int, capacity: int) -> None:
        """Raise unless ids [B,T] are tokens, and no more than there is room for."""
        if ids.ndim != 2 or not ids.numel() or ids.is_floating_point():
            got = f"shape {tuple(ids.shape)} of {ids.dtype}"
            raise ValueError(f"ids: got {got}, takes integers [B T]")
        lowest, highest = torch.stack(ids.aminmax()).tolist()
        if lowest < 0 or highest >= self.sizes.vocabulary:
            last = self.sizes.vocabulary - 1
            raise ValueError(f"ids: got {lowest} to {highest}, takes tokens from 0 to {last}")
        room = min(capacity, self.sizes.max_context) - start
        if ids.shape[1] > room:
            raise ValueError(f"ids: got {ids.shape[1]} tokens, takes at most {room} more")


def attend_dense(inputs: AttentionInput) -> Float[Tensor, "B Hq T d"]:
    """Exact causal attention, what the model was trained with."""
    q, k, v = inputs.q, inputs.k, inputs.v
    if q.shape[2] == k.shape[2]:
        return functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    mask = select.visible_tokens(q.shape[2], k.shape[2], q.device)
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)


class SparseAttention:
    """MSA as a model's attention: every layer's index branch picks the blocks its heads read.

    `branches` is one IndexBranch a layer; `top_k` blocks of `block_size` tokens a query and group.
    """

    def __init__(self, branches: list[IndexBranch], *, block_size: int, top_k: int):
        self.branches, self.sizes = branches, {"block_size": block_size, "top_k": top_k}

    def __call__(self, inputs: AttentionInput) -> Float[Tensor, "B Hq T d"]:
        index_q, index_k = index_lanes(self.branches, inputs)
        chosen = select.select_blocks(index_q, index_k, **self.sizes)
        block_size = self.sizes["block_size"]
        return sparse.attention(inputs.q, inputs.k, inputs.v, chosen, block_size=block_size)


def lm_losses(model: SmolLM2, ids: Int[Tensor, "B T"], attend: Attend) -> Float[Tensor, " B"]:
    """Mean nats a token of each text: how much the next token surprises the model."""
    rows = zip(model(ids, attend), ids)
    losses = [
        functional.cross_entropy(model.logits(hidden[:-1]).float(), row[1:]) for hidden, row in rows
    ]
    return torch.stack(losses)


def index_lanes(branches: list[IndexBranch], inputs: AttentionInput, *, detach: bool = True):
    """index_q [B,Hkv,T,di] of the new tokens and index_k [B,1,S,di] of all.

    With `detach` what the index learns stays in it; without, its gradient reaches the trunk.
    """
    hidden = inputs.hidden.detach() if detach else inputs.hidden
    index_q, index_k = branches[inputs.layer](hidden, inputs.angles)
    if inputs.cache is not None:
        index_k = inputs.cache.extend("index_k", inputs.layer, index_k)
    return index_q, index_k
