"""The main branch: exact attention on the selected blocks, in two orders; and MSA whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from msa_ref import blocks, contracts, dense, scoring
from msa_ref.selection import select_blocks

if TYPE_CHECKING:
    from jaxtyping import Float, Int, Int32

    from msa_ref.config import MSAConfig

    LoadBlock = Callable[[int, int, int], tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n d"]]]


class MSAOutput(NamedTuple):
    """What MSA returns: output, LSE, and the selection with the scores it came from."""

    out: Float[np.ndarray, "B Hq T d"]
    lse: Float[np.ndarray, "B Hq T"]
    selection: Int32[np.ndarray, "B Hkv T k"]
    block_scores: Float[np.ndarray, "B Hkv T nb"]


def attend_tile(
    q: Float[np.ndarray, "*rows T d"],
    k_block: Float[np.ndarray, "n d"],
    v_block: Float[np.ndarray, "n dv"],
    *,
    distance: Int[np.ndarray, " T"],
    scale: float,
) -> tuple[Float[np.ndarray, "*rows T dv"], Float[np.ndarray, "*rows T"]]:
    """Partial output and LSE of some queries over one block of keys.

    `distance` is each query's position minus that of the block's first key: key i is visible
    when i <= distance. Only the local block needs that mask. A value that is not finite makes NaN
    of its channel in the rows that see it, and changes no other row.
    """
    scores = q @ k_block.T * scale
    visible = np.arange(len(k_block)) <= distance[:, None]
    weights, lse = dense.softmax_lse(np.where(visible, scores, -np.inf))
    finite = np.isfinite(v_block)
    out = weights @ np.where(finite, v_block, 0)
    # A weight of 0 is no protection: 0 * NaN is NaN, in rows that must not see it too.
    if not finite.all():
        out[..., visible @ ~finite] = np.nan
    return out, lse


def attention(
    q: Float[np.ndarray, "B Hq T d"],
    k: Float[np.ndarray, "B Hkv S d"],
    v: Float[np.ndarray, "B Hkv S d"],
    selection: Int[np.ndarray, "B Hkv T k"],
    *,
    block_size: int,
    scale: float | None = None,
) -> tuple[Float[np.ndarray, "B Hq T d"], Float[np.ndarray, "B Hq T"]]:
    """Output and LSE of exact attention over the visible tokens of the selected blocks.

    All G heads of a group share its selection (ids ascending, -1 on the right). A row that
    selects nothing has output 0 and LSE -inf. `scale` is d**-0.5 unless given. Raises ValueError
    or TypeError on arrays that do not fit and on ids out of range or wholly in a query's future.
    NaN and infinities reach only rows that see them (docs/deviations.md). Source: MSA paper, Eq. 8.
    """
    q, k, v = contracts.check_attention(q, k, v)
    contracts.check_selection(selection, q, k, block_size)

    def load_block(batch, group, block):
        first, stop = blocks.block_span(block, block_size, k.shape[2])
        return k[batch, group, first:stop], v[batch, group, first:stop]

    return attend_blocks(
        q, selection, load_block, num_keys=k.shape[2], block_size=block_size, scale=scale
    )


def attend_blocks(
    q: Float[np.ndarray, "B Hq T d"],
    selection: Int[np.ndarray, "B Hkv T k"],
    load_block: LoadBlock,
    *,
    num_keys: int,
    block_size: int,
    scale: float | None = None,
) -> tuple[Float[np.ndarray, "B Hq T d"], Float[np.ndarray, "B Hq T"]]:
    """Output and LSE of attention over the selected blocks, each loaded once: block-major order.

        for each block of each group that some query chose:
            keys, values = load_block(batch, group, block)          # [n, d] each
            part = attention of the queries that chose it over the block
            merge the part into those queries' output and LSE

    q and the selection are as `attention` checks them: here only sizes and ids are. Raises
    ValueError or TypeError on those. Source: MSA paper, section 4 (KV-outer order).
    """
    scale = contracts.check_scale(scale)
    batch, num_heads, num_queries, head_dim = q.shape
    num_groups = selection.shape[1]
    scale = head_dim**-0.5 if scale is None else scale
    positions = blocks.query_positions(num_queries, num_keys)
    num_blocks = blocks.num_blocks(num_keys, block_size)
    q = q.reshape(batch, num_groups, -1, num_queries, head_dim)
    out = np.zeros_like(q)
    lse = np.full(q.shape[:-1], -np.inf, dtype=q.dtype)
    for b, g in np.ndindex(batch, num_groups):
        offsets, queries = blocks.invert_selection(selection[b, g], num_blocks)
        for block in np.flatnonzero(np.diff(offsets)):
            rows = queries[offsets[block] : offsets[block + 1]]
            k_block, v_block = load_block(b, g, block)
            distance = positions[rows] - block * block_size
            part = attend_tile(q[b, g][:, rows], k_block, v_block, distance=distance, scale=scale)
            earlier = out[b, g][:, rows], lse[b, g][:, rows]
            outs, lses = (np.stack(pair) for pair in zip(earlier, part))
            out[b, g][:, rows], lse[b, g][:, rows] = dense.merge_partials(outs, lses)
    shape = (batch, num_heads, num_queries)
    return out.reshape(*shape, head_dim), lse.reshape(shape)


def attention_query_major(
    q: Float[np.ndarray, "B Hq T d"],
    k: Float[np.ndarray, "B Hkv S d"],
    v: Float[np.ndarray, "B Hkv S d"],
    selection: Int[np.ndarray, "B Hkv T k"],
    *,
    block_size: int,
    scale: float | None = None,
) -> tuple[Float[np.ndarray, "B Hq T d"], Float[np.ndarray, "B Hq T"]]:
    """Output and LSE of attention over the selected blocks, query by query: slow and plain.

    Each query gathers its chosen tokens and takes one softmax over them. Conventions and errors as
    in `attention`.
    """
    q, k, v = contracts.check_attention(q, k, v)
    contracts.check_selection(selection, q, k, block_size)
    scale = contracts.check_scale(scale)
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    positions = blocks.query_positions(q.shape[2], k.shape[2])
    group_size = q.shape[1] // k.shape[1]
    out = np.zeros_like(q)
    lse = np.full(q.shape[:3], -np.inf, dtype=q.dtype)
    for b, g, t in np.ndindex(selection.shape[:3]):
        chosen = selection[b, g, t]
        tokens = (chosen[chosen >= 0, None] * block_size + np.arange(block_size)).ravel()
        tokens = tokens[tokens <= positions[t]]
        if tokens.size:
            heads = slice(g * group_size, (g + 1) * group_size)
            scores = q[b, heads, t] @ k[b, g, tokens].T * scale
            weights, lse[b, heads, t] = dense.softmax_lse(scores)
            out[b, heads, t] = weights @ v[b, g, tokens]
    return out, lse


def msa_attention(
    q: Float[np.ndarray, "B Hq T d"],
    k: Float[np.ndarray, "B Hkv S d"],
    v: Float[np.ndarray, "B Hkv S d"],
    index_q: Float[np.ndarray, "B Hkv T di"],
    index_k: Float[np.ndarray, "B 1 S di"],
    config: MSAConfig,
) -> MSAOutput:
    """MSA whole: score the blocks, select them, attend over them.

    Query row t stands at position S - T + t. Raises ValueError or TypeError on arrays that do not
    fit the config or each other. Source: MSA paper, Eq. 5 to 8.
    """
    q, k, v, index_q, index_k = contracts.check_msa(q, k, v, index_q, index_k, config)
    block_scores = scoring.block_scores(index_q, index_k, block_size=config.block_size)
    selection = select_blocks(
        block_scores,
        top_k=config.top_k,
        block_size=config.block_size,
        num_keys=k.shape[2],
        init_blocks=config.init_blocks,
        local_blocks=config.local_blocks,
    )
    out, lse = attention(q, k, v, selection, block_size=config.block_size)
    return MSAOutput(out, lse, selection, block_scores)
