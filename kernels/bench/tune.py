"""Prints a launch table of candidates for each kernel, fastest first: what `launch.TABLE` is from.

    PYTHONPATH=.:kernels python3 kernels/bench/tune.py [kernel ...]

Run by hand on the GPU the table is for; each candidate is compiled, so it takes minutes.
"""

import itertools
import sys

import torch

from bench import bounds, decode, inputs, timing
from msa_kernels import decode_split, geometry, launch, prefill_block_major, prefill_query_major
from msa_kernels.arguments import Lengths, Partials, as_block_scores, new_outputs
from msa_kernels.index_score import score_decode, score_prefill
from msa_kernels.plan import make_plan

NEW_TOKENS, CONTEXT = 8192, 131072
WARPS, STAGES = (4, 8), (1, 2, 3, 4)
CANDIDATES = {
    "score_prefill": {
        "rows": (128, 256),
        "max_groups": (8, 32),
        "num_warps": WARPS,
        "num_stages": STAGES,
    },
    "prefill_block_major": {"rows": (64, 128), "num_warps": WARPS, "num_stages": STAGES},
    "prefill_query_major": {"rows": (64, 128), "num_warps": WARPS, "num_stages": STAGES},
    "score_decode": {"num_warps": (2, 4, 8), "num_stages": STAGES},
    "decode_split": {"num_warps": (2, 4, 8), "num_stages": STAGES},
}


def steps(config):
    """{kernel: (timer's name, step)} at M3's shape: 8K@128K for a prefill, 1x128K for a decode."""
    tensors = inputs.prefill_tensors(bounds.MODELS["M3"], NEW_TOKENS, CONTEXT)
    q, k, v, index_q, index_k = tensors
    int32 = {"dtype": torch.int32, "device": "cuda"}
    lengths = Lengths(*(torch.full((1,), count, **int32) for count in (NEW_TOKENS, CONTEXT)))
    ids = torch.from_numpy(inputs.injected_selection("corr", NEW_TOKENS, CONTEXT, config)).cuda()
    size, item_size = config.block_size, geometry.ITEM_SIZE
    plan = make_plan(ids, num_blocks=CONTEXT // size, item_size=item_size)
    cache = decode.new_cache(config, 1, CONTEXT)
    one_q = inputs.normal(1, config.num_heads, 1, config.head_dim)
    one_index_q = inputs.normal(1, config.num_kv_heads, 1, config.index_dim)
    pages, groups = CONTEXT // size, config.num_kv_heads
    per_max = geometry.blocks_per_scan(1, pages)
    splits = geometry.decode_splits(1, groups, config.top_k)
    scores = as_block_scores(
        torch.empty(1, groups, 1, pages, device="cuda"),
        torch.empty(1, groups, 1, -(-pages // per_max), device="cuda"),
    )
    parts = torch.empty(groups * splits, config.group_size, config.head_dim, device="cuda")
    partials = Partials(parts, torch.empty(parts.shape[:2], device="cuda"))
    outputs = new_outputs(q)
    return {
        "score_prefill": ("run", lambda: score_prefill(
            index_q, index_k, lengths, block_size=size, num_keys=CONTEXT)),
        "prefill_block_major": ("run", lambda: prefill_block_major.attend(
            q, k, v, plan, lengths, top_k=config.top_k, block_size=size, item_size=item_size)),
        "prefill_query_major": ("run", lambda: prefill_query_major.attend(
            q, k, v, ids, lengths, outputs, block_size=size)),
        "score_decode": ("graph", lambda: score_decode(
            one_index_q, cache, blocks_per_max=per_max, result=scores)),
        "decode_split": ("graph", lambda: decode_split.attend(
            one_q, cache, ids[:, :, -1:].contiguous(), splits=splits, partials=partials)),
    }  # fmt: skip


def tune(kernel, timer, step):
    """[(ms, options)] of every candidate that compiles, fastest first; the table is put back."""
    names, values = zip(*CANDIDATES[kernel].items())
    shipped, found = launch.TABLE[kernel], []
    for chosen in itertools.product(*values):
        options = dict(zip(names, chosen))
        launch.TABLE[kernel] = options
        try:
            found.append((timer(step), options))
        except (RuntimeError, ValueError) as error:  # too much shared memory, or no such tile
            print(f"  {options}: {str(error).splitlines()[0][:80]}", flush=True)
        finally:
            launch.TABLE[kernel] = shipped
    return sorted(found, key=lambda pair: pair[0])


def main(kernels):
    clock = timing.Clock()
    for kernel, (timer, step) in steps(bounds.MODELS["M3"].attention).items():
        if kernels and kernel not in kernels:
            continue
        print(f"{kernel}, shipped {launch.TABLE[kernel]}", flush=True)
        for ms, options in tune(kernel, getattr(clock, timer), step):
            print(f"  {1000 * ms:9.1f} us  {options}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
