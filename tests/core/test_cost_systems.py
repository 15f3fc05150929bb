"""The costs of all systems: published figures, the table of closed forms, and bad input."""

import pytest

from msa_ref import M2, M3, MSA_109B, cost
from msa_ref import systems_cost as layers

K = 1024
MILLION = 1024 * K
FLASH, PRO, V32 = (
    cost.MODELS[name] for name in ("DeepSeek-V4-Flash", "DeepSeek-V4-Pro", "DeepSeek-V3.2")
)

# MFLOP and MB of one layer at 32K, 128K and 1M, to the digits given.
TABLE = {
    "dense": [("1074", "67.1"), ("4295", "268"), ("34360", "2147")],
    "msa": [("101", "12.6"), ("201", "37.7"), ("1141", "273")],
    "nsa": [("147", "9.2"), ("398", "24.9"), ("2747", "172")],
    "dsa": [("1107", "5.7"), ("2718", "18.6"), ("17750", "140")],
    "csa": [("218", "0.93"), ("621", "2.6"), ("4379", "18.2")],
    "hca": [("50", "0.22"), ("151", "0.67"), ("1091", "4.9")],
    "quest": [("134", "8.4"), ("336", "21.0"), ("2215", "138")],
    "infllm": [("235", "14.7"), ("336", "21.0"), ("1275", "79.7")],
}


def digits(number, like):
    """`number` with as many decimals as the string `like` has."""
    return f"{number:.{len(like.partition('.')[2])}f}"


@pytest.mark.parametrize(("at", "context"), list(enumerate([32 * K, 128 * K, MILLION])))
@pytest.mark.parametrize("name", TABLE)
def test_flops_and_bytes_of_one_layer(name, at, context):
    layer = cost.SYSTEMS[name]
    mflop, mb = TABLE[name][at]
    assert digits(layer.decode_flops(context) / 1e6, mflop) == mflop
    assert digits(layer.decode_bytes(context) / 1e6, mb) == mb


def test_mla_moba_and_the_window_at_a_million_tokens():
    assert cost.SYSTEMS["mla"].decode_flops(MILLION) == 2 * 128 * (576 + 512) * MILLION
    assert cost.SYSTEMS["mla"].decode_bytes(MILLION) == 656 * MILLION
    moba = cost.SYSTEMS["moba"]
    assert moba.decode_flops(MILLION) == 2 * 64 * 128 * 256 + 4 * 64 * 128 * 12 * 4096
    assert moba.decode_bytes(MILLION) == 4 * 128 * 2 * 256 + 2048 * 12 * 4096
    assert cost.SYSTEMS["window"].decode_flops(MILLION) == 4 * 64 * 128 * 2048
    assert cost.SYSTEMS["window"].decode_bytes(MILLION) == 2048 * 2048


def test_msa_reads_28_times_fewer_flops_on_average_and_30_at_the_end():
    dense, msa = cost.SYSTEMS["dense"], cost.SYSTEMS["msa"]
    square = 4 * 64 * 128 * MILLION**2 / 2
    average = square / cost.prefill_flops(MSA_109B, MILLION, MILLION, "paper").layer
    assert average == pytest.approx(28.44, abs=0.005)
    at_the_end = dense.decode_flops(MILLION) / msa.decode_flops(MILLION)
    assert at_the_end == pytest.approx(30.1, abs=0.05)
    assert dense.decode_bytes(MILLION) / msa.decode_bytes(MILLION) == pytest.approx(7.88, abs=0.005)


@pytest.mark.parametrize("context", [1, 5, 128, 2048, 4096, MILLION])
def test_dense_and_msa_equal_the_formulas_of_msa(context):
    """Those count the last block's visible part, which is all of it at these lengths."""
    for spec, layer in ((M2, layers.dense(48, 8)), (MSA_109B, cost.SYSTEMS["msa"])):
        assert layer.decode_flops(context) == cost.decode_flops(spec, context).layer
        assert layer.decode_bytes(context) == cost.decode_bytes(spec, context).layer
        assert layer.cache_bytes_per_token() == cost.cache_bytes_per_token(spec).layer


@pytest.mark.parametrize(
    ("context", "tokens", "speedup"),
    [(8, 2046, 4.0), (16, 2558, 6.4), (32, 3582, 9.1), (64, 5630, 11.6)],
)
def test_nsa_reads_as_few_tokens_as_it_says(context, tokens, speedup):
    nsa, token_bytes = cost.SYSTEMS["nsa"], 4 * (192 + 128) * 2
    assert nsa.decode_bytes(context * K) == tokens * token_bytes
    dense = context * K * token_bytes
    assert dense / nsa.decode_bytes(context * K) == pytest.approx(speedup, abs=0.05)


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("dense", 2048), ("window", 0), ("msa", 2304), ("moba", 2048 + 0.25), ("quest", 2176),
        ("infllm", 2112), ("nsa", 2720), ("mla", 656), ("dsa", 788), ("csa", 163), ("hca", 4.5625),
    ],
)  # fmt: skip
def test_bytes_that_one_token_adds_to_a_layers_cache(name, stored):
    assert cost.SYSTEMS[name].cache_bytes_per_token() == stored


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("MiniMax-M2", 253_952),
        ("MiniMax-M3", 137_472),
        ("DeepSeek-V3.2", 48_068),
        ("DeepSeek-V4-Flash", 3514),
        ("DeepSeek-V4-Pro", 5031),
    ],
)
def test_bytes_that_one_token_adds_to_a_models_cache(name, stored):
    assert int(cost.MODELS[name].cache_bytes_per_token()) == stored


def test_minimax_models_equal_their_specifications():
    for name, spec in (("MiniMax-M2", M2), ("MiniMax-M3", M3)):
        model = cost.MODELS[name]
        assert model.cache_bytes_per_token() == cost.cache_bytes_per_token(spec).model
        assert model.decode_bytes(MILLION) == cost.decode_bytes(spec, MILLION).model
        assert model.decode_flops(MILLION) == cost.decode_flops(spec, MILLION).model


def test_v4_shrinks_the_cache_as_published():
    v32, flash, pro = (model.cache_bytes_per_token() for model in (V32, FLASH, PRO))
    assert v32 / flash == pytest.approx(13.68, abs=0.005)
    assert v32 / pro == pytest.approx(9.55, abs=0.005)
    gqa8 = layers.dense(64, 8).cache_bytes_per_token()
    assert flash / (43 * gqa8) == pytest.approx(0.02, abs=0.0005)
    assert pro / (61 * gqa8) == pytest.approx(0.02, abs=0.0005)


def test_only_the_released_list_of_layers_gives_v4_pros_figure():
    """A config without its list of ratios is read as 29 CSA and 32 HCA layers: another model."""
    read_so = layers.ModelCost(((29, layers.csa(128, top_k=1024)), (32, layers.hca(128))))
    stored = [model.cache_bytes_per_token() for model in (V32, PRO, read_so)]
    assert stored[0] / stored[1] == pytest.approx(9.55, abs=0.005)
    assert stored[0] / stored[2] > 9.8


def test_v4_flops_of_a_token_against_v32():
    """The papers say 27 % and 10 %: Flash's 4-bit indexer counts there for less."""
    flash, pro, v32 = (
        model.decode_flops(MILLION) + 2 * active
        for model, active in ((FLASH, 13e9), (PRO, 49e9), (V32, 37e9))
    )
    assert pro / v32 == pytest.approx(0.26, abs=0.005)
    assert flash / v32 == pytest.approx(0.12, abs=0.005)


def test_dsa_wins_against_128_heads_and_not_against_16():
    """At 32K its indexer costs what all of GQA's attention does; MLA's costs eight times that."""
    dsa, dense, mla = (cost.SYSTEMS[name].decode_flops(32 * K) for name in ("dsa", "dense", "mla"))
    assert dsa / dense == pytest.approx(1.03, abs=0.005)
    assert mla / dsa == pytest.approx(8.24, abs=0.005)


@pytest.mark.parametrize(
    ("name", "lowest", "highest"),
    [("dense", 16, 16), ("quest", 16, 16), ("msa", 4, 8), ("mla", 424, 425), ("dsa", 126, 196),
     ("csa", 234, 241)],
)  # fmt: skip
def test_flops_for_each_byte_from_32k_to_a_million(name, lowest, highest):
    layer = cost.SYSTEMS[name]
    for context in (32 * K, 128 * K, MILLION):
        assert lowest <= layer.decode_flops(context) / layer.decode_bytes(context) <= highest + 0.1


SMALL = {"heads": 6, "kv_heads": 2, "dim": 5}
TOKEN_FLOPS, TOKEN_BYTES = 4 * 6 * 5, 2 * 2 * 5 * 2


@pytest.mark.parametrize(
    ("layer", "flops", "bytes_read", "stored"),
    [
        (layers.window(**SMALL, length=7, sinks=3), 10 * TOKEN_FLOPS, 10 * TOKEN_BYTES, 0),
        (layers.msa(**SMALL, index_dim=7, block=3, top_k=4),
         2 * 2 * 7 * 40 + 12 * TOKEN_FLOPS, 14 * 40 + 12 * TOKEN_BYTES, 14 + TOKEN_BYTES),
        (layers.moba(**SMALL, block=8, top_k=2),
         2 * 6 * 5 * 5 + 16 * TOKEN_FLOPS, 20 * 5 + 16 * TOKEN_BYTES, 2.5 + TOKEN_BYTES),
        (layers.quest(**SMALL, page=4, budget=9), 19 * TOKEN_FLOPS, 19 * TOKEN_BYTES, 50),
        (layers.infllm(**SMALL, stride=10, budget=9),
         2 * 6 * 5 * 4 + 9 * TOKEN_FLOPS, 20 * 4 + 9 * TOKEN_BYTES, 42),
        (layers.nsa(6, 2, 10, stride=5, length=10, chosen=9, recent=4),
         (6 + 9 + 4) * TOKEN_FLOPS, (6 + 9 + 4) * TOKEN_BYTES, 48),
        (layers.dsa(3, 2, top_k=7), 512 * 40 + 6 * 1088 * 7, 132 * 40 + 656 * 7, 788),
        (layers.csa(3, 2, stride=5, top_k=6, recent=4),
         512 * 8 + 6144 * (6 + 4), 68 * 8 + 584 * 10, 652 / 5),
        (layers.hca(3, stride=8, recent=4), 6144 * (5 + 4), 584 * 9, 73),
    ],
    ids=lambda value: value.name if hasattr(value, "name") else "",
)  # fmt: skip
def test_sizes_of_ones_own(layer, flops, bytes_read, stored):
    assert layer.decode_flops(40) == flops
    assert layer.decode_bytes(40) == bytes_read
    assert layer.cache_bytes_per_token() == stored


def test_a_budget_over_the_context_reads_the_context():
    assert layers.quest(**SMALL, page=4, budget=99).decode_bytes(8) == 10 * TOKEN_BYTES
    assert layers.window(**SMALL, length=99).decode_flops(8) == 8 * TOKEN_FLOPS
    assert layers.csa(3, 2, stride=4, top_k=99).decode_bytes(8) == 68 * 2 + 584 * (2 + 8)
    assert layers.nsa(6, 2, 10, stride=5, length=10).decode_flops(7) == 14 * TOKEN_FLOPS


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cost.SYSTEMS["csa"].decode_flops(0), "context: got 0, takes an integer"),
        (lambda: cost.SYSTEMS["csa"].decode_bytes(0), "context: got 0, takes an integer"),
        (lambda: layers.dense(heads=0), "heads: got 0, takes"),
        (lambda: layers.dense(6, 4), "num_kv_heads: got 4, takes a divisor of 6"),
        (lambda: layers.window(length=0), "length: got 0, takes"),
        (lambda: layers.window(sinks=-1), "sinks: got -1, takes"),
        (lambda: layers.msa(top_k=0), "top_k: got 0, takes"),
        (lambda: layers.moba(block=0), "block: got 0, takes"),
        (lambda: layers.quest(page=0), "page: got 0, takes"),
        (lambda: layers.infllm(budget=0), "budget: got 0, takes"),
        (lambda: layers.nsa(stride=0), "stride: got 0, takes"),
        (lambda: layers.mla(0), "heads: got 0, takes"),
        (lambda: layers.dsa(index_heads=0), "index_heads: got 0, takes"),
        (lambda: layers.csa(stride=0), "stride: got 0, takes"),
        (lambda: layers.hca(stride=-2), "stride: got -2, takes"),
        (lambda: layers.v4_window(recent=0), "recent: got 0, takes"),
    ],
)
def test_impossible_sizes_are_refused(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call()
