"""Bad input: a ValueError that names the argument, before any kernel is launched."""

import os
import re
import subprocess
import sys

import pytest
import torch
from kernel_cases import ODD, ints, make_lanes

from conftest import ON_GPU
from msa_kernels import (
    PagedCache,
    attend,
    attention,
    decode,
    index_kl,
    msa_attention,
    paged,
    select,
)
from msa_ref import MSAConfig


@pytest.fixture(autouse=True)
def no_launch(monkeypatch):
    """Whatever reaches the first kernel fails."""

    def launched(*args, **named):
        raise AssertionError("a kernel was launched")

    monkeypatch.setattr(attention, "score_prefill", launched)
    monkeypatch.setattr(attention, "attend_chunk", launched)
    monkeypatch.setattr(paged, "score_decode", launched)


def lanes_of(device, dtype=torch.float32):
    lanes = make_lanes(ODD, batch=2, num_queries=5, num_keys=40, dtype=dtype, device=device)
    return lanes._asdict()


def refused(name, text=""):
    return pytest.raises(ValueError, match=f"^{re.escape(name)}: got .*{re.escape(text)}")


def strided(tensor):
    return tensor.repeat_interleave(2, dim=-1)[..., ::2]


LANES = ["q", "k", "v", "index_q", "index_k"]
SPOILT = {
    "too few channels": lambda x: x[..., :-1],
    "one head more": lambda x: torch.cat([x, x[:, :1]], dim=1),
    "another batch": lambda x: x[:1],
    "a dimension less": lambda x: x[0],
    "no tokens": lambda x: x[:, :, :0],
    "float64": lambda x: x.double(),
    "integers": lambda x: x.int(),
    "last dimension not contiguous": strided,
    "no tensor": lambda x: x.cpu().numpy(),
}


@pytest.mark.parametrize("name", LANES)
@pytest.mark.parametrize("spoil", SPOILT)
def test_a_lane_that_does_not_fit(device, name, spoil):
    lanes = lanes_of(device)
    lanes[name] = SPOILT[spoil](lanes[name])
    # A wrong batch of q shows at the next lane: either may be meant.
    shown = "k" if (name, spoil) == ("q", "another batch") else name
    with refused(shown):
        msa_attention(**lanes, config=ODD)


@pytest.mark.parametrize("name", ["k", "v", "index_k"])
def test_lanes_of_two_dtypes(device, name):
    lanes = lanes_of(device)
    lanes[name] = lanes[name].half()
    with refused(name, "torch.float16"):
        msa_attention(**lanes, config=ODD)


def test_more_queries_than_keys(device):
    lanes = make_lanes(ODD, batch=1, num_queries=5, num_keys=4, dtype=torch.float32, device=device)
    with refused("q", "5 queries"):
        msa_attention(*lanes, ODD)


@pytest.mark.parametrize("name", ["k", "index_k"])
def test_two_devices(device, name):
    lanes = lanes_of(device)
    lanes[name] = lanes[name].to("meta")
    with refused(name, "device meta"):
        msa_attention(**lanes, config=ODD)


CONFIGS = {
    "config.head_dim": MSAConfig(6, 2, 48, 64, 16, 3),
    "config.index_dim": MSAConfig(6, 2, 32, 8, 16, 3),
    "config.block_size": MSAConfig(6, 2, 32, 64, 48, 3),
    "config.top_k": MSAConfig(6, 2, 32, 64, 16, 65),
    "config": (6, 2, 32, 64, 16, 3),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_sizes_that_no_kernel_tiles(device, name):
    with refused(name):
        msa_attention(**lanes_of(device), config=CONFIGS[name])
    with refused(name):
        PagedCache(
            CONFIGS[name], num_pages=1, batch=1, max_pages=1, dtype=torch.float32,
            index_dtype=torch.float32, device=device,
        )  # fmt: skip


def test_a_budget_below_the_forced_blocks():
    with refused("top_k", "forced blocks"):
        MSAConfig(6, 2, 32, 64, 16, 3, init_blocks=2, local_blocks=2)


LENGTHS = {
    "another dtype": lambda device: ints([5, 5], device).long(),
    "another batch": lambda device: ints([5], device),
    "a list": lambda device: [5, 5],
    "another device": lambda device: ints([5, 5], "meta"),
}


@pytest.mark.parametrize("name", ["query_lengths", "key_lengths"])
@pytest.mark.parametrize("spoil", LENGTHS)
def test_lengths_that_do_not_fit(device, name, spoil):
    with refused(name):
        msa_attention(**lanes_of(device), config=ODD, **{name: LENGTHS[spoil](device)})


@pytest.mark.parametrize(
    ("name", "queries", "keys"),
    [
        ("query_lengths", [6, 0], [40, 40]),
        ("query_lengths", [-1, 0], [40, 40]),
        ("query_lengths", [5, 5], [40, 4]),
        ("key_lengths", [5, 5], [41, 40]),
        ("key_lengths", [5, 0], [40, 0]),
    ],
)
def test_check_reads_lengths(device, name, queries, keys):
    lengths = {"query_lengths": ints(queries, device), "key_lengths": ints(keys, device)}
    with refused(name):
        msa_attention(**lanes_of(device), config=ODD, **lengths, check=True)


@pytest.mark.parametrize("name", LANES)
def test_check_looks_for_nan(device, name):
    lanes = lanes_of(device)
    lanes[name][1, 0, 3, 2] = float("nan")
    with refused(name, "takes numbers"):
        msa_attention(**lanes, config=ODD, check=True)


def halves(device):
    """Arguments of `select` and of `attend`."""
    lanes = lanes_of(device)
    selection = torch.zeros(2, 2, 5, 3, dtype=torch.int32, device=device)
    index = {name: lanes.pop(name) for name in ("index_q", "index_k")}
    return index, {**lanes, "selection": selection}


@pytest.mark.parametrize("name", [*LANES, "selection"])
@pytest.mark.parametrize("spoil", SPOILT)
def test_a_lane_of_a_half_that_does_not_fit(device, name, spoil):
    index, main = halves(device)
    call, given = (select, index) if name in index else (attend, main)
    if name == "selection" and spoil == "integers":
        given[name] = given[name].long()
    else:
        given[name] = SPOILT[spoil](given[name])
    shown = {"q": "k", "index_q": "index_k"}.get(name) if spoil == "another batch" else None
    with refused(shown or name):
        call(**given, config=ODD)


@pytest.mark.parametrize("name", LANES)
def test_a_gradient_that_is_wanted(device, name):
    index, main = halves(device)
    (index if name in index else main)[name].requires_grad_()
    lanes = {each: {**index, **main}[each] for each in LANES}
    half, given = (select, index) if name in index else (attend, main)
    with refused(name, "requires grad"):
        msa_attention(**lanes, config=ODD)
    with refused(name, "requires grad"):
        half(**given, config=ODD)
    if "q" in name:
        queries = {each: lanes[each][:, :, -1:] for each in ("q", "index_q")}
        with refused(name, "requires grad"):
            decode(**queries, cache=filled(device))
    with torch.no_grad(), pytest.raises(AssertionError, match="launched"):
        half(**given, config=ODD)


def test_more_programs_than_a_grid_has(device):
    """32,768 sequences of 2 KV heads, of no memory."""
    lanes = {name: lane[:1].expand(32768, -1, -1, -1) for name, lane in lanes_of(device).items()}
    with refused("q", "B x Hkv = 65536"):
        msa_attention(**lanes, config=ODD)
    with pytest.raises(AssertionError, match="launched"):
        msa_attention(**{name: lane[1:] for name, lane in lanes.items()}, config=ODD)
    one = lanes_of(device)
    many = [one[name][:1].expand(65536, -1, -1, -1) for name in ("index_q", "index_k")]
    with refused("index_q", "B = 65536"):
        select(*many, ODD)
    keys = [lanes[name][:, :, :5] for name in ("index_q", "index_k", "q", "k")]
    with refused("q", "B x Hq = 196608"):
        index_kl(*keys)
    cache = filled(device, batch=65536, max_pages=1)
    queries = [one[name][:1, :, -1:].expand(65536, -1, -1, -1) for name in ("q", "index_q")]
    with refused("q", "B = 65536"):
        decode(*queries, cache)


def filled(device, **named):
    sizes = {"num_pages": 6, "batch": 2, "max_pages": 3, "device": device}
    dtypes = {"dtype": torch.float32, "index_dtype": torch.float32}
    return PagedCache(ODD, **(sizes | dtypes | named))


@pytest.mark.parametrize("name", ["num_pages", "batch", "max_pages"])
@pytest.mark.parametrize("size", [0, 1.0, None])
def test_a_cache_of_no_size(device, name, size):
    with refused(name):
        filled(device, **{name: size})


@pytest.mark.parametrize("name", ["dtype", "index_dtype"])
def test_a_cache_of_a_strange_dtype(device, name):
    with refused(name, "float64"):
        filled(device, **{name: torch.float64})


@pytest.mark.parametrize("name", ["q", "index_q"])
@pytest.mark.parametrize("spoil", [one for one in SPOILT if one != "last dimension not contiguous"])
def test_decode_of_a_query_that_does_not_fit(device, name, spoil):
    lanes = lanes_of(device)
    queries = {"q": lanes["q"][:, :, -1:], "index_q": lanes["index_q"][:, :, -1:]}
    queries[name] = SPOILT[spoil](queries[name])
    with refused(name):
        decode(**queries, cache=filled(device))


@pytest.mark.parametrize("name", ["q", "index_q"])
def test_decode_of_another_dtype_than_the_cache(device, name):
    lanes = lanes_of(device)
    queries = {"q": lanes["q"][:, :, -1:], "index_q": lanes["index_q"][:, :, -1:]}
    queries[name] = queries[name].half()
    with refused(name, "torch.float16"):
        decode(**queries, cache=filled(device))


@pytest.mark.parametrize("name", ["k", "v", "index_k"])
@pytest.mark.parametrize("spoil", SPOILT)
def test_append_of_a_lane_that_does_not_fit(device, name, spoil):
    lanes = {lane: lanes_of(device)[lane][:, :, :7] for lane in ("k", "v", "index_k")}
    lanes[name] = SPOILT[spoil](lanes[name])
    cache = filled(device)
    shown = ("k", "v") if (name, spoil) == ("k", "no tokens") else (name,)
    with pytest.raises(ValueError, match=f"^({'|'.join(shown)}): got "):
        cache.append(**lanes)
    assert (cache.block_table == -1).all()
    assert not cache.k_pages.any()


@pytest.mark.skipif(ON_GPU, reason="the interpreter's own limits")
class TestUnderTheInterpreter:
    def test_bf16_is_refused(self, device):
        with refused("q", "under Triton's interpreter"):
            msa_attention(**lanes_of(device, torch.bfloat16), config=ODD)

    @pytest.mark.parametrize("stored", [torch.bfloat16, torch.float8_e4m3fn], ids=str)
    @pytest.mark.parametrize("name", ["dtype", "index_dtype"])
    def test_pages_of_bf16_or_fp8_are_refused(self, device, name, stored):
        with refused(name, "under Triton's interpreter"):
            filled(device, **{name: stored})


def test_cpu_tensors_without_the_interpreter():
    code = """
import torch
from kernel_cases import ODD, make_lanes
from msa_kernels import msa_attention
lanes = make_lanes(ODD, batch=1, num_queries=2, num_keys=9, dtype=torch.float32, device="cpu")
try:
    msa_attention(*lanes, ODD)
except ValueError as error:
    print(error)
"""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    ).stdout
    assert said.startswith("q: got device cpu, takes a CUDA tensor")
    assert "TRITON_INTERPRET=1" in said


REPLACED = {
    "k_pages": lambda x: x[:, :, :8],
    "v_pages": lambda x: x[:-1],
    "index_pages": lambda x: x.repeat(1, 1, 2)[..., : x.shape[2]],
    "block_table": lambda x: x.long(),
    "lengths": lambda x: x[:1],
}


@pytest.mark.parametrize("name", REPLACED)
def test_a_cache_whose_tensors_were_replaced(device, name):
    lanes, cache = lanes_of(device), filled(device)
    setattr(cache, name, REPLACED[name](getattr(cache, name)))
    with refused(f"cache.{name}"):
        decode(lanes["q"][:, :, -1:], lanes["index_q"][:, :, -1:], cache)
    with refused(f"cache.{name}"):
        cache.append(*(lanes[each][:, :, :7] for each in ("k", "v", "index_k")))
