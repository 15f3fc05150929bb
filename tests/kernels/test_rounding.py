"""The rule that says when a kernel is right: it passes right ones and refuses planted faults."""

import numpy as np
import pytest
import torch
from kernel_cases import pick
from rounding import assert_right, truth

BLOCK = 16
HALVES = pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)


def make(dtype):
    """Numbers of a dtype as float64, S = 4 blocks and 1 token; a selection of 3 blocks a row."""
    rng = np.random.default_rng(1)
    q, k, v = (rng.standard_normal(s) for s in ((1, 4, 17, 32), (1, 2, 65, 32), (1, 2, 65, 32)))
    q, k, v = (torch.from_numpy(x).to(dtype).double().numpy() for x in (q, k, v))
    ids = pick("rand", batch=1, groups=2, num_queries=17, num_keys=65, block_size=BLOCK, top_k=3)
    return q, k, v, ids


def kernel(q, k, v, ids, dtype, *, faulty=lambda scores, tokens, position: scores, scale=1.0):
    """A float32 kernel in NumPy, with weights and output rounded, and a fault if one is given."""
    out, lse = torch.zeros(q.shape, dtype=dtype), torch.full(q.shape[:3], -np.inf)
    for b, h, t in np.ndindex(q.shape[:3]):
        row, position = ids[b, h // 2, t], k.shape[2] - q.shape[2] + t
        tokens = (row[row >= 0, None] * BLOCK + np.arange(BLOCK)).ravel()
        tokens = tokens[tokens < k.shape[2] + 1]
        keys, values = (np.pad(x[b, h // 2], ((0, 1), (0, 0)))[tokens] for x in (k, v))
        scores = (keys @ q[b, h, t] * scale * 32**-0.5).astype(np.float32)
        scores = faulty(np.where(tokens <= position, scores, -np.inf), tokens, position)
        weights = np.exp(scores - scores.max())
        low = torch.from_numpy(weights).to(dtype).double().numpy()
        out[b, h, t] = torch.from_numpy(low @ values / weights.sum())
        lse[b, h, t] = float(scores.max() + np.log(weights.sum()))
    return out, lse


def hide(which):
    return lambda scores, tokens, position: np.where(which(tokens, position), -np.inf, scores)


def show(which):
    return lambda scores, tokens, position: np.where(which(tokens, position), 0.0, scores)


FAULTS = {
    "own token dropped": {"faulty": hide(lambda tokens, position: tokens == position)},
    "future leak": {"faulty": show(lambda tokens, position: tokens == position + 1)},
    "one row loses a block": {
        "faulty": hide(lambda tokens, position: (position == 60) & (tokens // BLOCK < 3))
    },
    "tail unmasked": {
        "faulty": show(lambda tokens, position: (position == 64) & (tokens == 65)),
    },
    "scale 1 % off": {"scale": 1.01},
}


@HALVES
def test_a_right_kernel_passes(half):
    q, k, v, ids = make(half)
    want = truth(q, k, v, ids, block_size=BLOCK, dtype=half)
    assert_right(*kernel(q, k, v, ids, half), want, half)


@HALVES
@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_kernel_is_refused(half, fault):
    q, k, v, ids = make(half)
    want = truth(q, k, v, ids, block_size=BLOCK, dtype=half)
    with pytest.raises(AssertionError):
        assert_right(*kernel(q, k, v, ids, half, **FAULTS[fault]), want, half)


def test_faults_of_the_output_alone_are_refused():
    """A copied row, and a cheap constant for log2(e), in float32 and in 16 bits."""
    for dtype in (torch.float32, torch.float16):
        q, k, v, ids = make(dtype)
        want = truth(q, k, v, ids, block_size=BLOCK, dtype=dtype)
        out, lse = kernel(q, k, v, ids, dtype)
        assert_right(out, lse, want, dtype)
        copied = out.clone()
        copied[0, 0, 4] = copied[0, 0, 5]
        with pytest.raises(AssertionError, match="row"):
            assert_right(copied, lse, want, dtype)
        with pytest.raises(AssertionError):
            assert_right(*kernel(q, k, v, ids, dtype, scale=1.44 / np.log2(np.e)), want, dtype)
        with pytest.raises(AssertionError, match="LSE"):
            assert_right(out, lse + 2e-3, want, dtype)


def test_stored_partials_have_a_model_of_their_own():
    q, k, v, ids = make(torch.float16)
    named = {"block_size": BLOCK, "dtype": torch.float16}
    plain, stored = truth(q, k, v, ids, **named), truth(q, k, v, ids, partials=True, **named)
    assert np.array_equal(plain.out, stored.out)
    errors = [np.abs(one.model - one.out).mean() for one in (plain, stored)]
    assert errors[0] < errors[1]
