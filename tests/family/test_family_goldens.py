"""The family against other people's code: transformers and FLA (tests/goldens/family/README.md)."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from cases import assert_close

from msa_ref import dense
from msa_ref.family import csa, dsa, hca, lightning, masks, moba, nsa
from msa_ref.family.output import attend

FOLDER = Path(os.environ.get("FAMILY_GOLDENS", Path(__file__).parents[1] / "goldens" / "family"))
FILES = {path.stem.rsplit("_s", 1)[0]: path for path in sorted(FOLDER.glob("*.npz"))}
TOLERANCE = 2e-5


class Golden:
    """One golden file: sizes by name, arrays in float64, weights by transformers' names."""

    def __init__(self, name):
        with np.load(FILES[name]) as stored:
            self.sizes = json.loads(str(stored["cfg_json"]))
            arrays = {key: stored[key] for key in stored.files if key != "cfg_json"}
        floats = {key: a.astype(float) for key, a in arrays.items() if a.dtype.kind == "f"}
        self.arrays = arrays | floats
        self.weights = {key[2:]: a for key, a in self.arrays.items() if key.startswith("w.")}

    def __getitem__(self, key):
        return self.arrays[key]

    def pick(self, **names):
        """Our names for some of its sizes."""
        return {ours: self.sizes[theirs] for ours, theirs in names.items()}

    def head_major(self, *keys):
        """Its [B, T, heads, d] as [B, heads, T, d]."""
        return [self[key].swapaxes(1, 2) for key in keys]


def test_files_are_those_the_script_makes():
    names = "csa csa_over dsa dsa_naive dsa_over hca moba moba_own_block nsa"
    assert sorted(FILES) == names.split()


def run_cached(system, golden, config, weights):
    """Output of the golden's hidden states in uneven steps through the cache, and the cache."""
    cache = system.new_cache(config, len(golden["hidden"]))
    pieces = np.split(golden["hidden"], [1, 2, 3, 4, 17, 18, 31], axis=1)
    outs = [system.run(piece, weights, config, cache).out for piece in pieces]
    return np.concatenate(outs, axis=2), cache


@pytest.fixture
def scored(monkeypatch):
    """The index scores of every top-k that a system takes."""
    seen = []
    for system in (csa, dsa):

        def top_k_mask(scores, top_k):
            seen.append(scores)
            return masks.top_k_mask(scores, top_k)

        monkeypatch.setattr(system, "top_k_mask", top_k_mask)
    return seen


@pytest.mark.parametrize("name", ["dsa", "dsa_over"])
def test_dsa(name, scored):
    golden = Golden(name)
    sizes = {"d_model": "d_model", "num_heads": "H", "q_rank": "q_rank", "kv_rank": "kv_rank"}
    sizes |= {"plain_dim": "plain", "rotary_dim": "rot", "v_dim": "dv"}
    sizes |= {"index_heads": "HI", "index_dim": "di", "top_k": "top_k"}
    config = dsa.DSAConfig(**golden.pick(**sizes))
    # The files drop the ending .weight of all names.
    weights = golden.weights | {"indexer.k_norm.weight": golden["w.indexer.k_norm"]}
    out, (branch,) = dsa.run(golden["hidden"], weights, config)
    assert_close(out, golden["out"], TOLERANCE)
    assert_close(scored[0], golden["index_scores"], TOLERANCE)
    assert (branch.allowed == golden["allowed"][:, None]).all()
    assert golden["allowed"][:, -1].sum(axis=-1).tolist() == [min(config.top_k, 41)] * 2
    cached, _ = run_cached(dsa, golden, config, weights)
    assert_close(cached, golden["out"], TOLERANCE)


def v4_sizes():
    sizes = {"d_model": "d_model", "num_heads": "H", "head_dim": "c", "rotary_dim": "rot"}
    return sizes | {"q_rank": "q_rank", "ratio": "ratio", "window": "window"}


def v4_weights(golden):
    """Transformers puts the indexer inside the compressor and its votes inside a scorer."""
    shorter = {"compressor.indexer.": "indexer.", "scorer.": ""}
    weights = {}
    for name, array in golden.weights.items():
        for theirs, ours in shorter.items():
            name = name.replace(theirs, ours)
        weights[name] = array
    return weights


def check_v4(system, golden, config):
    """Entries, the entries each query reads, outputs; at once and through the cache."""
    weights = v4_weights(golden)
    out, (branch,) = system.run(golden["hidden"], weights, config)
    assert_close(out, golden["out"], TOLERANCE)
    closed = golden["entries"].shape[1]
    assert (branch.allowed[..., :closed] == golden["allowed"][:, None]).all()
    assert branch.allowed.shape[-1] == closed + golden.sizes["T"]
    cached, cache = run_cached(system, golden, config, weights)
    assert_close(cached, golden["out"], TOLERANCE)
    assert_close(cache.lanes["compressor"][:, 0], golden["entries"], TOLERANCE)


@pytest.mark.parametrize("name", ["csa", "csa_over"])
def test_csa(name, scored):
    golden = Golden(name)
    indexer = {"index_heads": "HI", "index_dim": "di", "top_k": "top_k"}
    config = csa.CSAConfig(**golden.pick(**v4_sizes(), **indexer))
    check_v4(csa, golden, config)
    assert_close(scored[0], golden["index_scores"], TOLERANCE)
    assert golden["allowed"][:, -1].sum(axis=-1).tolist() == [min(config.top_k, 9)] * 2


def test_hca():
    golden = Golden("hca")
    check_v4(hca, golden, hca.HCAConfig(**golden.pick(**v4_sizes())))


def test_dsa_indexer_and_attention_on_grouped_keys():
    golden = Golden("dsa_naive")
    q, k, v, index_q = golden.head_major("q", "k", "v", "index_q")
    visible = dense.causal_mask(*[golden.sizes["T"]] * 2)
    votes = golden["votes"].swapaxes(1, 2)[..., None]
    scores = lightning.lightning_scores(index_q, golden["index_k"][:, None], votes, visible)
    chosen = masks.top_k_mask(scores, golden.sizes["top_k"])
    assert (chosen == mask_of(golden["ids"], golden.sizes["T"])).all()
    out, _ = attend(q, k, v, chosen[:, None])
    assert_close(out, golden["out"].swapaxes(1, 2), TOLERANCE)


def mask_of(ids, count):
    """True at the ids of each row; -1 stands for none."""
    return (ids[..., None] == np.arange(count)).any(axis=-2)


def test_nsa():
    """FLA has one K and V for all branches and means for summaries: its arrays go into our pieces.

    Its slices are its blocks, so Eq. 9's weights are the identity here; they have their own test.
    """
    golden = Golden("nsa")
    q, k, v, k_cmp, v_cmp = golden.head_major("q", "k", "v", "k_cmp", "v_cmp")
    block, num_tokens = golden.sizes["block_size"], golden.sizes["T"]
    sizes = {"num_heads": "H", "num_kv_heads": "G", "head_dim": "d", "value_dim": "dv"}
    sizes |= {"compress_length": "block_size", "compress_stride": "block_size"}
    sizes |= {"block_size": "block_size", "top_k": "top_k", "window": "window"}
    config = nsa.NSAConfig(d_model=1, **golden.pick(**sizes))
    tokens = np.arange(num_tokens)
    closed = (np.arange(k_cmp.shape[2]) + 1) * block <= tokens[:, None] + 1
    compressed, slice_weights = attend(q, k_cmp, v_cmp, closed)
    chosen = nsa.select_tokens(slice_weights, num_tokens, config)
    blocks_read = mask_of(golden["block_ids"].swapaxes(1, 2), k_cmp.shape[2])
    tokens_read = blocks_read.repeat(block, axis=-1)[..., :num_tokens] & np.tri(
        num_tokens, dtype=bool
    )
    assert (chosen == tokens_read.repeat(config.num_heads // config.num_kv_heads, axis=1)).all()
    selected, _ = attend(q, k, v, chosen)
    age = tokens[:, None] - tokens
    local, _ = attend(q, k, v, (age >= 0) & (age < config.window))
    gates = golden["gates"].swapaxes(2, 3)[..., None]
    for ours, theirs in ((compressed, "out_cmp"), (selected, "out_slc")):
        assert_close(ours, golden[theirs].swapaxes(1, 2), TOLERANCE)
    out = gates[0] * compressed + gates[1] * selected + gates[2] * local
    assert_close(out, golden["out"].swapaxes(1, 2), TOLERANCE)


def moba_case(name):
    """What FLA's MoBA gives, ours on the same queries, keys and values, and those."""
    golden = Golden(name)
    q, k, v, out = golden.head_major("q", "k", "v", "out")
    sizes = golden.pick(num_heads="H", num_kv_heads="H", head_dim="d")
    sizes |= golden.pick(block_size="block_size", top_k="top_k")
    config = moba.MoBAConfig(d_model=1, **sizes)
    return out, moba.attend_to(q, k, v, config), (q, k, v)


def test_moba():
    theirs, ours, lanes = moba_case("moba")
    assert_close(ours.out, theirs, TOLERANCE)
    assert np.abs(dense.attention(*lanes)[0] - theirs).max() > 0.1


def test_moba_of_one_block_is_dense_in_fla_and_the_own_block_here():
    """The paper's top-k counts the local block; FLA goes dense where it leaves no other."""
    theirs, ours, lanes = moba_case("moba_own_block")
    assert_close(dense.attention(*lanes)[0], theirs, TOLERANCE)
    assert_close(ours.out[:, :, :6], theirs[:, :, :6], TOLERANCE)
    assert (np.abs(ours.out - theirs)[:, :, 6:].max(axis=-1) > 1e-3).all()
