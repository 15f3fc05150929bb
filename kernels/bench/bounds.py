"""The least time each piece can take on a GPU, from the closed forms of `msa_ref.cost`."""

from dataclasses import replace

from msa_ref import M2, M3, cost

# What these GPUs were measured to reach (a large matrix product, a large copy); their data sheets
# promise more. Both have the same processor, the H200 has the faster memory.
CEILINGS = {
    "H100": cost.Machine("one H100, measured", 700e12, 3.03e12),
    "H200": cost.Machine("one H200, measured", 700e12, 4.3e12),
}

MODELS = {"M3": M3, "M2": M2}
DENSE = {name: replace(model, attention=None, dense_layers=model.layers)
         for name, model in MODELS.items()}  # fmt: skip
INDEX_BYTES = {"bf16": 2, "fp8": 1}
FLOAT32, INT32, BF16 = 4, 4, 2


def ceiling(gpu):
    """The ceilings of a GPU by its name; those of an H100 for one that nobody has measured yet."""
    return next((found for name, found in CEILINGS.items() if name in gpu), CEILINGS["H100"])


def bound_ms(flops, num_bytes, machine):
    """Milliseconds below which nothing that computes and moves so much can go."""
    return 1000 * cost.roofline_seconds(flops, num_bytes, machine)


def dense_prefill(shape, new_tokens, context):
    """FLOPs and bytes of exact attention over everything."""
    spec = DENSE[shape]
    flops = cost.prefill_flops(spec, new_tokens, context, "paper").layer
    return flops, cost.prefill_bytes(spec, new_tokens, context).layer


def dense_decode(shape, batch, context):
    """FLOPs and bytes of a dense decode step."""
    spec = DENSE[shape]
    flops = batch * cost.prefill_flops(spec, 1, context, "paper").layer
    return flops, cost.decode_bytes(spec, context, batch).layer


def prefill(piece, new_tokens, context, spec=M3):
    """FLOPs and bytes of one piece of a sparse prefill, or of "total".

    The total is the paper's formula and the fewest bytes of all: queries, outputs, keys and values
    once. A piece's bytes are those of its own inputs and outputs, each once; partial results are
    left to "combine", which reads them.
    """
    config = spec.attention
    total = cost.prefill_flops(spec, new_tokens, context, "paper").layer
    main = 4 * spec.num_heads * spec.head_dim * new_tokens * config.budget
    pairs = new_tokens * context - new_tokens**2 / 2
    rows = spec.num_kv_heads * new_tokens
    slots = rows * config.top_k
    group_maxima = spec.num_kv_heads * pairs / config.block_size / 16 * FLOAT32
    queries = spec.num_heads * spec.head_dim * new_tokens * BF16
    keys = spec.num_kv_heads * spec.head_dim * context * BF16
    index = config.index_dim * (context + rows) * BF16
    return {
        "total": (total, cost.prefill_bytes(spec, new_tokens, context).layer),
        "score": (total - main, index + group_maxima),
        "select": (0, group_maxima + slots * INT32),
        "plan": (0, 3 * slots * INT32),  # reads the ids, writes the lists and where each went
        "attend": (main, 2 * queries + 2 * keys),
        "combine": (0, (config.top_k + 1) * queries),
    }[piece]


def decode(piece, batch, context, index_dtype, splits=1, spec=M3):
    """FLOPs and bytes of one piece of a sparse decode step, or of "total"."""
    config = spec.attention
    total = batch * cost.prefill_flops(spec, 1, context, "paper").layer
    num_bytes = cost.decode_bytes(spec, context, batch, INDEX_BYTES[index_dtype]).layer
    main = batch * 4 * spec.num_heads * spec.head_dim * config.budget
    index = batch * context * config.index_dim * INDEX_BYTES[index_dtype]
    rows = batch * spec.num_kv_heads
    group_maxima = rows * context / config.block_size / 16 * FLOAT32
    outputs = batch * spec.num_heads * spec.head_dim
    return {
        "total": (total, num_bytes),
        "score": (total - main, index),
        "select": (0, group_maxima + rows * config.top_k * INT32),
        "attend": (main, num_bytes - index),
        "combine": (0, outputs * (splits * FLOAT32 + BF16)),
    }[piece]
