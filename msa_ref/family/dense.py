"""Dense causal attention with grouped heads: what every other system is measured against.

MSA paper, section 2; MiniMax-M2 (2605.26494) in all of its 62 layers, with 48 query heads, 8 KV
heads and head_dim 128. Left out: M2's partial rotation and its norms of q and k.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from msa_ref import contracts
from msa_ref import dense as reference
from msa_ref.family import gqa
from msa_ref.family.output import FamilyOutput, attend_tokens

if TYPE_CHECKING:
    from jaxtyping import Float


class DenseConfig(gqa.GQAConfig):
    """Grouped-query attention and nothing else."""


def attend_to(
    q: Float[np.ndarray, "B Hq T d"],
    k: Float[np.ndarray, "B Hkv S d"],
    v: Float[np.ndarray, "B Hkv S d"],
    config: DenseConfig,
) -> FamilyOutput:
    """Each query over all tokens up to its own; query row t stands at S - T + t."""
    q, k, v = contracts.check_attention(q, k, v)
    return attend_tokens(q, k, v, reference.causal_mask(q.shape[2], k.shape[2]))


init_weights, new_cache = gqa.init_weights, gqa.new_cache
run = gqa.run_with(attend_to)
