"""The arrays behind the split-decode explorer, its words at the extremes, and its redraws."""

import itertools

import numpy as np
import pytest
from matplotlib.figure import Figure

from msa_course.sparse_decode import split_decode, split_decode_figure
from msa_course.whole_layer import decode_reads
from msa_kernels import geometry
from msa_ref import M3, cost

FIRST = {"context": 32768, "splits": 16, "batch": 1}
EXTREMES = [
    dict(zip(FIRST, setting)) for setting in itertools.product((1024, 2**20), (1, 16), (1, 64))
]


def say(**setting):
    """The explorer's sentence at this setting."""
    return split_decode.describe(split_decode.compute(**setting))


@pytest.mark.parametrize("setting", [FIRST, *EXTREMES])
def test_programs_share_the_chosen_blocks_and_the_scan_covers_every_page(setting):
    step = split_decode.compute(**setting)
    assert step.num_pages == setting["context"] // 128
    assert step.attend_programs == setting["batch"] * 4 * setting["splits"]
    a_sequence = step.scan_programs // setting["batch"]
    assert step.scan_programs == a_sequence * setting["batch"]
    assert (a_sequence - 1) * step.scan_pages < step.num_pages <= a_sequence * step.scan_pages
    work = np.bincount(step.program_of_rank, minlength=setting["splits"])
    assert work.sum() == 16
    assert work.max() - work.min() <= 1


def test_blocks_are_those_of_the_decode_explorer_and_own_is_the_last():
    step = split_decode.compute(**FIRST)
    reads = decode_reads.compute(context=32768, top_k=16, block_size=128, query=1)
    assert np.array_equal(step.blocks, reads.selection[0])
    assert step.blocks[-1] == 255


@pytest.mark.parametrize("setting", [FIRST, *EXTREMES])
def test_bytes_of_the_lanes_are_those_of_the_closed_form(setting):
    num_bytes = split_decode.compute(**setting).num_bytes
    lanes = num_bytes["index keys"] + num_bytes["keys"] + num_bytes["values"]
    assert lanes == cost.decode_bytes(M3, setting["context"], setting["batch"]).layer
    parts = setting["batch"] * 64 * setting["splits"]
    assert num_bytes["partial results"] == 2 * parts * (128 + 1) * 4


def test_programs_without_a_block_are_counted():
    assert split_decode.compute(**FIRST).idle_programs == 0
    assert split_decode.compute(**FIRST | {"context": 1024}).idle_programs == 8
    assert split_decode.compute(**FIRST | {"context": 1024, "splits": 8}).idle_programs == 0
    assert "8 of its 16 programs find nothing" in split_decode.describe(
        split_decode.compute(**FIRST | {"context": 1024})
    )


@pytest.mark.parametrize("batch", [batch for _, batch in split_decode.BATCHES])
@pytest.mark.parametrize("context", [context for _, context in split_decode.CONTEXTS])
def test_a_scan_program_reads_as_many_pages_as_the_kernels_does(context, batch):
    step = split_decode.compute(context=context, splits=1, batch=batch)
    assert step.scan_pages == geometry.blocks_per_scan(batch, context // 128)


@pytest.mark.parametrize("programs", [4, 64, 132, 133, 4096])
def test_programs_are_dealt_out_evenly(programs):
    counts = split_decode.programs_on_each(programs)
    assert len(counts) == 132
    assert counts.sum() == programs
    assert counts.max() - counts.min() <= 1


def test_words_name_program_0s_blocks_and_the_multiprocessors():
    setting = FIRST | {"splits": 8}
    blocks = split_decode.compute(**setting).blocks
    text = say(**setting)
    assert f"program 0 reads keys and values of blocks {blocks[0]}, {blocks[8]}." in text
    assert "32 programs on 32 of 132 multiprocessors" in text
    assert f"values of block {blocks[0]}." in say(**FIRST)


def test_the_picture_names_every_chosen_block_in_its_programs_row():
    setting = FIRST | {"splits": 4}
    step = split_decode.compute(**setting)
    programs = split_decode_figure.draw(split_decode.compute(**setting)).axes[1]
    shown = {text.get_text(): text.get_position() for text in programs.texts}
    for rank, block in enumerate(step.blocks):
        assert shown[str(block)] == (rank + 0.5, step.program_of_rank[rank] + 0.5)


def test_lit_pages_are_those_of_the_first_sequence():
    table = np.array([[0, 3, 4, -1], [1, 2, -1, -1]])
    axes = Figure().add_subplot()
    selection = np.array([[0, 2], [1, 2]])
    split_decode_figure.draw_pages(axes, table, 40, selection, block_size=16)
    assert axes.get_xlim() == (0, 5)
    lit = [text for text in axes.texts if text.get_weight() == "bold"]
    lanes = {}
    for text in lit:
        x, y = text.get_position()
        lanes.setdefault(round(y, 2), []).append((int(x), int(text.get_text())))
    assert list(lanes.values()) == [
        [(0, 0), (3, 1), (4, 2)],
        *2 * [[(0, 0), (4, 2)], [(3, 1), (4, 2)]],
    ]
