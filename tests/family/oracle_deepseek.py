"""DSA, CSA and HCA of one sequence with plain loops, written from the papers' equations.

Unlike the package: rotations are complex products, MLA expands its keys and values (nothing is
absorbed), a summary is computed from all of the sequence, channel by channel.
"""

import numpy as np

EPSILON = 1e-6


def rms(x, weight=1.0):
    return weight * x / np.sqrt(np.mean(x**2) + EPSILON)


def phases(position, config):
    half = config.rotary_dim // 2
    return np.exp(1j * position * config.rope_theta ** (-np.arange(half) / half))


def turn_last_pairs(x, position, config):
    """Channels (0, 1), (2, 3) ... of the last rotary_dim turn together."""
    plain, turning = np.split(x, [len(x) - config.rotary_dim])
    z = (turning[0::2] + 1j * turning[1::2]) * phases(position, config)
    return np.concatenate([plain, np.stack([z.real, z.imag], axis=1).ravel()])


def turn_first_halves(x, position, config):
    """Channels (0, half), (1, half + 1) ... of the first rotary_dim turn together."""
    half = config.rotary_dim // 2
    z = (x[:half] + 1j * x[half : 2 * half]) * phases(position, config)
    return np.concatenate([z.real, z.imag, x[2 * half :]])


def softmax_over(scores, sink=None):
    """Softmax of a list of scores; a sink takes its share and is left out."""
    exponentials = np.exp(np.array(scores))
    return exponentials / (exponentials.sum() + (0 if sink is None else np.exp(sink)))


def vote(index_q, votes, index_k, config):
    scale = (config.index_heads * config.index_dim) ** -0.5
    return scale * sum(v * max(0.0, q @ index_k) for q, v in zip(index_q, votes, strict=True))


def best(scores, top_k):
    """Ids of the highest scores; of equal ones the lower."""
    return sorted(sorted(range(len(scores)), key=lambda s: (-scores[s], s))[:top_k])


def dsa(hidden, w, config):
    """Outputs [H,T,v_dim] and each query's chosen tokens."""
    rank, plain = config.kv_rank, config.plain_dim
    latents, rotated, index_k = [], [], []
    for t, x in enumerate(hidden):
        kv = w["kv_a_proj_with_mqa"] @ x
        latents.append(rms(kv[:rank], w["kv_a_layernorm"]))
        rotated.append(turn_last_pairs(kv[rank:], t, config))
        key = w["indexer.wk"] @ x
        key = (key - key.mean()) / np.sqrt(key.var() + EPSILON)
        key = key * w["indexer.k_norm.weight"] + w["indexer.k_norm.bias"]
        index_k.append(turn_first_halves(key, t, config))
    up = w["kv_b_proj"].reshape(config.num_heads, plain + config.v_dim, rank)
    out = np.zeros((config.num_heads, len(hidden), config.v_dim))
    chosen = []
    for t, x in enumerate(hidden):
        q_latent = rms(w["q_a_proj"] @ x, w["q_a_layernorm"])
        index_q = (w["indexer.wq_b"] @ q_latent).reshape(config.index_heads, -1)
        index_q = [turn_first_halves(q, t, config) for q in index_q]
        votes = w["indexer.weights_proj"] @ x
        scores = [vote(index_q, votes, index_k[s], config) for s in range(t + 1)]
        chosen.append(best(scores, config.top_k))
        q = (w["q_b_proj"] @ q_latent).reshape(config.num_heads, -1)
        for h in range(config.num_heads):
            query = turn_last_pairs(q[h], t, config)
            keys = [np.concatenate([up[h, :plain] @ latents[s], rotated[s]]) for s in chosen[t]]
            share = softmax_over([query @ key / np.sqrt(len(query)) for key in keys])
            out[h, t] = sum(p * (up[h, plain:] @ latents[s]) for p, s in zip(share, chosen[t]))
    return out, chosen


def summary(hidden, w, name, i, config, *, overlap):
    """Entry i: for each channel one softmax over its block's tokens, and the block before's."""
    ratio = config.ratio
    width = len(w[f"{name}.kv_norm"])
    entry = np.zeros(width)
    for c in range(width):
        rows = []
        for r in range(ratio):
            own = c + width if overlap else c
            rows.append((i * ratio + r, r, own))
            if overlap and i > 0:
                rows.append(((i - 1) * ratio + r, r, c))
        gates = [
            w[f"{name}.gate_proj"][row] @ hidden[t] + w[f"{name}.position_bias"][r, row]
            for t, r, row in rows
        ]
        values = [w[f"{name}.kv_proj"][row] @ hidden[t] for t, _, row in rows]
        entry[c] = softmax_over(gates) @ np.array(values)
    return turn_last_pairs(rms(entry, w[f"{name}.kv_norm"]), i * ratio, config)


def v4(hidden, w, config, *, overlap):
    """CSA (with overlap and indexer) or HCA: outputs [H,T,d], each query's entries and tokens."""

    def summaries(name):
        closed = len(hidden) // config.ratio
        return [summary(hidden, w, name, i, config, overlap=overlap) for i in range(closed)]

    entries = summaries("compressor")
    index_k = summaries("indexer") if overlap else []
    raw = [
        turn_last_pairs(rms(w["kv_proj"] @ x, w["kv_norm"]), t, config)
        for t, x in enumerate(hidden)
    ]
    out = np.zeros((config.num_heads, len(hidden), config.head_dim))
    chosen, near = [], []
    for t, x in enumerate(hidden):
        q_latent = rms(w["q_a_proj"] @ x, w["q_a_norm"])
        # An entry may be read by the token that closes it, and by none before.
        seen = [i for i in range(len(entries)) if (i + 1) * config.ratio - 1 <= t]
        if overlap:
            index_q = (w["indexer.q_b_proj"] @ q_latent).reshape(config.index_heads, -1)
            index_q = [turn_last_pairs(q, t, config) for q in index_q]
            votes = w["indexer.weights_proj"] @ x
            seen = best([vote(index_q, votes, index_k[i], config) for i in seen], config.top_k)
        chosen.append(seen)
        near.append([j for j in range(t + 1) if j > t - config.window])
        kv = [entries[i] for i in seen] + [raw[j] for j in near[t]]
        for h, q in enumerate((w["q_b_proj"] @ q_latent).reshape(config.num_heads, -1)):
            query = turn_last_pairs(rms(q), t, config)
            share = softmax_over([query @ e / np.sqrt(len(e)) for e in kv], w["sinks"][h])
            out[h, t] = turn_last_pairs(sum(p * e for p, e in zip(share, kv)), -t, config)
    return out, chosen, near
