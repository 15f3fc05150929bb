"""Times one prefill case: dense attention, the pieces of MSA on injected ids, and the real call.

A long prefill runs in the chunks that `msa_attention` cuts; its pieces are timed chunk by chunk
and summed, its totals in one run.
"""

import torch

from bench import bounds, dense, inputs, sampled
from bench.report import Case
from msa_kernels import geometry, msa_attention, prefill_block_major
from msa_kernels.arguments import Lengths, new_outputs
from msa_kernels.attention import attend_chunk, prefill_chunks, select_chunk
from msa_kernels.combine import combine
from msa_kernels.index_score import score_prefill
from msa_kernels.plan import make_plan
from msa_kernels.top_k import select_blocks


def run(case, clock, record):
    """Add the rows of one case to the record; raises AssertionError on a wrong output."""
    table = Case(record, "prefill", 1, case.new_tokens, case.context, case.name)
    for shape in reversed(case.dense_shapes):
        tensors = None  # the last shape's are freed before the next are made
        spec = bounds.MODELS[shape]
        tensors = inputs.prefill_tensors(spec, case.new_tokens, case.context)
        time_dense(table, clock, shape, tensors[:3])
    time_sparse(table, clock, tensors, bounds.MODELS["M3"].attention)


def time_dense(table, clock, shape, tensors):
    """Add a row for each dense implementation that runs here and is right."""
    work = bounds.dense_prefill(shape, table.new_tokens, table.context)
    for impl in dense.implementations():
        with table.attempt(shape, impl):
            dense.check_prefill(dense.prefill(impl, *tensors), *tensors)
            ms = clock.run(lambda impl=impl: dense.prefill(impl, *tensors))
            table.add(ms, work, shape=shape, impl=impl)


def time_sparse(table, clock, tensors, config):
    """Add the rows of MSA: pieces, totals for both selections, the real call."""
    q, k, _, index_q, index_k = tensors
    out, _, selection = msa_attention(*tensors, config)
    sampled.check_prefill(tensors, out, selection, config, where=table.name)
    del out
    int32 = {"dtype": torch.int32, "device": q.device}
    lengths = Lengths(*(torch.full((1,), count, **int32) for count in (q.shape[2], k.shape[2])))
    chunks = prefill_chunks(q, k.shape[2], config)

    def at(chunk):
        return lengths._replace(first_query=chunk.start)

    def score(chunk):
        return score_prefill(
            index_q[:, :, chunk.rows], index_k, at(chunk),
            block_size=config.block_size, num_keys=chunk.num_visible,
        )  # fmt: skip

    def select(chunk, scores):
        per_max = geometry.BLOCKS_PER_MAX
        return select_blocks(scores, at(chunk), config=config, blocks_per_max=per_max)

    def select_all():
        for chunk in chunks:
            select_chunk(index_q, index_k, at(chunk), chunk, config)

    times = {"score": 0.0, "select": 0.0, "selected": clock.run(select_all)}
    for chunk in chunks:
        scores = score(chunk)
        times["score"] += clock.run(lambda chunk=chunk: score(chunk))
        times["select"] += clock.run(lambda chunk=chunk, scores=scores: select(chunk, scores))
        del scores
    for piece in ("score", "select"):
        table.add_prefill(times[piece], piece, "real")
    for kind in inputs.REDRAWN:
        ids = inputs.injected_selection(kind, table.new_tokens, table.context, config)
        ids = torch.from_numpy(ids).to(q.device)
        outputs = new_outputs(q)
        attended = time_attend(clock, tensors, ids, lengths, config, outputs)
        where = f"{table.name} {kind}"
        sampled.check_prefill(tensors, outputs.out, ids, config, injected=True, where=where)
        for piece, (ms, num_queries) in attended.items():
            if piece != "whole":
                table.add_prefill(ms, piece, kind, num_queries)
        table.add_prefill(times["selected"] + attended["whole"][0], "total", kind)
        del outputs
    table.add_prefill(clock.run(lambda: msa_attention(*tensors, config)), "total", "real")


def time_attend(clock, tensors, ids, lengths, config, outputs):
    """Milliseconds and queries of plan, attend, combine and the "whole" of them, for given ids.

    The pieces chunk by chunk, summed; the whole in one run, as a call makes it. Writes the outputs,
    poisoned first, as the real call would.
    """
    q, k, v = tensors[:3]
    outputs.out.fill_(float("nan"))
    found = {}

    def add(piece, chunk, step):
        ms, queries = found.get(piece, (0.0, 0))
        found[piece] = ms + clock.run(step), queries + chunk.stop - chunk.start

    def whole(chunk, selection):
        at = lengths._replace(first_query=chunk.start)
        attend_chunk(q, k, v, selection, at, chunk, config, outputs)

    cut = [
        (chunk, ids[:, :, chunk.rows].contiguous())
        for chunk in prefill_chunks(q, k.shape[2], config)
    ]
    size, item_size = config.block_size, geometry.ITEM_SIZE
    found["whole"] = clock.run(lambda: [whole(*one) for one in cut]), q.shape[2]
    for chunk, selection in cut:
        if not chunk.block_major:
            add("attend", chunk, lambda one=(chunk, selection): whole(*one))
            continue

        def plan(selection=selection):
            return make_plan(selection, num_blocks=-(-k.shape[2] // size), item_size=item_size)

        made = plan()

        def attend(chunk=chunk, made=made):
            return prefill_block_major.attend(
                q[:, :, chunk.rows], k, v, made, lengths._replace(first_query=chunk.start),
                top_k=config.top_k, block_size=size, item_size=item_size,
            )  # fmt: skip

        partials = attend()

        def merge(chunk=chunk, shape=tuple(selection.shape), made=made, partials=partials):
            combine(
                partials, outputs, shape=shape, entry_of_slot=made.entry_of_slot,
                first_query=chunk.start,
            )  # fmt: skip

        add("plan", chunk, plan)
        add("combine", chunk, merge)
        del partials, merge
        add("attend", chunk, attend)
    return found
