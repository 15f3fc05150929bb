"""MSA in loops over single numbers, as the formulas are written: slow, and right at a glance."""

import math

import numpy as np


def dot(a, b):
    return sum(float(x) * float(y) for x, y in zip(a, b))


def score_blocks(lanes, config):
    """Best visible token of every block, for every query and group."""
    batch, groups, num_queries, index_dim = lanes.index_q.shape
    num_keys = lanes.index_k.shape[2]
    num_blocks = math.ceil(num_keys / config.block_size)
    scores = np.full((batch, groups, num_queries, num_blocks), -math.inf)
    for b, g, t in np.ndindex(batch, groups, num_queries):
        for j in range(num_keys - num_queries + t + 1):
            score = dot(lanes.index_q[b, g, t], lanes.index_k[b, 0, j]) / math.sqrt(index_dim)
            block = j // config.block_size
            scores[b, g, t, block] = max(scores[b, g, t, block], score)
    return scores


def select_row(scores, position, config):
    """Ids one query reads: the forced ones, then the best others, the lower id first on a tie."""
    own = position // config.block_size
    visible = range(own + 1)
    first = [block for block in visible if block < config.init_blocks]
    local = [block for block in visible if own - block < config.local_blocks]
    forced = sorted({*first, *local})
    others = [block for block in visible if block not in forced and scores[block] > -math.inf]
    others.sort(key=lambda block: (-scores[block], block))
    ids = sorted([*forced, *others][: config.top_k])
    return ids + [-1] * (config.top_k - len(ids))


def select(scores, num_keys, config):
    """`select_row` of every row."""
    batch, groups, num_queries, _ = scores.shape
    chosen = np.empty((batch, groups, num_queries, config.top_k), dtype=np.int32)
    for b, g, t in np.ndindex(batch, groups, num_queries):
        position = num_keys - num_queries + t
        chosen[b, g, t] = select_row(scores[b, g, t].tolist(), position, config)
    return chosen


def attend_row(q, keys, values, scale):
    """Output and LSE of one query over the keys it may read."""
    if not len(keys):
        return np.zeros(len(q)), -math.inf
    scores = [dot(q, key) * scale for key in keys]
    total = sum(math.exp(score) for score in scores)
    weights = [math.exp(score) / total for score in scores]
    out = [sum(w * float(value[c]) for w, value in zip(weights, values)) for c in range(len(q))]
    return np.array(out), math.log(total)


def attend(lanes, chosen, config):
    """Output and LSE of every query head over the visible tokens of its group's blocks."""
    q, k, v = lanes.q, lanes.k, lanes.v
    batch, num_heads, num_queries, head_dim = q.shape
    num_keys = k.shape[2]
    out, lse = np.zeros(q.shape), np.zeros(q.shape[:3])
    for b, h, t in np.ndindex(batch, num_heads, num_queries):
        group = h // config.group_size
        position = num_keys - num_queries + t
        tokens = [
            j for j in range(position + 1) if j // config.block_size in chosen[b, group, t].tolist()
        ]
        keys, values = k[b, group][tokens], v[b, group][tokens]
        out[b, h, t], lse[b, h, t] = attend_row(q[b, h, t], keys, values, head_dim**-0.5)
    return out, lse
