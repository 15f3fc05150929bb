"""Selection: the top-k blocks of every query and group, forced blocks first, ids ascending.

Two rounds instead of one sort: the k best blocks lie in the k best groups of blocks. Scores become
integers of the same order, so that one instruction reduces a warp. Ties go to the lower id.
"""

import torch
import triton
import triton.language as tl


@triton.jit
def _order(score):
    """Integers ordered as the scores are, -0.0 as 0.0, NaN as -inf."""
    score = tl.where(score == score, score, float("-inf"))
    bits = (score + 0.0).to(tl.int32, bitcast=True)
    return tl.where(bits < 0, bits ^ 0x7FFFFFFF, bits)


@triton.jit
def _best(order, ident, K: tl.constexpr, SLOTS: tl.constexpr, ROWS: tl.constexpr):
    """Ids of the K highest of each row, best first; 2**31 - 1 where only -inf is left."""
    slot = tl.arange(0, SLOTS)
    ids = tl.full([ROWS, SLOTS], 0x7FFFFFFF, tl.int32)
    for i in range(0, K):
        top = tl.max(order, 1)
        pick = tl.min(tl.where(order == top[:, None], ident, 0x7FFFFFFF), 1)
        found = (slot[None, :] == i) & (top > -0x7F800001)[:, None]  # the order of -inf
        ids = tl.where(found, pick[:, None], ids)
        order = tl.where(ident == pick[:, None], -0x7FFFFFFF - 1, order)
    return ids


@triton.jit
def _select(
    score_ptr, group_ptr, query_length_ptr, key_length_ptr, selection_ptr,
    first_query, T, NB, NG, HKV, num_rows, init_blocks, local_blocks,
    K: tl.constexpr, SLOTS: tl.constexpr, BS: tl.constexpr, GROUP: tl.constexpr,
    GROUPS: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    live = row < num_rows
    t = (row % T).to(tl.int32)
    b = row // T // HKV
    group = tl.arange(0, GROUPS)[None, :]
    held = live[:, None] & (group < NG)  # loaded before it is known what of it a query sees
    maximum = tl.load(group_ptr + row[:, None] * NG + group, mask=held, other=float("-inf"))
    keys = tl.load(key_length_ptr + b, mask=live, other=1)
    queries = T
    if query_length_ptr is not None:
        queries = tl.load(query_length_ptr + b, mask=live, other=0)
    live = live & (first_query + t < queries) & (keys > 0)
    own = tl.where(live, (keys - queries + first_query + t) // BS, -1)[:, None]
    local = tl.maximum(own - local_blocks + 1, 0)
    # round 1: groups; one with a forced block ranks above every score
    visible = group * GROUP <= own
    maximum = tl.where(visible, maximum, float("-inf"))
    forced = (group * GROUP < init_blocks) | ((group >= local // GROUP) & (local_blocks > 0))
    order = tl.where(forced & visible, 0x7FFFFFFF, _order(maximum))
    groups = _best(order, group + tl.zeros([ROWS, 1], tl.int32), K, SLOTS, ROWS)
    # round 2: the blocks of those groups
    block = groups[:, :, None] * GROUP + tl.arange(0, GROUP)[None, None, :]
    block = tl.where(groups[:, :, None] == 0x7FFFFFFF, 0x7FFFFFFF, block)
    block = tl.reshape(block, [ROWS, SLOTS * GROUP])
    visible = block <= own
    score = tl.load(score_ptr + row[:, None] * NB + block, mask=visible, other=float("-inf"))
    forced = (block < init_blocks) | ((block >= local) & (local_blocks > 0))
    order = tl.where(forced & visible, 0x7FFFFFFF, _order(score))
    ids = tl.sort(_best(order, block, K, SLOTS, ROWS), dim=1)
    slot = tl.arange(0, SLOTS)[None, :]
    ids = tl.where(ids == 0x7FFFFFFF, -1, ids)
    tl.store(
        selection_ptr + row[:, None] * K + slot, ids, mask=(row < num_rows)[:, None] & (slot < K)
    )


def select_blocks(
    scores, maxima, query_lengths, key_lengths, *, config, group, selection=None, first_query=0
):
    """Ids int32 [B, Hkv, T, k]: ascending, -1 on the right, the own block inside.

    `scores [B, Hkv, T, nb]` and `maxima` of every `group` of them, as index_score writes them.
    Rows past a sequence's queries, and those of an empty sequence, hold -1 alone. Ties go to the
    lower id; NaN counts as -inf. Source: MSA paper, Eq. 7.
    """
    batch, num_groups, num_queries, nb = scores.shape
    ng = maxima.shape[-1]
    if selection is None:
        shape = (batch, num_groups, num_queries, config.top_k)
        selection = torch.empty(shape, device=scores.device, dtype=torch.int32)
    num_rows = batch * num_groups * num_queries
    rows = 4 if num_rows >= 4096 and ng <= 1024 else 1
    _select[(triton.cdiv(num_rows, rows),)](
        scores, maxima, query_lengths, key_lengths, selection,
        first_query, num_queries, nb, ng, num_groups, num_rows,
        config.init_blocks, config.local_blocks,
        K=config.top_k, SLOTS=triton.next_power_of_2(config.top_k), BS=config.block_size,
        GROUP=group, GROUPS=triton.next_power_of_2(ng), ROWS=rows,
        num_warps=1 if ng <= 1024 else 4,
    )  # fmt: skip
    return selection
