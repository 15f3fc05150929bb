"""A small decoder of random weights, in NumPy and in PyTorch; tokens and inputs for it."""

import numpy as np
import torch

from msa_learning.models import smollm2 as torch_smollm2
from msa_ref.smollm2 import SmolLM2

LAYERS, WIDTH, HIDDEN_WIDTH, VOCABULARY = 3, 20, 28, 61
NUM_HEADS, NUM_KV_HEADS, HEAD_DIM = 6, 2, 8
# Of an index for it: what `new_branches` and `load_index` take.
SHAPE = {"layers": LAYERS, "width": WIDTH, "num_kv_heads": NUM_KV_HEADS, "index_dim": HEAD_DIM}


def numpy_model(seed=4):
    """6 query heads, 2 KV heads of 8 channels: weights large enough that attention matters."""
    rng = np.random.default_rng(seed)
    model = object.__new__(SmolLM2)
    model.layers, model.num_heads, model.num_kv_heads = LAYERS, NUM_HEADS, NUM_KV_HEADS
    model.head_dim, model.max_context = HEAD_DIM, 600
    model.rope_theta, model.epsilon = 1e4, 1e-5
    model.vocabulary = [str(i) for i in range(VOCABULARY)]
    inside, kv = NUM_HEADS * HEAD_DIM, NUM_KV_HEADS * HEAD_DIM
    shapes = {"attn_q": (inside, WIDTH), "attn_k": (kv, WIDTH), "attn_v": (kv, WIDTH)}
    shapes |= {"attn_output": (WIDTH, inside), "ffn_gate": (HIDDEN_WIDTH, WIDTH)}
    shapes |= {"ffn_up": (HIDDEN_WIDTH, WIDTH), "ffn_down": (WIDTH, HIDDEN_WIDTH)}
    shapes |= {"attn_norm": (WIDTH,), "ffn_norm": (WIDTH,)}
    names = {
        f"blk.{i}.{name}.weight": shape for i in range(LAYERS) for name, shape in shapes.items()
    }
    names |= {"token_embd.weight": (VOCABULARY, WIDTH), "output_norm.weight": (WIDTH,)}
    model.weights = {
        name: rng.normal(size=shape, scale=0.4).astype(np.float32) for name, shape in names.items()
    }
    return model


def torch_model(seed=4):
    """The same model in PyTorch, frozen."""
    return torch_smollm2.SmolLM2.from_gguf(numpy_model(seed)).requires_grad_(False)


def token_sets(length=900):
    """Every set that the training and the evaluation read, of random tokens."""
    rng = np.random.default_rng(8)
    names = ("train_code", "train_prose", "train_drills", "held_code", "held_prose", "held_topics")
    sets = {n: rng.integers(0, VOCABULARY, size=length).astype(np.uint16) for n in names}
    return sets | {"lesson_text": sets["held_code"][:300]}


def random_ids(count, length, seed=0):
    """Token ids [count,length]."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, VOCABULARY, size=(count, length)))


def random_inputs(num_queries, num_keys, seed=0):
    """Inputs of a layer with 2 sequences, 6 query heads and 2 KV heads of 8 channels."""
    generator = torch.Generator().manual_seed(seed)
    q = torch.randn(2, 6, num_queries, 8, generator=generator)
    k, v = torch.randn(2, 2, 2, num_keys, 8, generator=generator)
    return torch_smollm2.AttentionInput(0, None, q, k, v, None, None)
