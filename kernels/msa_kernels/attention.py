"""MSA over a prefill: the entry point, its two halves, and the chunks that they run in."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from msa_kernels import (
    checks,
    contracts,
    geometry,
    prefill_block_major,
    prefill_query_major,
)
from msa_kernels.arguments import Lengths, Outputs, new_outputs
from msa_kernels.combine import combine
from msa_kernels.index_score import score_prefill
from msa_kernels.plan import make_plan
from msa_kernels.top_k import select_blocks

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Int32
    from torch import Tensor

    from msa_ref.config import MSAConfig


class Chunk(NamedTuple):
    """Queries `start` to `stop` of a prefill, and how many keys the last of them may see."""

    start: int
    stop: int
    num_visible: int

    @property
    def rows(self) -> slice:
        """The chunk's rows in a tensor of all queries."""
        return slice(self.start, self.stop)

    @property
    def block_major(self) -> bool:
        """Whether each block is loaded once for all queries, and partial results are combined."""
        return geometry.is_block_major(self.num_visible)


def prefill_chunks(
    q: Float[Tensor, "B H T d"], num_keys: int, config: MSAConfig, *, ragged: bool = False
) -> list[Chunk]:
    """The chunks of a prefill, first to last; ragged sequences may see all keys in each."""
    batch, num_queries = q.shape[0], q.shape[2]
    size = geometry.queries_per_chunk(batch, num_queries, num_keys, config, q.element_size())
    stops = [min(start + size, num_queries) for start in range(0, num_queries, size)]
    return [
        Chunk(start, stop, num_keys if ragged else num_keys - num_queries + stop)
        for start, stop in zip(range(0, num_queries, size), stops)
    ]


def msa_attention(
    q: Float[Tensor, "B Hq T d"],
    k: Float[Tensor, "B Hkv S d"],
    v: Float[Tensor, "B Hkv S d"],
    index_q: Float[Tensor, "B Hkv T di"],
    index_k: Float[Tensor, "B 1 S di"],
    config: MSAConfig,
    *,
    query_lengths: Int32[Tensor, " B"] | None = None,
    key_lengths: Int32[Tensor, " B"] | None = None,
    check: bool = False,
) -> tuple[Float[Tensor, "B Hq T d"], Float32[Tensor, "B Hq T"], Int32[Tensor, "B Hkv T k"]]:
    """Output in q's dtype, LSE, and selection: `select` and `attend`, a chunk of queries at a time.

    Sequences are padded on the right: `query_lengths, key_lengths` (all T, all S, if not given).
    Row t of sequence b stands at key_lengths[b] - query_lengths[b] + t; rows past its queries get
    output 0, LSE -inf, ids -1. There is no backward. Raises ValueError on tensors that do not fit
    or that need a gradient; `check=True` also reads lengths and looks for NaN, which otherwise
    counts as -inf in a score. Source: MSA paper, Eq. 5 to 8 and section 4.
    """
    contracts.check_prefill(q, k, v, index_q, index_k, config)
    lengths, ragged = _lengths(q, k, query_lengths, key_lengths)
    if check:
        named = {"q": q, "k": k, "v": v, "index_q": index_q, "index_k": index_k}
        checks.check_values(lengths, q.shape[2], k.shape[2], named)
    outputs = new_outputs(q)
    selection = _new_selection(q, config)
    for chunk in prefill_chunks(q, k.shape[2], config, ragged=ragged):
        lengths = lengths._replace(first_query=chunk.start)
        part = select_chunk(index_q, index_k, lengths, chunk, config)
        attend_chunk(q, k, v, part, lengths, chunk, config, outputs)
        selection[:, :, chunk.rows] = part
    return outputs.out, outputs.lse, selection


def select(
    index_q: Float[Tensor, "B Hkv T di"],
    index_k: Float[Tensor, "B 1 S di"],
    config: MSAConfig,
    *,
    query_lengths: Int32[Tensor, " B"] | None = None,
    key_lengths: Int32[Tensor, " B"] | None = None,
) -> Int32[Tensor, "B Hkv T k"]:
    """Selected block ids of every query and KV head: ascending, -1 on the right.

    Lengths and errors as in `msa_attention`. Source: MSA paper, Eq. 5 to 7.
    """
    contracts.check_select(index_q, index_k, config)
    lengths, ragged = _lengths(index_q, index_k, query_lengths, key_lengths)
    selection = _new_selection(index_q, config)
    for chunk in prefill_chunks(index_q, index_k.shape[2], config, ragged=ragged):
        lengths = lengths._replace(first_query=chunk.start)
        selection[:, :, chunk.rows] = select_chunk(index_q, index_k, lengths, chunk, config)
    return selection


def attend(
    q: Float[Tensor, "B Hq T d"],
    k: Float[Tensor, "B Hkv S d"],
    v: Float[Tensor, "B Hkv S d"],
    selection: Int32[Tensor, "B Hkv T k"],
    config: MSAConfig,
    *,
    query_lengths: Int32[Tensor, " B"] | None = None,
    key_lengths: Int32[Tensor, " B"] | None = None,
) -> tuple[Float[Tensor, "B Hq T d"], Float32[Tensor, "B Hq T"]]:
    """Output in q's dtype and LSE of exact attention over the selected blocks.

    A row of the selection holds different ids below ceil(S / bs), unused slots -1. Lengths and
    errors as in `msa_attention`. Source: MSA paper, Eq. 8.
    """
    contracts.check_attend(q, k, v, selection, config)
    lengths, ragged = _lengths(q, k, query_lengths, key_lengths)
    outputs = new_outputs(q)
    for chunk in prefill_chunks(q, k.shape[2], config, ragged=ragged):
        lengths = lengths._replace(first_query=chunk.start)
        part = selection[:, :, chunk.rows].contiguous()
        attend_chunk(q, k, v, part, lengths, chunk, config, outputs)
    return outputs.out, outputs.lse


def select_chunk(
    index_q: Float[Tensor, "B Hkv T di"],
    index_k: Float[Tensor, "B 1 S di"],
    lengths: Lengths,
    chunk: Chunk,
    config: MSAConfig,
) -> Int32[Tensor, "B Hkv rows k"]:
    """Selection of one chunk's rows, whose first is `lengths.first_query`."""
    scores = score_prefill(
        index_q[:, :, chunk.rows], index_k, lengths,
        block_size=config.block_size, num_keys=chunk.num_visible,
    )  # fmt: skip
    return select_blocks(scores, lengths, config=config, blocks_per_max=geometry.BLOCKS_PER_MAX)


def attend_chunk(
    q: Float[Tensor, "B Hq T d"],
    k: Float[Tensor, "B Hkv S d"],
    v: Float[Tensor, "B Hkv S d"],
    selection: Int32[Tensor, "B Hkv rows k"],
    lengths: Lengths,
    chunk: Chunk,
    config: MSAConfig,
    outputs: Outputs,
) -> None:
    """Write one chunk's rows of the outputs, given their selection."""
    part, size, item_size = q[:, :, chunk.rows], config.block_size, geometry.ITEM_SIZE
    if not chunk.block_major:
        prefill_query_major.attend(part, k, v, selection, lengths, outputs, block_size=size)
        return
    plan = make_plan(selection, num_blocks=-(-k.shape[2] // size), item_size=item_size)
    partials = prefill_block_major.attend(
        part, k, v, plan, lengths, top_k=config.top_k, block_size=size, item_size=item_size
    )
    combine(
        partials, outputs, shape=tuple(selection.shape), entry_of_slot=plan.entry_of_slot,
        first_query=chunk.start,
    )  # fmt: skip


def _lengths(
    q: Tensor, k: Tensor, query_lengths: Tensor | None, key_lengths: Tensor | None
) -> tuple[Lengths, bool]:
    """Lengths of every sequence, all T and all S if not given, and whether any were given."""
    batch, ragged = q.shape[0], query_lengths is not None or key_lengths is not None
    int32 = {"dtype": torch.int32, "device": q.device}
    if query_lengths is None:
        query_lengths = torch.full((batch,), q.shape[2], **int32)
    if key_lengths is None:
        key_lengths = torch.full((batch,), k.shape[2], **int32)
    checks.check_lengths("query_lengths", query_lengths, batch, q.device)
    checks.check_lengths("key_lengths", key_lengths, batch, q.device)
    return Lengths(query_lengths, key_lengths), ragged


def _new_selection(q: Tensor, config: MSAConfig) -> Int32[Tensor, "B Hkv T k"]:
    shape = (q.shape[0], config.num_kv_heads, q.shape[2], config.top_k)
    return torch.empty(shape, dtype=torch.int32, device=q.device)
