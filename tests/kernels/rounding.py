"""When a kernel counts as right: no farther from the truth than its roundings explain.

The truth is the reference in float64 on the kernel's own inputs. The model rounds what the kernel
must round: in 16 bits the weights P and the output (and each partial output where partials are
stored in 16 bits); in float32, where the error comes from accumulation, it is the same maths wholly
in float32. Cosine distances and `allclose` accept a lost block; this rule refuses it.
"""

from typing import NamedTuple

import numpy as np
import torch

ROW_FACTOR = {torch.float32: 4.0, torch.float16: 2.0, torch.bfloat16: 2.0}
RMS_FACTOR = {torch.float32: 2.0, torch.float16: 1.1, torch.bfloat16: 1.1}
LSE_ERROR = {torch.float32: 1e-5, torch.float16: 1e-3, torch.bfloat16: 1e-3}


class Truth(NamedTuple):
    """What is right, and what a kernel of this dtype may make of it."""

    out: np.ndarray  # [B, Hq, T, d] float64
    lse: np.ndarray  # [B, Hq, T] float64
    model: np.ndarray  # [B, Hq, T, d] float64


def rounded(array, dtype):
    """The nearest numbers of a dtype, as float64 again."""
    return torch.from_numpy(np.ascontiguousarray(array)).to(dtype).double().numpy()


def truth(q, k, v, selection, *, block_size, dtype, partials=False, positions=None):
    """Exact attention over selected blocks, and its model; all arrays are given in float64.

    `partials` says that the kernel stores one partial result a block in its dtype. Query row t
    stands at positions[t], at S - T + t if not given.
    """
    num_queries, num_keys = q.shape[2], k.shape[2]
    if positions is None:
        positions = np.arange(num_keys - num_queries, num_keys)
    out, model = np.zeros(q.shape), np.zeros(q.shape)
    lse = np.full(q.shape[:3], -np.inf)
    per_head = q.shape[1] // k.shape[1]
    for b, h, t in np.ndindex(q.shape[:3]):
        g = h // per_head
        ids = selection[b, g, t]
        tokens = (ids[ids >= 0, None] * block_size + np.arange(block_size)).ravel()
        tokens = tokens[tokens <= positions[t]]
        if tokens.size:
            keys, values = k[b, g, tokens], v[b, g, tokens]
            out[b, h, t], lse[b, h, t] = _attend(q[b, h, t], keys, values)
            split = tokens // block_size if partials else np.zeros(tokens.size)
            model[b, h, t] = _model(q[b, h, t], keys, values, split, dtype, partials)
    return Truth(out, lse, model)


def _attend(q, keys, values):
    scores = keys @ q * q.dtype.type(len(q) ** -0.5)
    peak = scores.max()
    weights = np.exp(scores - peak)
    return weights @ values / weights.sum(), peak + np.log(weights.sum())


def _in_float32(q, keys, values):
    """Sums one product after another, which BLAS, with its many accumulators, does better."""
    scores = (keys * q).cumsum(-1)[:, -1] * np.float32(len(q) ** -0.5)
    weights = np.exp(scores - scores.max())
    total = weights.cumsum()[-1]
    return (weights[:, None] * values).cumsum(0)[-1] / total


def _model(q, keys, values, split, dtype, partials):
    if dtype == torch.float32:
        return _in_float32(*(x.astype(np.float32) for x in (q, keys, values)))
    scores = keys @ q * len(q) ** -0.5
    outs, lses = [], []
    for one in np.unique(split):
        mine = scores[split == one]
        weights = np.exp(mine - mine.max())
        part = rounded(weights, dtype) @ values[split == one] / weights.sum()
        outs.append(rounded(part, dtype) if partials else part)
        lses.append(mine.max() + np.log(weights.sum()))
    shares = np.exp(np.array(lses) - max(lses))
    return rounded(shares @ np.array(outs) / shares.sum(), dtype)


def assert_right(out, lse, want, dtype):
    """Raise AssertionError, with the place, unless a kernel's output and LSE are right.

    Each row's highest error is at most 2 x (the model's there + eps * max|truth|), the RMS error
    at most 1.1 x the model's; 4 x and 2 x in float32.
    """
    out, lse = out.double().cpu().numpy(), lse.double().cpu().numpy()
    assert out.shape == want.out.shape
    assert lse.shape == want.lse.shape
    assert np.isfinite(out).all(), f"not finite at {_first(~np.isfinite(out))}"
    error, model_error = np.abs(out - want.out), np.abs(want.model - want.out)
    eps = torch.finfo(dtype).eps
    floor = eps * np.abs(want.out).max()
    bound = ROW_FACTOR[dtype] * (model_error.max(-1) + floor)
    high = error.max(-1) > bound
    assert not high.any(), f"row {_first(high)}: {error.max(-1)[high][0]} > {bound[high][0]}"
    rms, model_rms = np.sqrt((error**2).mean()), np.sqrt((model_error**2).mean())
    assert rms <= RMS_FACTOR[dtype] * model_rms, f"RMS {rms} > model's {model_rms}"
    dead = want.lse == -np.inf
    assert (lse[dead] == -np.inf).all()
    far = ~(np.abs(np.where(dead, 0, lse) - np.where(dead, 0, want.lse)) <= LSE_ERROR[dtype])
    assert not far.any(), f"LSE {_first(far)}: {lse[far][0]}, wanted {want.lse[far][0]}"


def assert_selected(ids, scores, *, config, positions, slack):
    """Raise unless every row is a right selection by float64 block scores [B, Hkv, T, nb].

    Ascending, unique, -1 on the right, nothing in the future, forced blocks inside, as many as
    there are, and no block left out that scores more than `slack` above a chosen one.
    """
    ids = np.asarray(ids.cpu())
    for b, g, t in np.ndindex(ids.shape[:3]):
        row, own = ids[b, g, t], positions[t] // config.block_size
        chosen = row[row >= 0]
        at = f"row {(b, g, t)}: {row}"
        assert (row[len(chosen) :] == -1).all(), at
        assert (np.diff(chosen) > 0).all(), at
        assert len(chosen) == min(config.top_k, own + 1), at
        visible = np.arange(own + 1)
        must = (visible < config.init_blocks) | (visible > own - config.local_blocks)
        assert set(visible[must]) <= set(chosen), at
        assert chosen.max() <= own, at
        left = np.setdiff1d(visible, chosen)
        free = np.setdiff1d(chosen, visible[must])
        if left.size and free.size:
            best, worst = scores[b, g, t, left].max(), scores[b, g, t, free].min()
            assert best <= worst + slack, at


def _first(where):
    return tuple(int(i) for i in np.argwhere(where)[0])
