"""DeepSeek-V3.2's DSA and DeepSeek-V4's CSA and HCA, as transformers computes them."""

from unittest import mock

import torch
from top_k import RecordTopK, check_untied
from transformers.models.deepseek_v4 import modeling_deepseek_v4 as v4
from transformers.models.deepseek_v4.configuration_deepseek_v4 import DeepseekV4Config
from transformers.models.deepseek_v32 import modeling_deepseek_v32 as v32
from transformers.models.deepseek_v32.configuration_deepseek_v32 import DeepseekV32Config

CSA, HCA = "compressed_sparse_attention", "heavily_compressed_attention"


def randn(generator, *shape):
    return torch.randn(*shape, generator=generator)


def fill(layer, generator):
    """Random weights: norms about 1, everything else so that softmaxes come out uneven."""
    for name, weight in layer.named_parameters():
        spread = 0.3 if "norm" in name else 1.0 if weight.ndim == 1 else 2 / weight.shape[-1] ** 0.5
        spread = 1.0 if "position_bias" in name else spread
        weight.copy_(randn(generator, *weight.shape) * spread + name.endswith("norm.weight"))
    return {
        f"w.{name.removesuffix('.weight')}": weight for name, weight in layer.named_parameters()
    }


def future(case, window=None):
    """Additive mask [B,1,T,T] of the tokens a query may not see."""
    distance = torch.arange(case["T"])[:, None] - torch.arange(case["T"])
    hidden = (distance < 0) | (distance >= (window or case["T"]))
    mask = torch.zeros(hidden.shape).masked_fill(hidden, float("-inf"))
    return mask.expand(case["B"], 1, -1, -1)


def run_layer(module, layer, case, generator, mask, tables):
    """One call: hidden states, the weights of its one softmax, and what each top-k was given."""
    hidden = randn(generator, case["B"], case["T"], case["d_model"])
    positions = torch.arange(case["T"]).expand(case["B"], -1)
    seen = {"hidden": hidden}
    plain = module.eager_attention_forward

    def attend(*args, **kwargs):
        result = plain(*args, **kwargs)
        seen["heads"], seen["softmax"] = result
        return result

    top_k = RecordTopK()
    with mock.patch.object(module, "eager_attention_forward", attend), top_k:
        layer(
            hidden,
            position_embeddings=tables(hidden, positions),
            attention_mask=mask,
            position_ids=positions,
        )
    return seen, top_k.scores


def make_dsa(case, generator):
    """DeepSeek-V3.2's attention layer, up to the output projection."""
    config = DeepseekV32Config(
        hidden_size=case["d_model"],
        num_attention_heads=case["H"],
        num_key_value_heads=case["H"],
        q_lora_rank=case["q_rank"],
        kv_lora_rank=case["kv_rank"],
        qk_nope_head_dim=case["plain"],
        qk_rope_head_dim=case["rot"],
        v_head_dim=case["dv"],
        index_n_heads=case["HI"],
        index_head_dim=case["di"],
        index_topk=case["top_k"],
        num_hidden_layers=1,
        vocab_size=64,
    )
    config._attn_implementation = "eager"
    layer = v32.DeepseekV32Attention(config, layer_idx=0).eval()
    weights = fill(layer, generator)
    rotary = v32.DeepseekV32RotaryEmbedding(config)
    seen, (scores,) = run_layer(v32, layer, case, generator, future(case), rotary)
    allowed = seen["softmax"] > 0
    assert (allowed == allowed[:, :1]).all()
    check_untied(scores, case["top_k"])
    kept = {"index_scores": scores, "allowed": allowed[:, 0], "out": seen["heads"].transpose(1, 2)}
    return {"hidden": seen["hidden"]} | kept | weights


def make_v4(case, generator):
    """DeepSeek-V4's attention layer of one kind, up to the output projection."""
    config = DeepseekV4Config(
        hidden_size=case["d_model"],
        num_attention_heads=case["H"],
        head_dim=case["c"],
        q_lora_rank=case["q_rank"],
        partial_rotary_factor=case["rot"] / case["c"],
        layer_types=[case["kind"]],
        compress_rates={CSA: case["ratio"], HCA: case["ratio"]},
        sliding_window=case["window"],
        index_n_heads=case.get("HI", 1),
        index_head_dim=case.get("di", 8),
        index_topk=case.get("top_k", 1),
        o_groups=1,
        o_lora_rank=4,
        num_hidden_layers=1,
        vocab_size=64,
    )
    config._attn_implementation = "eager"
    layer = v4.DeepseekV4Attention(config, layer_idx=0).eval()
    weights = fill(layer, generator)
    rotary = v4.DeepseekV4RotaryEmbedding(config)
    before_projection, entries = [], []
    layer.o_a_proj.register_forward_pre_hook(lambda _, args: before_projection.append(args[0]))
    layer.compressor.register_forward_hook(lambda *args: entries.append(args[2]))

    def tables(hidden, positions):
        return {"compress": rotary(hidden, position_ids=positions, layer_type="compress")}

    mask = future(case, case["window"])
    seen, scores = run_layer(v4, layer, case, generator, mask, tables)
    ((compressed, bias),), (out,) = entries, before_projection
    out = out.reshape(case["B"], case["T"], case["H"], case["c"]).transpose(1, 2)
    kept = {"entries": compressed[:, 0], "allowed": bias.expand(case["B"], 1, -1, -1)[:, 0] == 0}
    assert (kept["allowed"][:, None] >= (seen["softmax"][..., case["T"] :] > 0)).all()
    if scores:
        kept["index_scores"] = scores[0]
        check_untied(scores[0], case["top_k"])
    return {"hidden": seen["hidden"]} | kept | {"out": out} | weights
