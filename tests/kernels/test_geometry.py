"""How calls are cut into launches: bounds on memory, and rules that a lesson shows."""

import importlib.util
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from msa_kernels import geometry, launch
from msa_ref import M3

CONFIG = M3.attention


def query_bytes(num_keys, config, element_bytes):
    """Workspace of one query by hand: padded float32 scores, maxima, partial outputs, LSEs."""
    padded = -(-num_keys // (16 * config.block_size)) * 16
    scores = config.num_kv_heads * (padded + padded // 16) * 4
    return scores + config.num_heads * config.top_k * (config.head_dim * element_bytes + 4)


@pytest.mark.parametrize("element_bytes", [2, 4])
@pytest.mark.parametrize("batch", [1, 3, 64])
@pytest.mark.parametrize("num_keys", [8192, 2**17 + 1, 2**20])
def test_a_chunk_fills_the_workspace_and_no_more(num_keys, batch, element_bytes):
    count = geometry.queries_per_chunk(batch, 2**20, num_keys, CONFIG, element_bytes)
    one = batch * query_bytes(num_keys, CONFIG, element_bytes)
    assert count * one <= 6 * 2**30
    assert count == 8192 or (count + 1) * one > 6 * 2**30


def test_chunks_are_at_most_the_queries_and_at_least_one():
    assert geometry.queries_per_chunk(1, 100, 2**20, CONFIG, 2) == 100
    assert geometry.queries_per_chunk(1, 10**6, 2**13, replace(CONFIG, top_k=4), 2) == 8192
    assert geometry.queries_per_chunk(60000, 5, 2**20, CONFIG, 2) == 1


def test_short_contexts_are_query_major():
    assert [geometry.is_block_major(keys) for keys in (1, 8192, 8193)] == [False, False, True]


@pytest.mark.parametrize(
    ("batch", "max_pages", "blocks"),
    [
        (1, 8, 2), (1, 512, 2), (1, 513, 4), (1, 4096, 4), (1, 4097, 16), (1, 8192, 16),
        (32, 512, 2), (33, 512, 16), (4, 4096, 4), (64, 8, 2),
    ],
)  # fmt: skip
def test_a_scan_program_reads_more_blocks_where_there_are_many(batch, max_pages, blocks):
    assert geometry.blocks_per_scan(batch, max_pages) == blocks


@pytest.mark.parametrize(
    ("batch", "top_k", "splits"),
    [(1, 16, 16), (7, 16, 16), (8, 16, 8), (31, 16, 8), (32, 16, 4), (999, 16, 4), (1, 3, 3)],
)
def test_few_heads_are_split_more(batch, top_k, splits):
    assert geometry.decode_splits(batch, 4, top_k) == splits


def test_importing_it_loads_neither_torch_nor_triton():
    code = "import msa_kernels.geometry, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"torch", "triton", "numpy"} & set(loaded.stdout.split())


@pytest.mark.parametrize(
    ("value", "interpreted"),
    [("1", True), ("true", True), ("YES", True), ("on", True), ("0", False), ("false", False)],
)
def test_the_interpreter_is_recognised_as_triton_does(monkeypatch, value, interpreted):
    monkeypatch.setenv("TRITON_INTERPRET", value)
    spec = importlib.util.spec_from_file_location("launch_again", launch.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.INTERPRETED is interpreted


def test_float32_products_are_exact():
    assert launch.precision(torch.float32) == "ieee"
    assert launch.precision(torch.bfloat16) == "tf32"


def test_launch_options_are_fresh_and_fit_the_gpu(monkeypatch):
    """A program has less shared memory before sm_90, and float32 tiles need twice as much."""
    for capability, dtype, stages in (
        ((9, 0), torch.bfloat16, 3), ((8, 0), torch.bfloat16, 2), ((8, 0), torch.float32, 1),
    ):  # fmt: skip
        monkeypatch.setattr(launch, "capability", lambda found=capability: found)
        options = launch.options("prefill_query_major", dtype)
        assert options.pop("num_stages") == stages
