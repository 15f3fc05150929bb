"""Times one prefill case: dense attention, the pieces of MSA on injected ids, and the real call.

A long prefill runs in the chunks that `msa_attention` cuts; its pieces are timed chunk by chunk
and summed, its totals in one run.
"""

from typing import NamedTuple

import torch

from bench import bounds, dense, inputs, sampled
from bench.report import Case
from msa_kernels import attention, msa_attention, sparse_prefill
from msa_kernels.combine import combine
from msa_kernels.index_score import PREFILL_GROUP, score_prefill
from msa_kernels.plan import make_plan
from msa_kernels.top_k import select_blocks


class Chunk(NamedTuple):
    """Queries `first` to `stop`, which see `seen` keys; a few keys take the query-major path."""

    first: int
    stop: int
    seen: int

    @property
    def block_major(self):
        return self.seen > attention.SHORT_CONTEXT


def chunks(q, num_keys, config):
    """The chunks of queries that `msa_attention` cuts."""
    new_tokens = q.shape[2]
    step = attention._queries_at_once(q, num_keys, config)
    stops = [min(first + step, new_tokens) for first in range(0, new_tokens, step)]
    return [
        Chunk(first, stop, num_keys - new_tokens + stop)
        for first, stop in zip(range(0, new_tokens, step), stops)
    ]


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
    out, lse, selection = msa_attention(*tensors, config)
    sampled.check_prefill(tensors, out, selection, config, where=table.name)
    counts = {"query_lengths": q.shape[2], "key_lengths": k.shape[2]}
    int32 = {"dtype": torch.int32, "device": q.device}
    lengths = {name: torch.full((1,), count, **int32) for name, count in counts.items()}
    parts = chunks(q, k.shape[2], config)

    def score(chunk):
        return score_prefill(
            index_q[:, :, chunk.first : chunk.stop], index_k, **lengths,
            block_size=config.block_size, num_keys=chunk.seen, first_query=chunk.first,
        )  # fmt: skip

    def select(chunk, scores):
        return select_blocks(
            *scores, **lengths, config=config, group=PREFILL_GROUP, first_query=chunk.first
        )

    def choose():
        for chunk in parts:
            select(chunk, score(chunk))

    times = {"score": 0.0, "select": 0.0, "chosen": clock.run(choose)}
    for chunk in parts:
        scores = score(chunk)
        times["score"] += clock.run(lambda chunk=chunk: score(chunk))
        times["select"] += clock.run(lambda chunk=chunk, scores=scores: select(chunk, scores))
        del scores
    for piece in ("score", "select"):
        table.add_prefill(times[piece], piece, "real")
    for kind in inputs.REDRAWN:
        ids = inputs.injected_selection(kind, table.new_tokens, table.context, config)
        ids = torch.from_numpy(ids).to(q.device)
        attended = time_attend(clock, tensors, ids, lengths, config, parts, out, lse)
        where = f"{table.name} {kind}"
        sampled.check_prefill(tensors, out, ids, config, injected=True, where=where)
        for piece, (ms, num_queries) in attended.items():
            if piece != "whole":
                table.add_prefill(ms, piece, kind, num_queries)
        table.add_prefill(times["chosen"] + attended["whole"][0], "total", kind)
    del out, lse
    table.add_prefill(clock.run(lambda: msa_attention(*tensors, config)), "total", "real")


def time_attend(clock, tensors, ids, lengths, config, parts, out, lse):
    """Milliseconds and queries of plan, attend, combine and the "whole" of them, for given ids.

    The pieces chunk by chunk, summed; the whole in one run, as a call makes it. Writes `out` and
    `lse`, poisoned first, as the real call would.
    """
    q, k, v = tensors[:3]
    out.fill_(float("nan"))
    found = {}

    def add(piece, chunk, step):
        ms, queries = found.get(piece, (0.0, 0))
        found[piece] = ms + clock.run(step), queries + chunk.stop - chunk.first

    def whole(chunk, part, chosen):
        attention.attend_selection(
            part, k, v, chosen, **lengths, config=config, num_keys=chunk.seen,
            first_query=chunk.first, out=out, lse=lse,
        )  # fmt: skip

    cut = [
        (chunk, q[:, :, rows], ids[:, :, rows].contiguous())
        for chunk in parts
        for rows in [slice(chunk.first, chunk.stop)]
    ]
    found["whole"] = clock.run(lambda: [whole(*one) for one in cut]), q.shape[2]
    for chunk, part, chosen in cut:
        if not chunk.block_major:
            add("attend", chunk, lambda one=(chunk, part, chosen): whole(*one))
            continue

        def plan(chosen=chosen):
            num_blocks = -(-k.shape[2] // config.block_size)
            return make_plan(chosen, num_blocks=num_blocks, chunk=attention.CHUNK)

        made = plan()

        def attend(chunk=chunk, part=part, made=made):
            return sparse_prefill.attend(
                part, k, v, made, **lengths, top_k=config.top_k, block_size=config.block_size,
                chunk=attention.CHUNK, first_query=chunk.first,
            )  # fmt: skip

        results = attend()

        def merge(chunk=chunk, chosen=chosen, made=made, results=results):
            combine(
                *results, out, lse, shape=chosen.shape, where=made.where, first_query=chunk.first
            )

        add("plan", chunk, plan)
        add("combine", chunk, merge)
        del results, merge
        add("attend", chunk, attend)
    return found
