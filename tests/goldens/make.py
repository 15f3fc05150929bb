"""Make golden files: one MiniMax-M3 attention layer run by transformers, one file a case.

    python -m venv ENV && ENV/bin/pip install torch==2.13.0 transformers==5.23.0
    ENV/bin/python tests/goldens/make.py --out DIR [--seed N] [--case NAME ...]
    ENV/bin/python tests/goldens/make.py --out DIR --against tests/goldens   # and compare

README.md says what is in the files. Nothing of this project is imported here.
"""

import argparse
import json
from pathlib import Path
from unittest import mock

import numpy as np
import torch
import transformers
from torch.overrides import TorchFunctionMode
from transformers import DynamicCache
from transformers.models.minimax_m3_vl import modeling_minimax_m3_vl as released
from transformers.models.minimax_m3_vl.configuration_minimax_m3_vl import MiniMaxM3VLTextConfig

ROPE_THETA = 5e6


def sizes(**changed):
    """The basic case's sizes, some of them changed."""
    basic = {"B": 1, "L": 37, "hid": 48, "H": 4, "G": 2, "D": 16, "rot": 8}
    return basic | {"I": 2, "Di": 16, "blk": 4, "k": 3, "local": 1} | changed


CASES = {
    "basic": sizes(B=2),
    "dense_eq": sizes(L=24, k=6),
    "one_over": sizes(L=25, k=6),
    "local2": sizes(L=41, H=8, k=4, local=2),
    "local0": sizes(L=41, H=8, k=4, local=0),
    "k1": sizes(L=19, k=1),
    "idxdim": sizes(L=33, Di=32, blk=8, k=2),
    "mha_like": sizes(L=33, G=4, rot=16, I=4, blk=8, k=2),
    "decode": sizes(B=2, prefill=21),
    "chunked": sizes(chunks=[10, 7, 20]),
    "blk16": sizes(B=2, L=130, blk=16, k=4),
    # Made on request only. Ties: every index score is 0. m3dims: M3's channels, blocks and top-k.
    "ties": sizes(zero_index=True),
    "odd": sizes(B=3, L=71, hid=40, H=6, G=3, D=24, rot=10, I=3, Di=20, blk=7, k=5),
    "m3dims": sizes(L=2600, hid=256, H=32, D=128, rot=64, Di=128, blk=128, k=16),
}
KEPT_CASES = [name for name in CASES if name not in ("ties", "odd", "m3dims")]


class RecordPooling(TorchFunctionMode):
    """Keeps what the layer's one max-pool returns and what its one top-k is given."""

    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.Tensor.topk:
            self.seen["block_scores"] = args[0].detach().clone()
        result = func(*args, **(kwargs or {}))
        if func is torch.Tensor.amax:
            self.seen["block_scores_raw"] = result.detach().clone()
        return result


def make_layer(case, seed):
    """The released attention layer and its rotary tables, with small random weights; the input."""
    config = MiniMaxM3VLTextConfig(
        hidden_size=case["hid"],
        num_attention_heads=case["H"],
        num_key_value_heads=case["G"],
        head_dim=case["D"],
        num_hidden_layers=2,
        vocab_size=64,
        bos_token_id=None,
        eos_token_id=None,
        max_position_embeddings=8192,
        rotary_dim=case["rot"],
        # This class reads the share of rotary channels here, not from rotary_dim.
        rope_parameters={
            "rope_type": "default",
            "rope_theta": ROPE_THETA,
            "partial_rotary_factor": case["rot"] / case["D"],
        },
        sparse_attention_config={
            "sparse_num_index_heads": case["I"],
            "sparse_index_dim": case["Di"],
            "sparse_block_size": case["blk"],
            "sparse_topk_blocks": case["k"],
            "sparse_local_block": case["local"],
            "sparse_attention_freq": [0, 1],
        },
    )
    config._attn_implementation = "eager"
    layer = released.MiniMaxM3VLAttention(config, layer_idx=1).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in layer.named_parameters():
            spread = 0.3 if "norm" in name else 1.5 / case["hid"] ** 0.5
            weight.copy_(torch.randn(weight.shape, generator=generator) * spread)
        if case.get("zero_index"):
            layer.indexer.q_proj.weight.zero_()
    hidden = torch.randn(case["B"], case["L"], case["hid"], generator=generator)
    return layer, released.MiniMaxM3VLRotaryEmbedding(config), hidden


def run_layer(layer, rotary, hidden, positions, cache=None):
    """Everything worth keeping of one call of the released layer."""
    seen, turned = {}, []
    plain_rope, plain_attention = released.apply_rotary_pos_emb, released.eager_attention_forward

    def rope(*args, **kwargs):
        turned.append(plain_rope(*args, **kwargs))
        return turned[-1]

    def attend(module, q, k, v, mask, **kwargs):
        seen.update(keep=mask == 0, v=v, block_indices=kwargs["block_indices"])
        result = plain_attention(module, q, k, v, mask, **kwargs)
        seen["ctx"] = result[0].reshape(*hidden.shape[:2], -1)
        return result

    cos, sin = rotary(hidden, positions)
    with (
        mock.patch.object(released, "apply_rotary_pos_emb", rope),
        mock.patch.object(released, "eager_attention_forward", attend),
        RecordPooling(seen),
    ):
        out, _ = layer(
            hidden,
            position_embeddings=(cos, sin),
            attention_mask=None,
            past_key_values=cache,
            position_ids=positions,
        )
    (seen["q"], seen["k"]), (seen["idx_q"], seen["idx_k"]) = turned
    seen.update(out=out, cos=cos, sin=sin)
    return seen


@torch.no_grad()
def run_dense(layer, rotary, hidden, positions):
    """Output of the same weights with dense causal attention: the layer without its indexer."""
    length = hidden.shape[1]
    future = torch.full((length, length), torch.finfo(hidden.dtype).min).triu(1)
    with mock.patch.object(layer, "indexer", None):
        tables = rotary(hidden, positions)
        return layer(hidden, position_embeddings=tables, attention_mask=future[None, None])[0]


@torch.no_grad()
def run_cached(layer, rotary, hidden, positions, steps):
    """Output of the same sequence fed through the cache in `steps`, and the cached index keys."""
    cache = DynamicCache(config=layer.config)
    pieces = zip(hidden.split(steps, dim=1), positions.split(steps, dim=1))
    outs = [run_layer(layer, rotary, *piece, cache)["out"] for piece in pieces]
    return torch.cat(outs, dim=1), cache.layers[1].idx_keys


def make_case(name, seed):
    """The arrays of one golden file by name."""
    case = CASES[name]
    layer, rotary, hidden = make_layer(case, seed)
    positions = torch.arange(case["L"]).expand(case["B"], -1)
    hidden.requires_grad_()
    kept = run_layer(layer, rotary, hidden, positions)
    gout = torch.randn(kept["out"].shape, generator=torch.Generator().manual_seed(seed + 1))
    (kept["out"] * gout).sum().backward()
    kept |= {"hidden": hidden, "position_ids": positions, "gout": gout, "grad.hidden": hidden.grad}
    for key, weight in layer.named_parameters():
        kept[f"w.{key}"] = weight
        assert (weight.grad is None) == key.startswith("indexer."), f"{key}: gradient {weight.grad}"
        if weight.grad is not None:
            kept[f"grad.{key}"] = weight.grad
    plain = hidden.detach()
    kept["dense_out"] = run_dense(layer, rotary, plain, positions)
    steps = case.get("chunks")
    if "prefill" in case:
        steps = [case["prefill"]] + [1] * (case["L"] - case["prefill"])
    if steps:
        kept["steps"] = torch.tensor(steps)
        cached = run_cached(layer, rotary, plain, positions, steps)
        kept["cached_out"], kept["cache_idx_keys"] = cached
    versions = {"transformers": transformers.__version__, "torch": torch.__version__}
    about = {"case": name, "seed": seed, "dtype": "float32"} | versions | case
    arrays = {key: value.detach().numpy() for key, value in kept.items()}
    return {"cfg_json": np.array(json.dumps(about))} | arrays


def difference(mine, theirs):
    """Largest difference of two golden files' floats, as a share of the array's largest value or 1.

    Names, ids (as sets) and masks must be equal.
    """
    if set(mine) != set(theirs):
        raise SystemExit(f"different keys: {sorted(set(mine) ^ set(theirs))}")
    largest = 0.0
    for key in sorted(set(mine) - {"cfg_json"}):
        a, b = mine[key], theirs[key]
        if key == "block_indices":
            a, b = np.sort(a), np.sort(b)
        if a.dtype.kind == "f":
            finite = np.isfinite(b)
            np.testing.assert_array_equal(a[~finite], b[~finite], key)
            scale = max(1.0, np.abs(b[finite]).max())
            largest = max(largest, float(np.abs(a[finite] - b[finite]).max() / scale))
        else:
            np.testing.assert_array_equal(a, b, key)
    return largest


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", nargs="+", choices=list(CASES), default=KEPT_CASES)
    parser.add_argument("--against", type=Path, help="folder of golden files to compare with")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.case:
        path = options.out / f"m3_{name}_float32_s{options.seed}.npz"
        arrays = make_case(name, options.seed)
        np.savez_compressed(path, **arrays)
        note = ""
        if options.against:
            with np.load(options.against / path.name) as other:
                note = f"  largest difference {difference(arrays, dict(other)):.1e}"
        print(f"{path.name}{note}")


if __name__ == "__main__":
    main()
