"""Writes docs/kernels_compiled.md: what Triton's compiler makes of every kernel, without a GPU.

    python kernels/bench/compiled.py
    python kernels/bench/compiled.py 90  # prints the figures for sm_90 as JSON instead

The real entry points run on tensors without memory (device "meta") at M3's shapes, the index's loss
at SmolLM2's, and each launch is recorded instead of made: so what is compiled is what is shipped,
down to strides and options.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

os.environ.pop("TRITON_INTERPRET", None)  # read when a kernel is decorated
sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction, type_canonicalisation_dict

from msa_kernels import PagedCache, checks, decode, index_kl, launch, msa_attention
from msa_ref import M3

TARGETS = (80, 90, 100)
# Dynamic shared memory one program may have: 227 KiB from sm_90 on, 163 KiB on sm_80.
SHARED_LIMIT = {80: 166912, 90: 232448, 100: 232448}
PAGE = Path(__file__).parents[2] / "docs" / "kernels_compiled.md"
PACKAGE = Path(__file__).parents[1] / "msa_kernels"


class Launch(NamedTuple):
    """One recorded launch: the kernel, where it was made, its arguments by name, its options."""

    kernel: JITFunction
    case: str
    arguments: dict
    options: dict


class Compiled(NamedTuple):
    """What the compiler says about one launch on one target; bytes, but for registers."""

    name: str
    case: str
    target: int
    registers: int
    stack: int  # what spilled registers, and nothing else here, would lie in
    shared: int
    wgmma: int  # HGMMA instructions
    options: str


def record(case, call):
    """The launches that `call` makes, none of them made; tensors may lie on the meta device."""
    launches = []

    def run(kernel, *args, grid, warmup, **named):
        arguments = dict(zip(kernel.arg_names, args))
        arguments |= {name: named.pop(name) for name in kernel.arg_names if name in named}
        launches.append(Launch(kernel, case, arguments, named))

    kept = JITFunction.run, checks.check_device
    JITFunction.run, checks.check_device = run, lambda **tensors: None
    try:
        call()
    finally:
        JITFunction.run, checks.check_device = kept
    return launches


def prefill(num_queries, num_keys, dtype=torch.bfloat16):
    """A call of msa_attention at M3's shape."""
    config, like = M3.attention, {"dtype": dtype, "device": "meta"}
    groups, d, di = config.num_kv_heads, config.head_dim, config.index_dim
    q = torch.empty(1, config.num_heads, num_queries, d, **like)
    k, v = (torch.empty(1, groups, num_keys, d, **like) for _ in range(2))
    index_q = torch.empty(1, groups, num_queries, di, **like)
    index_k = torch.empty(1, 1, num_keys, di, **like)
    return lambda: msa_attention(q, k, v, index_q, index_k, config)


def decode_step(batch, num_keys, dtype=torch.bfloat16, index_dtype=torch.bfloat16):
    """A call of decode at M3's shape."""
    config, like = M3.attention, {"dtype": dtype, "device": "meta"}
    pages = -(-num_keys // config.block_size)
    cache = PagedCache(
        config, num_pages=batch * pages, batch=batch, max_pages=pages,
        dtype=dtype, index_dtype=index_dtype, device="meta",
    )  # fmt: skip
    q = torch.empty(batch, config.num_heads, 1, config.head_dim, **like)
    index_q = torch.empty(batch, config.num_kv_heads, 1, config.index_dim, **like)
    return lambda: decode(q, index_q, cache)


def distillation(length, top_k=None, dtype=torch.bfloat16):
    """A call of index_kl as a layer of SmolLM2 makes it: 9 heads, 3 groups, 64 channels."""
    selection = None
    if top_k is not None:
        selection = torch.empty(1, 3, length, top_k, dtype=torch.int32, device="meta")
    index = (torch.empty(1, heads, length, 64, device="meta") for heads in (3, 1))
    main = (torch.empty(1, heads, length, 64, dtype=dtype, device="meta") for heads in (9, 3))
    return lambda: index_kl(*index, *main, selection, block_size=128)


def in_float32():
    """Launches in float32, whose tiles are twice as large: there to be compared with."""
    f32 = torch.float32
    calls = prefill(8192, 2**20, f32), prefill(8192, 8192, f32), decode_step(1, 2**20, f32, f32)
    calls += (distillation(4096, dtype=f32),)
    launches = [one for call in calls for one in record("float32", call)]
    return [one for one in launches if one.arguments.get("PRECISION") == "ieee"]


def shipped(target):
    """Every distinct launch of the shipped paths on one target, first met first."""
    million = 2**20
    cases = [
        ("prefill 8K@1M", prefill(8192, million)),
        ("prefill 8K@8K", prefill(8192, 8192)),
        ("decode 1 x 1M", decode_step(1, million)),
        ("decode 8 x 512K", decode_step(8, million // 2)),
        ("warm-up 4K", distillation(4096)),
        ("sparse training 4K", distillation(4096, top_k=8)),
    ]
    if target >= 90:  # sm_80 has no such type
        cases.append(
            ("decode 1 x 1M, fp8", decode_step(1, million, index_dtype=torch.float8_e4m3fn))
        )
    kept, launch.capability = launch.capability, lambda: (target // 10, target % 10)
    try:
        launches = [one for case, call in cases for one in record(case, call)]
        if target == min(TARGETS):  # where memory is scarcest; slow to compile
            launches += in_float32()
    finally:
        launch.capability = kept
    distinct = {}
    for one in launches:
        distinct.setdefault((one.kernel.__name__, str(source(one)), str(one.options)), one)
    return list(distinct.values())


def source(one):
    """Signature, constants and attributes of a launch, specialised as Triton's launcher does."""
    signature, constants, attributes = {}, {}, {}
    for i, param in enumerate(one.kernel.params):
        value = one.arguments[param.name]
        signature[param.name] = specialised(value, (i,), param.is_constexpr, constants, attributes)
    return signature, constants, attributes


def specialised(value, path, is_constexpr, constants, attributes):
    """Type of one argument; a tuple's fields each by its own, at `path` and its place in it."""
    if isinstance(value, tuple):
        fields = (
            specialised(field, (*path, i), False, constants, attributes)
            for i, field in enumerate(value)
        )
        return type(value)(*fields)
    if isinstance(value, torch.Tensor):
        attributes[path] = [["tt.divisibility", 16]]
        return "*" + type_canonicalisation_dict[str(value.dtype).removeprefix("torch.")]
    if is_constexpr or value is None or (isinstance(value, int) and value == 1):
        constants[path] = value
        return "constexpr"
    if isinstance(value, float):
        return "fp32"
    if value % 16 == 0:
        attributes[path] = [["tt.divisibility", 16]]
    return "i32" if -(2**31) <= value < 2**31 else "i64"


def compile_launch(one, target):
    """Compiled figures of one launch for one target, `sm_<target>`."""
    signature, constants, attributes = source(one)
    made = triton.compile(
        ASTSource(fn=one.kernel, signature=signature, constexprs=constants, attrs=attributes),
        target=GPUTarget("cuda", target, 32),
        options=one.options,
    )
    tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    with tempfile.TemporaryDirectory() as folder:
        cubin = Path(folder) / "kernel.cubin"
        cubin.write_bytes(made.asm["cubin"])
        usage = _output(tools / "cuobjdump", "--dump-resource-usage", cubin)
        sass = _output(tools / "nvdisasm", cubin)
    registers, stack = re.search(r"REG:(\d+) STACK:(\d+)", usage).groups()
    return Compiled(
        name=one.kernel.__name__.rsplit(".", 1)[-1],
        case=one.case,
        target=target,
        registers=int(registers),
        stack=int(stack),
        shared=made.metadata.shared,
        wgmma=len(re.findall(r"\bHGMMA\b", sass)),
        options=f"{made.metadata.num_warps} warps, {made.metadata.num_stages} stages",
    )


def _output(*command):
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=True
    ).stdout


def compile_all(targets=TARGETS):
    """Figures of every shipped launch on every target."""
    return [compile_launch(one, target) for target in targets for one in shipped(target)]


def digest():
    """Sixteen digits that stand for the code of the kernels' package, comments aside."""
    hashed = hashlib.sha256()
    for path in sorted(PACKAGE.glob("*.py")):
        lines = map(str.strip, path.read_text(encoding="utf-8").splitlines())
        hashed.update("\n".join(line for line in lines if not line.startswith("#")).encode())
    return hashed.hexdigest()[:16]


def table(rows):
    """The page as markdown."""
    lines = [
        "# What the compiler makes of the kernels",
        "",
        "Written by `python kernels/bench/compiled.py`, on a machine without a GPU, with Triton",
        f"{triton.__version__}. Shapes are those of MiniMax-M3 in bf16, of SmolLM2 where an index",
        "is taught; launch options are those that ship. Shared memory is in bytes a program; the",
        "stack holds spilled registers, so 0 means that none spilled. The compiler of a GPU",
        "machine may be another version and differ. A test compiles all for sm_90 again, and",
        f"holds the page to the code that it was made from: `{digest()}`.",
    ]
    for target in dict.fromkeys(row.target for row in rows):
        lines += [
            "",
            f"## sm_{target}",
            "",
            f"Shared memory a program may have: {SHARED_LIMIT[target]} bytes.",
            "",
            "| kernel | first met in | launch | registers | stack, bytes | shared, bytes |",
            "|---|---|---|---|---|---|",
        ]
        for row in rows:
            if row.target == target:
                lines.append(
                    f"| `{row.name}` | {row.case} | {row.options} | {row.registers} "
                    f"| {row.stack} | {row.shared} |"
                )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps([row._asdict() for row in compile_all([int(sys.argv[1])])]))
    else:
        PAGE.write_text(table(compile_all()), encoding="utf-8")
