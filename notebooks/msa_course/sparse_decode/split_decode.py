"""Explorer of a split decode step: which programs read which pages, and how full the GPU is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from msa_course.whole_layer import decode_reads
from msa_ref.config import M3

if TYPE_CHECKING:
    from jaxtyping import Int

MULTIPROCESSORS = 132  # of an H100
CONTEXTS = decode_reads.CONTEXTS
SPLITS = [(str(splits), splits) for splits in (1, 2, 4, 8, 16)]
BATCHES = [(str(batch), batch) for batch in (1, 2, 4, 8, 16, 32, 64)]
BF16_BYTES, FLOAT32_BYTES = 2, 4


class Step(NamedTuple):
    """The programs of one decode step of one MiniMax-M3 layer, and the bytes they move.

    `blocks [k]` are those that group 0 of the first sequence chose (-1 where there are fewer),
    `program_of_rank [k]` the attend program that reads each; `scan_pages` is how many pages one
    scan program reads. Bytes are those of the whole batch.
    """

    context: int
    splits: int
    batch: int
    num_pages: int
    scan_pages: int
    blocks: Int[np.ndarray, " k"]
    program_of_rank: Int[np.ndarray, " k"]
    num_bytes: dict[str, int]

    @property
    def scan_programs(self) -> int:
        """Programs of the index scan."""
        return self.batch * -(-self.num_pages // self.scan_pages)

    @property
    def attend_programs(self) -> int:
        """Programs of the split attend kernel: sequences x groups x splits."""
        return self.batch * M3.attention.num_kv_heads * self.splits

    @property
    def idle_programs(self) -> int:
        """Attend programs of group 0 of one sequence that find no block to read."""
        used = self.program_of_rank[self.blocks >= 0]
        return self.splits - len(set(used.tolist()))


def compute(*, context: int, splits: int, batch: int) -> Step:
    """Programs and bytes of one step; the chosen blocks are those of the explorer of lesson 08.

    A scan program reads as many pages as that of `msa_kernels.decode`.
    """
    from msa_kernels import geometry  # of shapes alone: neither torch nor Triton is loaded

    config = M3.attention
    size = config.block_size
    reads = decode_reads.compute(context=context, top_k=config.top_k, block_size=size, query=1)
    rows = batch * config.num_heads * splits
    return Step(
        context=context,
        splits=splits,
        batch=batch,
        num_pages=reads.num_pages,
        scan_pages=geometry.blocks_per_scan(batch, reads.num_pages),
        blocks=reads.selection[0],
        program_of_rank=np.arange(config.top_k) % splits,
        num_bytes={
            "index keys": batch * reads.index_bytes,
            "keys": batch * reads.main_bytes // 2,
            "values": batch * reads.main_bytes // 2,
            "partial results": 2 * rows * (config.head_dim + 1) * FLOAT32_BYTES,
        },
    )


def programs_on_each(programs: int) -> Int[np.ndarray, " multiprocessors"]:
    """Programs on each multiprocessor when they are dealt out one by one."""
    return np.bincount(np.arange(programs) % MULTIPROCESSORS, minlength=MULTIPROCESSORS)


def describe(step: Step) -> str:
    """Programs of both kernels, what program 0 reads, how many multiprocessors work, and bytes."""
    context, splits, batch = step.context, step.splits, step.batch
    mine = step.blocks[(step.program_of_rank == 0) & (step.blocks >= 0)]
    named = ", ".join(map(str, mine[:4])) + (", ..." if len(mine) > 4 else "")
    busy = int((programs_on_each(step.attend_programs) > 0).sum())
    idle = (
        f" {step.idle_programs} of its {splits} programs find nothing to read and report an "
        f"empty part."
        if step.idle_programs
        else ""
    )
    amounts = ", ".join(f"{name} {amount / 1e6:,.2f} MB" for name, amount in step.num_bytes.items())
    return (
        f"{batch} x {context:,} tokens: the scan has {step.scan_programs:,} programs of "
        f"{step.scan_pages} pages. The attend kernel has {batch} x 4 groups x {splits} splits = "
        f"{step.attend_programs:,} programs on {busy} of {MULTIPROCESSORS} multiprocessors. In "
        f"group 0, program 0 reads keys and values of block{'s' * (len(mine) != 1)} {named}."
        f"{idle} Bytes: {amounts}."
    )
