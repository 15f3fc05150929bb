"""The best exact attention at hand: FlashAttention-3 if importable, cuDNN, and the flash backend.

Operators of torch are called directly: the public function aligns its causal mask to the upper
left, and a chunk of a prefill needs it at the lower right, where its queries stand.
"""

import torch

try:
    from fa3_fwd_interface import flash_attn_func
except ImportError:  # the package fa3-fwd is optional
    flash_attn_func = None

ATEN = torch.ops.aten
TOLERANCE = 0.02  # of a row's largest output; bf16 rounds at 0.004


def implementations():
    """Names of what can be tried here."""
    return ("fa3", "cudnn", "flash") if flash_attn_func else ("cudnn", "flash")


def prefill(impl, q, k, v):
    """Causal output [1, Hq, T, d]; the queries are the last T of the keys' positions."""
    new_tokens, context = q.shape[2], k.shape[2]
    if impl == "fa3":
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        return flash_attn_func(q, k, v, causal=True).transpose(1, 2)
    if impl == "flash":
        return ATEN._scaled_dot_product_flash_attention(q, k, v, 0.0, True)[0]
    past = context - new_tokens
    if past == 0:
        return _cudnn(q, k, v, causal=True)
    # cuDNN masks at the upper left alone: the past without a mask, the square with one, merged
    early, early_lse = _cudnn(q, k[:, :, :past], v[:, :, :past], causal=False, lse=True)
    late, late_lse = _cudnn(q, k[:, :, past:], v[:, :, past:], causal=True, lse=True)
    share = torch.sigmoid(early_lse - late_lse)[..., None]
    return torch.lerp(late.float(), early.float(), share).to(q.dtype)


def decode(impl, q, k, v):
    """Output [B, Hkv, G, d] of the newest token: q packed by group, so all rows see all keys."""
    if impl == "fa3":
        batch, num_groups, group_size, head_dim = q.shape
        one = q.reshape(batch, 1, num_groups * group_size, head_dim)
        k, v = k.transpose(1, 2), v.transpose(1, 2)
        return flash_attn_func(one, k, v, num_splits=0, pack_gqa=True).view_as(q)
    if impl == "flash":
        return ATEN._scaled_dot_product_flash_attention(q, k, v, 0.0, False)[0]
    return _cudnn(q, k, v, causal=False)


def exact_row(q, k, v):
    """Outputs [H, G, d] in float64 of queries q [H, G, d] that see all of k, v [H, S, d]."""
    outs = []
    for q_group, k_head, v_head in zip(q, k, v):
        scores = q_group.double() @ k_head.double().T * q.shape[-1] ** -0.5
        outs.append(scores.softmax(-1) @ v_head.double())
    return torch.stack(outs)


def check_prefill(out, q, k, v):
    """Raise AssertionError unless sampled rows of a dense prefill are right."""
    new_tokens, context = q.shape[2], k.shape[2]
    for row in (new_tokens // 2 + 3, new_tokens - 1):
        seen = context - new_tokens + row + 1
        groups = q[0, :, row].unflatten(0, (k.shape[1], -1))
        truth = exact_row(groups, k[0, :, :seen], v[0, :, :seen])
        check_close(f"row {row}", out[0, :, row].unflatten(0, (k.shape[1], -1)), truth)


def check_decode(out, q, k, v):
    """Raise AssertionError unless the last sequence of a dense decode step is right."""
    check_close(f"sequence {len(q) - 1}", out[-1], exact_row(q[-1], k[-1], v[-1]))


def check_close(where, got, truth):
    """Raise AssertionError, naming the place, unless each row of `got` is near the truth."""
    error = (got.double() - truth).abs().amax(-1)
    allowed = TOLERANCE * truth.abs().amax(-1)
    if not bool((error <= allowed).all()):  # NaN fails too
        raise AssertionError(f"{where}: error {error.max():.2e}, takes at most {allowed.min():.2e}")


def _cudnn(q, k, v, *, causal, lse=False):
    found = ATEN._scaled_dot_product_cudnn_attention(q, k, v, None, lse, 0.0, causal, False)
    return (found[0], found[1].reshape(q.shape[:3])) if lse else found[0]
