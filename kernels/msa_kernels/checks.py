"""The one place that raises for tensors that do not fit, before any launch."""

import torch

from msa_kernels import launch
from msa_ref.config import MSAConfig

FLOATS = (torch.bfloat16, torch.float16, torch.float32)


def check_device(**tensors):
    """Raise unless all tensors lie on one CUDA device, or on the CPU under Triton's interpreter."""
    (first_name, first), *others = tensors.items()
    for name, tensor in others:
        if tensor.device != first.device:
            raise ValueError(
                f"{name}: got device {tensor.device}, takes {first_name}'s, {first.device}"
            )
    if not launch.INTERPRETED and first.device.type != "cuda":
        raise ValueError(
            f"{first_name}: got device {first.device}, takes a CUDA tensor; without a GPU set "
            "TRITON_INTERPRET=1 before the first import to run the kernels on the CPU"
        )
    for name, tensor in tensors.items():
        if launch.INTERPRETED and tensor.dtype not in (torch.float32, torch.float16, torch.int32):
            raise ValueError(
                f"{name}: got {tensor.dtype} under Triton's interpreter, which computes it "
                "wrongly; takes float32 or float16"
            )


def check_page_dtype(name, dtype, allowed):
    """Raise unless pages may have this dtype, here and now."""
    if launch.INTERPRETED:
        allowed = (torch.float32, torch.float16)
    if dtype not in allowed:
        under = " under Triton's interpreter" if launch.INTERPRETED else ""
        raise ValueError(
            f"{name}: got {dtype}{under}, takes {' or '.join(str(one) for one in allowed)}"
        )


def check_tensor(name, tensor, shape, layout, dtype=None):
    """Raise unless a tensor of just this shape, with contiguous channels, and this dtype."""
    if not isinstance(tensor, torch.Tensor):
        raise ValueError(f"{name}: got {type(tensor).__name__}, takes a torch tensor [{layout}]")
    if tuple(tensor.shape) != tuple(shape):
        raise ValueError(
            f"{name}: got shape {tuple(tensor.shape)}, takes {tuple(shape)} [{layout}]"
        )
    if 0 in tensor.shape:
        raise ValueError(
            f"{name}: got shape {tuple(tensor.shape)}, takes no empty dimension [{layout}]"
        )
    allowed = FLOATS if dtype is None else (dtype,)
    if tensor.dtype not in allowed:
        raise ValueError(
            f"{name}: got {tensor.dtype}, takes {' or '.join(str(d) for d in allowed)}"
        )
    if tensor.stride(-1) != 1:
        raise ValueError(f"{name}: got stride {tensor.stride(-1)} in the last dimension, takes 1")


def sizes(name, tensor, layout):
    """The shape of a tensor that has as many dimensions as the layout names."""
    if not isinstance(tensor, torch.Tensor):
        raise ValueError(f"{name}: got {type(tensor).__name__}, takes a torch tensor [{layout}]")
    if tensor.ndim != len(layout.split()):
        raise ValueError(f"{name}: got shape {tuple(tensor.shape)}, takes dimensions [{layout}]")
    return tuple(tensor.shape)


def check_config(config):
    """Raise unless an MSAConfig whose sizes the kernels can tile."""
    if not isinstance(config, MSAConfig):
        raise ValueError(f"config: got {type(config).__name__}, takes an MSAConfig")
    for name, takes in (("head_dim", (16, 32, 64, 128)), ("index_dim", (16, 32, 64, 128))):
        if getattr(config, name) not in takes:
            raise ValueError(f"config.{name}: got {getattr(config, name)}, takes one of {takes}")
    if config.block_size not in (16, 32, 64, 128):
        raise ValueError(f"config.block_size: got {config.block_size}, takes 16, 32, 64 or 128")
    if config.top_k > 64:
        raise ValueError(f"config.top_k: got {config.top_k}, takes at most 64")


def check_prefill(q, k, v, index_q, index_k, config):
    """Raise unless the five tensors fit the config and each other."""
    check_config(config)
    batch, _, num_queries, _ = sizes("q", q, "B Hq T d")
    num_keys = sizes("k", k, "B Hkv S d")[2]
    groups, d, di = config.num_kv_heads, config.head_dim, config.index_dim
    check_tensor("q", q, (batch, config.num_heads, num_queries, d), "B Hq T d")
    check_tensor("k", k, (batch, groups, num_keys, d), "B Hkv S d", q.dtype)
    check_tensor("v", v, (batch, groups, num_keys, d), "B Hkv S d", q.dtype)
    check_tensor("index_q", index_q, (batch, groups, num_queries, di), "B Hkv T di")
    check_tensor("index_k", index_k, (batch, 1, num_keys, di), "B 1 S di", index_q.dtype)
    check_device(q=q, k=k, v=v, index_q=index_q, index_k=index_k)
    if num_queries > num_keys:
        raise ValueError(f"q: got {num_queries} queries, takes at most the {num_keys} keys")


def check_lesson(index_q, index_k, q, k, selection):
    """Raise unless the tensors that teach an index fit each other and the kernels' tiles."""
    batch, groups, length, index_dim = sizes("index_q", index_q, "B Hkv T di")
    _, num_heads, _, head_dim = sizes("q", q, "B Hq T d")
    for name, dim in (("index_q", index_dim), ("q", head_dim)):
        if dim not in (16, 32, 64, 128):
            raise ValueError(f"{name}: got {dim} channels, takes 16, 32, 64 or 128")
    check_tensor("index_q", index_q, (batch, groups, length, index_dim), "B Hkv T di")
    check_tensor("index_k", index_k, (batch, 1, length, index_dim), "B 1 T di", index_q.dtype)
    check_tensor("q", q, (batch, num_heads, length, head_dim), "B Hq T d")
    check_tensor("k", k, (batch, groups, length, head_dim), "B Hkv T d", q.dtype)
    if num_heads % groups:
        raise ValueError(f"q: got {num_heads} heads, takes a multiple of index_q's {groups}")
    check_device(index_q=index_q, index_k=index_k, q=q, k=k)
    if selection is not None:
        top_k = sizes("selection", selection, "B Hkv T k")[3]
        check_tensor(
            "selection", selection, (batch, groups, length, top_k), "B Hkv T k", torch.int32
        )
        check_device(q=q, selection=selection)


def check_lengths(name, lengths, batch, device):
    """Raise unless int32 [B] on this device."""
    check_tensor(name, lengths, (batch,), "B", torch.int32)
    if lengths.device != device:
        raise ValueError(f"{name}: got device {lengths.device}, takes {device}")


def check_values(query_lengths, key_lengths, num_queries, num_keys, **tensors):
    """Raise on lengths out of range and NaN; reads the device, so only where it is asked for."""
    low, high = int(query_lengths.min()), int(query_lengths.max())
    if low < 0 or high > num_queries:
        raise ValueError(f"query_lengths: got {low} to {high}, takes 0 to {num_queries}")
    low, high = int(key_lengths.min()), int(key_lengths.max())
    if low < 1 or high > num_keys:
        raise ValueError(f"key_lengths: got {low} to {high}, takes 1 to {num_keys}")
    if bool((query_lengths > key_lengths).any()):
        raise ValueError(
            "query_lengths: got more queries than keys in a sequence, takes at most its keys"
        )
    for name, tensor in tensors.items():
        lengths = key_lengths if name in ("k", "v", "index_k") else query_lengths
        inside = torch.arange(tensor.shape[2], device=tensor.device) < lengths[:, None]
        check_nan(inside, **{name: tensor})


def check_nan(inside=None, **tensors):
    """Raise on NaN in tensors [B, H, T, d], at the tokens `inside [B, T]` alone if given."""
    for name, tensor in tensors.items():
        bad = tensor.isnan().any(-1)
        if bool((bad if inside is None else bad & inside[:, None, :]).any()):
            raise ValueError(f"{name}: got NaN, takes numbers")
