"""Sparse attention systems side by side, one file each, behind one interface.

Each module has `init_weights(config, generator)`, `new_cache(config, batch)` and
`run(hidden, weights, config, cache=None) -> FamilyOutput`; those that choose among given queries
and keys also have `attend_to(q, k, v, config)`.
"""

from msa_ref.family import csa, dense, dsa, hca, infllm, moba, msa, nsa, quest, window
from msa_ref.family.output import Branch, FamilyOutput, attend

SYSTEMS = {
    "dense": dense,
    "window": window,
    "moba": moba,
    "nsa": nsa,
    "quest": quest,
    "infllm": infllm,
    "msa": msa,
    "dsa": dsa,
    "csa": csa,
    "hca": hca,
}

__all__ = ["SYSTEMS", "Branch", "FamilyOutput", "attend"]
