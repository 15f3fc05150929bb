"""What a package's top-k is given, and whether it can be compared at all."""

import torch
from torch.overrides import TorchFunctionMode


class RecordTopK(TorchFunctionMode):
    """Keeps what every top-k is given."""

    def __init__(self):
        super().__init__()
        self.scores = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in (torch.Tensor.topk, torch.topk):
            self.scores.append(args[0].detach().clone())
        return func(*args, **(kwargs or {}))


def check_untied(scores, top_k):
    """Refuse scores whose top-k is not one set: packages break ties in an order of their own.

    The ReLU makes ties at 0; many index heads make them rare.
    """
    best = scores.sort(descending=True).values
    if top_k < best.shape[-1]:
        tied = (best[..., top_k - 1] == best[..., top_k]) & best[..., top_k].isfinite()
        assert not tied.any(), f"{int(tied.sum())} rows tie at the last place: take another seed"
