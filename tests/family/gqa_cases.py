"""What the tests of the systems on grouped-query attention share beside their cases."""

import dataclasses

from cases import ODD, make_lanes
from family_cases import CASES, LENGTH

# The systems that also choose among given queries and keys, and random arrays for that.
GQA_SYSTEMS = ("dense", "window", "moba", "quest", "infllm", "msa")
LANES = make_lanes(dataclasses.replace(ODD, index_dim=6), num_queries=LENGTH)


def config_for(name, **changes):
    """The case's config with some of its sizes changed."""
    return dataclasses.replace(CASES[name].config, **changes)


def extra(name, lanes):
    """What `attend_to` takes besides q, k, v: MSA alone has an index branch."""
    return {"index_q": lanes.index_q, "index_k": lanes.index_k} if name == "msa" else {}
