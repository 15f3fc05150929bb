"""SmolLM2-135M in PyTorch: a real decoder whose attention is replaced by one argument.

A Llama-style model: 30 layers, 9 query heads that share 3 KV heads, RoPE, SwiGLU. The weights are
those of `msa_ref.smollm2`, read from the same GGUF file. `model(ids, attend)` runs it with whatever
attention is handed in: `attend_dense`, `SparseAttention` on the blocks that a function selects, or
one of `msa_learning.index.distilling_attention`, which also train an index.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from msa_learning.attention import sparse
from msa_learning.attention.rope import rope_angles, rotate_neighbours
from msa_learning.attention.selection import Budget, visible_tokens
from msa_ref import smollm2

if TYPE_CHECKING:
    from jaxtyping import Float, Int, Int32
    from torch import Tensor

    Attend = Callable[["AttentionInput"], Float[Tensor, "B Hq T d"]]
    Select = Callable[["AttentionInput", Budget], Int32[Tensor, "B Hkv T k"]]


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
    """What a layer's attention reads: T new tokens and the S tokens so far, these included.

    `hidden` [B,T,width] is the input of the layer's own q projection; q [B,Hq,T,d] and
    k, v [B,Hkv,S,d] are as attention sees them (after RoPE). `angles` [T,d/2] are RoPE's at the
    new tokens' positions, and `cache` is the model's, or None.
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
        """The lane [B,H,S,d] with the new tokens stored behind the `length` tokens in it."""
        if (name, layer) not in self.lanes:
            shape = (*new.shape[:2], self.capacity, new.shape[3])
            self.lanes[name, layer] = new.new_zeros(shape)
        lane = self.lanes[name, layer]
        stop = self.length + new.shape[2]
        lane[:, :, self.length : stop] = new
        return lane[:, :, :stop]


class Layer(nn.Module):
    """One decoder layer's weights, without biases."""

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
        """q, k, v of the tokens, head by head, q and k rotated by their positions."""
        q, k, v = (
            linear(hidden).unflatten(-1, (-1, head_dim)).transpose(1, 2)
            for linear in (self.attn_q, self.attn_k, self.attn_v)
        )
        return rotate_neighbours(q, angles), rotate_neighbours(k, angles), v

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
        sizes = {"rotary_dim": self.sizes.head_dim, "theta": self.sizes.rope_theta}
        return rope_angles(start, count, **sizes, device=device).float()

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
    mask = visible_tokens(q.shape[2], k.shape[2], q.device)
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)


class SparseAttention:
    """Exact attention on selected blocks as a model's `attend`, the same budget in every layer.

    `select(inputs, budget)` returns a layer's selection [B,Hkv,T,k]: that of an index
    (`index.branch.index_selector`), or of a Scorer (`evaluate.block_scorers`).
    """

    def __init__(self, select: Select, budget: Budget):
        self.select, self.budget = select, budget

    def __call__(self, inputs: AttentionInput) -> Float[Tensor, "B Hq T d"]:
        chosen = self.select(inputs, self.budget)
        block_size = self.budget.block_size
        return sparse.attention(inputs.q, inputs.k, inputs.v, chosen, block_size=block_size)


def lm_losses(model: SmolLM2, ids: Int[Tensor, "B T"], attend: Attend) -> Float[Tensor, " B"]:
    """Mean negative log-likelihood of each text's tokens, in nats."""
    rows = zip(model(ids, attend), ids)
    losses = [
        functional.cross_entropy(model.logits(hidden[:-1]).float(), row[1:]) for hidden, row in rows
    ]
    return torch.stack(losses)


def load_model(source: smollm2.SmolLM2) -> SmolLM2:
    """The real model, frozen, where it runs fastest: bf16 on a GPU, float32 without one."""
    torch.set_float32_matmul_precision("high")
    model = SmolLM2.from_gguf(source).requires_grad_(False)
    return model.to("cuda", torch.bfloat16) if torch.cuda.is_available() else model
