"""Times one decode case inside CUDA graphs: dense attention, MSA's pieces, and `decode` whole."""

import torch

from bench import bounds, dense, inputs, sampled
from bench.report import Case
from msa_kernels import PagedCache, decode, decode_split, geometry
from msa_kernels.arguments import Lengths, Partials, as_block_scores, new_outputs
from msa_kernels.combine import combine
from msa_kernels.index_score import score_decode
from msa_kernels.top_k import select_blocks

INDEX_DTYPES = {"bf16": torch.bfloat16, "fp8": torch.float8_e4m3fn}


def run(case, clock, record):
    """Add the rows of one case to the record; raises AssertionError on a wrong output."""
    table = Case(record, "decode", case.batch, 1, case.context, case.name)
    for shape in case.dense_shapes:
        if shape != "M3":
            spec = bounds.MODELS[shape]
            k, v = (
                inputs.normal(case.batch, spec.num_kv_heads, case.context, spec.head_dim)
                for _ in range(2)
            )
            time_dense(table, clock, shape, k, v)
            del k, v
    config = bounds.MODELS["M3"].attention
    cache = new_cache(config, case.batch, case.context)
    # The same memory, read as one long sequence: which token lies where is all one to dense time.
    shape = (case.batch, config.num_kv_heads, case.context, config.head_dim)
    time_dense(table, clock, "M3", cache.k_pages.view(shape), cache.v_pages.view(shape))
    q = inputs.normal(case.batch, config.num_heads, 1, config.head_dim)
    index_q = inputs.normal(case.batch, config.num_kv_heads, 1, config.index_dim)
    results = {}
    for name, dtype in INDEX_DTYPES.items():
        if name == "fp8" and torch.cuda.get_device_capability() < (9, 0):
            continue
        cache.index_pages = cache.index_pages.to(dtype)
        results[name] = out, _, selection = decode(q, index_q, cache)
        sampled.check_decode(cache, q, index_q, out, selection, where=f"{case.name} {name}")
        time_sparse(table, clock, name, q, index_q, cache)
    if "fp8" in results:
        record.header["fp8_overlap"][case.name] = overlap(results["fp8"], results["bf16"])


def new_cache(config, batch, context):
    """A full cache of random tokens in bf16."""
    max_pages = context // config.block_size
    cache = PagedCache(
        config, num_pages=batch * max_pages, batch=batch, max_pages=max_pages,
        dtype=torch.bfloat16, index_dtype=torch.bfloat16, device="cuda",
    )  # fmt: skip
    inputs.fill_cache(cache, context)
    return cache


def time_dense(table, clock, shape, k, v):
    """Add a row for each dense implementation that runs here and is right."""
    spec = bounds.MODELS[shape]
    group_size = spec.num_heads // spec.num_kv_heads
    q = inputs.normal(table.batch, spec.num_kv_heads, group_size, spec.head_dim)
    work = bounds.dense_decode(shape, table.batch, table.context)
    for impl in dense.implementations():
        with table.attempt(shape, impl):
            dense.check_decode(dense.decode(impl, q, k, v), q, k, v)
            ms = clock.graph(lambda impl=impl: dense.decode(impl, q, k, v))
            table.add(ms, work, shape=shape, impl=impl)


def time_sparse(table, clock, index_dtype, q, index_q, cache):
    """Add the rows of the four launches of a decode step, each alone, and of the step."""
    config = cache.config
    batch, max_pages = cache.block_table.shape
    groups = config.num_kv_heads
    to = {"device": q.device, "dtype": torch.float32}
    blocks_per_max = geometry.blocks_per_scan(batch, max_pages)
    splits = geometry.decode_splits(batch, groups, config.top_k)
    scores = as_block_scores(
        torch.empty(batch, groups, 1, max_pages, **to),
        torch.empty(batch, groups, 1, -(-max_pages // blocks_per_max), **to),
    )
    selection = torch.empty(batch, groups, 1, config.top_k, dtype=torch.int32, device=q.device)
    parts = torch.empty(batch * groups * splits, config.group_size, config.head_dim, **to)
    partials = Partials(parts, torch.empty(parts.shape[:2], **to))
    outputs = new_outputs(q)

    def score():
        score_decode(index_q, cache, blocks_per_max=blocks_per_max, result=scores)

    def select():
        select_blocks(
            scores, Lengths(None, cache.lengths), config=config, blocks_per_max=blocks_per_max,
            selection=selection,
        )  # fmt: skip

    def attend():
        decode_split.attend(q, cache, selection, splits=splits, partials=partials)

    def merge():
        combine(partials, outputs, shape=(batch, groups, 1, splits), heads=1)

    def total():
        decode(q, index_q, cache)

    steps = {"score": score, "select": select, "attend": attend, "combine": merge, "total": total}
    for piece, step in steps.items():  # in this order: each leaves what the next one reads
        work = bounds.decode(piece, batch, table.context, index_dtype, splits)
        table.add(clock.graph(step), work, piece=piece, index_dtype=index_dtype)


def overlap(narrow, wide):
    """How far fp8 index keys agree with bf16 ones: share of equal ids, and the output's error."""
    (out, _, ids), (wide_out, _, wide_ids) = narrow, wide
    same = (ids[..., :, None] == wide_ids[..., None, :]).any(-1) & (ids >= 0)
    same, chosen = same.sum().item(), (wide_ids >= 0).sum().item()
    rows = ids[..., 0].numel()  # each has its local block in both
    error = (out.float() - wide_out.float()).square().mean() / wide_out.float().square().mean()
    return {
        "equal_ids": round(same / chosen, 4),
        "equal_ids_without_own": round((same - rows) / max(chosen - rows, 1), 4),
        "relative_rms_error_of_output": round(error.sqrt().item(), 4),
    }
