"""A byte-level language model whose attention is MSA, to train from scratch in minutes on a CPU.

    python -m msa_learning.models.byte_model --steps 400

trains it on the Python documentation inside the standard library. The index starts from nothing,
together with the trunk: first dense attention while the index watches, then its own selection.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from msa_learning.arguments import new_parser
from msa_learning.attention.layer import M3Attention
from msa_learning.documentation import documentation_topics
from msa_ref.checks import check_int, check_sizes
from msa_ref.config import MSAConfig

if TYPE_CHECKING:
    import argparse

    from jaxtyping import Float, Int, Int32
    from torch import Tensor

BYTES = 256
BATCH, CONTEXT = 4, 512
# A query reads at most 96 of its tokens.
SMALL = MSAConfig(num_heads=4, num_kv_heads=2, head_dim=32, index_dim=32, block_size=16, top_k=6)


class ModelOutput(NamedTuple):
    """Logits of the next byte; each layer's selection (None in the warm-up); the KLs' sum."""

    logits: Float[Tensor, "B T 256"]
    selections: list[Int32[Tensor, "B Hkv T k"] | None]
    kl: Float[Tensor, ""] | None


class TrainingStep(NamedTuple):
    """Loss of the language model in nats a byte, and KL averaged over the layers."""

    step: int
    warm_up: bool
    loss: float
    kl: float


class Block(nn.Module):
    """Attention and a SwiGLU, each on normed input and added to the stream."""

    def __init__(self, config: MSAConfig, hidden: int):
        super().__init__()
        self.attention_norm, self.mlp_norm = nn.RMSNorm(hidden), nn.RMSNorm(hidden)
        self.attention = M3Attention(config, hidden, rotary_dim=config.head_dim, rope_theta=1e4)
        self.gate, self.up = (nn.Linear(hidden, 3 * hidden, bias=False) for _ in range(2))
        self.down = nn.Linear(3 * hidden, hidden, bias=False)

    def forward(self, hidden: Float[Tensor, "B T hidden"], *, warm_up: bool):
        attended = self.attention(self.attention_norm(hidden), warm_up=warm_up)
        hidden = hidden + attended.out
        normed = self.mlp_norm(hidden)
        gated = functional.silu(self.gate(normed)) * self.up(normed)
        return hidden + self.down(gated), attended


class ByteModel(nn.Module):
    """The model: bytes in, logits of the next byte out. Sizes default to about 0.7 M parameters."""

    def __init__(self, config: MSAConfig = SMALL, *, layers: int = 3, hidden: int = 128):
        super().__init__()
        check_sizes(layers=layers, hidden=hidden)
        self.embedding = nn.Embedding(BYTES, hidden)
        nn.init.normal_(self.embedding.weight, std=hidden**-0.5)
        self.blocks = nn.ModuleList(Block(config, hidden) for _ in range(layers))
        self.norm = nn.RMSNorm(hidden)

    def forward(self, tokens: Int[Tensor, "B T"], *, warm_up: bool = False) -> ModelOutput:
        """Logits, selections and, in training, the KL. Tokens that are no bytes: ValueError."""
        if tokens.min() < 0 or tokens.max() >= BYTES:
            got = tokens.min().item(), tokens.max().item()
            raise ValueError(f"tokens: got {got[0]} to {got[1]}, takes bytes, 0 to {BYTES - 1}")
        hidden, attended = self.embedding(tokens), []
        for block in self.blocks:
            hidden, of_layer = block(hidden, warm_up=warm_up)
            attended.append(of_layer)
        logits = self.norm(hidden) @ self.embedding.weight.T
        kl = sum(layer.kl for layer in attended) if self.training else None
        return ModelOutput(logits, [layer.selection for layer in attended], kl)


def next_byte_loss(logits: Float[Tensor, "B T 256"], tokens: Int[Tensor, "B T"]):
    """Mean cross entropy of every next byte, in nats."""
    return functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())


def as_tokens(text: bytes, context: int) -> Int[Tensor, " n"]:
    """The text's bytes as tokens. Raises ValueError if they do not fill one context."""
    check_int("context", context, 2)
    if len(text) < context:
        raise ValueError(f"text: got {len(text)} bytes, takes at least one context of {context}")
    return torch.tensor(list(text))


def train(
    model: ByteModel,
    text: bytes,
    *,
    steps: int,
    warm_up_steps: int,
    generator: torch.Generator,
    batch: int = BATCH,
    context: int = CONTEXT,
    kl_weight: float = 1.0,
    learning_rate: float = 3e-3,
) -> Iterator[TrainingStep]:
    """Train the model in place, one step for each item that is drawn: LM loss + kl_weight * KL.

    The two losses never share a parameter; the weight only sets the index's pace. Attention is
    dense for the first `warm_up_steps`. Raises ValueError on a text shorter than `context` bytes.
    """
    check_sizes(steps=steps, batch=batch)
    check_int("warm_up_steps", warm_up_steps, 0)
    tokens = as_tokens(text, context)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=learning_rate, total_steps=steps, pct_start=0.1
    )
    model.train()
    for step in range(steps):
        first = torch.randint(len(tokens) - context + 1, (batch, 1), generator=generator)
        rows = tokens[first + torch.arange(context)]
        warm_up = step < warm_up_steps
        output = model(rows, warm_up=warm_up)
        lm_loss = next_byte_loss(output.logits, rows)
        (lm_loss + kl_weight * output.kl).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        yield TrainingStep(step, warm_up, lm_loss.item(), output.kl.item() / len(model.blocks))


@torch.no_grad()
def held_out_loss(
    model: ByteModel, text: bytes, *, dense: bool = False, context: int = CONTEXT
) -> float:
    """Nats a byte over the text's whole contexts, with MSA or, `dense`, without selecting."""
    tokens = as_tokens(text, context)
    rows = tokens[: len(tokens) // context * context].view(-1, context)
    model.eval()
    losses = [next_byte_loss(model(row[None], warm_up=dense).logits, row[None]) for row in rows]
    return torch.stack(losses).mean().item()


def documentation() -> bytes:
    """Python's documentation topics in the order of their names, as bytes of UTF-8."""
    topics = documentation_topics()
    return "\n\n".join(topics[name] for name in sorted(topics)).encode()


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = new_parser(__doc__)
    made.add_argument("--steps", type=int, default=400)
    made.add_argument("--seed", type=int, default=0)
    return made


def main() -> None:
    """Train on nine tenths of the documentation and test on the rest."""
    options = parser().parse_args()
    torch.manual_seed(options.seed)
    generator = torch.Generator().manual_seed(options.seed)
    text, model, start = documentation(), ByteModel(), time.monotonic()
    cut = len(text) * 9 // 10
    warm_up_steps = options.steps // 4
    for done in train(
        model, text[:cut], steps=options.steps, warm_up_steps=warm_up_steps, generator=generator
    ):
        if done.step % 20 == 19 or done.step == options.steps - 1:
            stage = "warm-up" if done.warm_up else "sparse"
            pace = (done.step + 1) * BATCH * CONTEXT / (time.monotonic() - start)
            print(
                f"step {done.step + 1:5}  {stage:7}  loss {done.loss:.3f} nats/byte  "
                f"KL {done.kl:.3f}  {pace:,.0f} bytes/s"
            )
    held_out = text[cut:]
    for name, dense in (("MSA", False), ("dense", True)):
        print(f"held out, {name}: {held_out_loss(model, held_out, dense=dense):.3f} nats/byte")


if __name__ == "__main__":
    main()
