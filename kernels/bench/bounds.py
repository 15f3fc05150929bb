"""The least time each piece can take on a GPU, from the closed forms of `msa_ref.cost`."""

from msa_ref import M2, M3, cost

# What these GPUs were measured to reach (a large matrix product, a large copy); their data sheets
# promise more. Both have the same processor, the H200 has the faster memory.
CEILINGS = {
    "H100": cost.Machine("one H100, measured", 700e12, 3.03e12),
    "H200": cost.Machine("one H200, measured", 700e12, 4.3e12),
}

MODELS = {"M3": M3, "M2": M2}
DENSE = {name: cost.dense_model(model) for name, model in MODELS.items()}
INDEX_BYTES = {"bf16": 2, "fp8": 1}


def ceiling(gpu):
    """The ceilings of a GPU by its name; those of an H100 for one that nobody has measured yet."""
    return next((found for name, found in CEILINGS.items() if name in gpu), CEILINGS["H100"])


def bound_ms(flops, num_bytes, machine):
    """Milliseconds below which nothing that computes and moves so much can go."""
    return 1000 * cost.roofline_seconds(flops, num_bytes, machine)


def dense_prefill(shape, new_tokens, context):
    """FLOPs and bytes of exact attention over everything."""
    return cost.prefill_pieces(DENSE[shape], new_tokens, context)["total"]


def dense_decode(shape, batch, context):
    """FLOPs and bytes of a dense decode step."""
    return cost.decode_pieces(DENSE[shape], context, batch)["total"]


def prefill(piece, new_tokens, context, spec=M3):
    """FLOPs and bytes of one piece of a sparse prefill, or of "total"."""
    return cost.prefill_pieces(spec, new_tokens, context)[piece]


def decode(piece, batch, context, index_dtype, splits=1, spec=M3):
    """FLOPs and bytes of one piece of a sparse decode step, or of "total"."""
    return cost.decode_pieces(spec, context, batch, INDEX_BYTES[index_dtype], splits)[piece]
