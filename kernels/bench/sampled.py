"""Sampled rows of a timed call compared with the float64 reference, on the very tensors timed."""

import numpy as np
import torch

from bench.dense import check_close
from msa_ref import blocks, scoring, sparse

SCORE_ERROR = 1e-4  # of the largest score: float32 sums of exact products


def check_row(load_block, load_index_keys, q, index_q, out, selection, *, length, config, where):
    """Raise AssertionError unless one query's selection and output are right.

    `q, out [Hq, d]`, `index_q [Hkv, di]`, `selection [Hkv, k]`; `load_block(group, first, stop)`
    and `load_index_keys(first, stop)` give tokens of the first `length`, the query's own included.
    Without `index_q` the selection was injected and is not judged.
    """
    size = config.block_size

    def load(_, group, block):
        first, stop = blocks.block_span(block, size, length)
        return tuple(_array(x) for x in load_block(group, first, stop))

    ids = selection.cpu().numpy()
    truth, _ = sparse.attend_blocks(
        _array(q)[None, :, None], ids[None, :, None], load, num_keys=length, block_size=size
    )
    check_close(where, out.cpu(), torch.from_numpy(truth[0, :, 0]))
    if index_q is not None:
        scores = scoring.scan_index_keys(
            _array(index_q)[None, :, None],
            lambda first, stop: _array(load_index_keys(first, stop))[None, None],
            length,
            block_size=size,
        )
        check_ids(ids, scores[0, :, 0], own=(length - 1) // size, top_k=config.top_k, where=where)


def check_ids(ids, scores, *, own, top_k, where):
    """Raise AssertionError unless ids [Hkv, k] are the best of scores [Hkv, nb], as sets."""
    for group, (row, score) in enumerate(zip(ids, scores)):
        chosen = row[row >= 0]
        place = f"{where}, group {group}"
        if len(chosen) != min(top_k, own + 1) or bool((np.diff(chosen) <= 0).any()):
            raise AssertionError(f"{place}: got ids {row.tolist()}, takes them ascending and full")
        if own not in chosen or chosen.max() > own:
            raise AssertionError(f"{place}: got ids {row.tolist()}, takes the local block, {own}")
        left_out = np.delete(score[: own + 1], chosen)
        free = score[chosen[chosen != own]]
        slack = SCORE_ERROR * np.abs(score[: own + 1]).max()
        if left_out.size and free.size and left_out.max() > free.min() + slack:
            raise AssertionError(f"{place}: a block left out scores {left_out.max() - free.min()}")


def check_prefill(tensors, out, selection, config, *, injected=False, where=""):
    """Raise AssertionError unless sampled rows of a sparse prefill are right."""
    q, k, v, index_q, index_k = tensors
    new_tokens, context = q.shape[2], k.shape[2]
    for row in (new_tokens // 2 + 3, new_tokens - 1):
        check_row(
            lambda group, *span: (k[0, group, slice(*span)], v[0, group, slice(*span)]),
            lambda *span: index_k[0, 0, slice(*span)],
            q[0, :, row], None if injected else index_q[0, :, row],
            out[0, :, row], selection[0, :, row],
            length=context - new_tokens + row + 1, config=config, where=f"{where} row {row}",
        )  # fmt: skip


def check_decode(cache, q, index_q, out, selection, *, where=""):
    """Raise AssertionError unless the last sequence of a sparse decode step is right."""
    size = cache.block_size
    table = cache.block_table[-1].tolist()

    def load_block(group, first, stop):
        page = table[first // size]
        return tuple(x[page, group, : stop - first] for x in (cache.k_pages, cache.v_pages))

    def load_index_keys(first, stop):
        pages = cache.index_pages[table[first // size : blocks.num_blocks(stop, size)]]
        return pages.flatten(0, 1)[: stop - first]

    check_row(
        load_block, load_index_keys, q[-1, :, 0], index_q[-1, :, 0], out[-1, :, 0],
        selection[-1, :, 0], length=int(cache.lengths[-1]), config=cache.config,
        where=f"{where} sequence {len(q) - 1}",
    )  # fmt: skip


def _array(tensor):
    return tensor.double().cpu().numpy()
