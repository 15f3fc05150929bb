"""Bad arrays and sizes: errors that name the argument, what it got and what it takes."""

import dataclasses

import numpy as np
import pytest
from cases import ODD, make_lanes, make_layer, random_selection, refused

import msa_ref
from msa_ref import M3, blocks, dense, layer, scoring, selection, sparse
from msa_ref import cache as paged

pytestmark = pytest.mark.without_shapes

LANES = make_lanes()
Q, K, V, INDEX_Q, INDEX_K = LANES
SELECTION = random_selection(11, 23, 5, 3, batch=3, groups=2)
SCORES = scoring.block_scores(INDEX_Q, INDEX_K, block_size=5)
WEIGHTS = dense.attention_weights(Q, K)[0]
MASS = selection.block_mass(WEIGHTS, num_kv_heads=2, block_size=5)
IDEAL = selection.select_blocks(MASS, top_k=3, block_size=5, num_keys=23)
HIDDEN = np.random.default_rng(0).standard_normal((3, 11, 9))
COS, SIN = layer.rotary_tables(np.arange(11), rotary_dim=4, theta=100.0)
QKV = {"q": Q, "k": K, "v": V}


def fill(cache, tokens=11):
    cache.append(K[:, :, :tokens], V[:, :, :tokens], INDEX_K[:, :, :tokens])
    return cache


def append(k, v, index_k):
    paged.PagedCache(ODD, batch=3, capacity=40).append(k, v, index_k)


def attend_cached(q, index_q):
    return paged.attention(q, index_q, fill(paged.PagedCache(ODD, batch=3, capacity=40)))


# Every public function that takes float arrays: those arrays by name, and its other arguments.
TAKES_FLOATS = {
    "dense.attention": (dense.attention, QKV, {}),
    "dense.attention_weights": (dense.attention_weights, {"q": Q, "k": K}, {}),
    "dense.online_attention": (dense.online_attention, QKV, {"chunk": 4}),
    "scoring.token_scores": (
        scoring.token_scores,
        {"index_q": INDEX_Q, "index_k": INDEX_K},
        {},
    ),
    "scoring.block_scores": (
        scoring.block_scores,
        {"index_q": INDEX_Q, "index_k": INDEX_K},
        {"block_size": 5},
    ),
    "selection.select_blocks": (
        selection.select_blocks,
        {"block_scores": SCORES},
        {"top_k": 2, "block_size": 5, "num_keys": 23},
    ),
    "selection.block_mass": (
        selection.block_mass,
        {"weights": WEIGHTS},
        {"num_kv_heads": 2, "block_size": 5},
    ),
    "selection.captured_mass": (
        selection.captured_mass,
        {"mass": MASS},
        {"selection": SELECTION},
    ),
    "selection.score_recall": (
        selection.score_recall,
        {"mass": MASS},
        {"selection": SELECTION, "ideal": IDEAL},
    ),
    "sparse.attention": (sparse.attention, QKV, {"selection": SELECTION, "block_size": 5}),
    "sparse.attention_query_major": (
        sparse.attention_query_major,
        QKV,
        {"selection": SELECTION, "block_size": 5},
    ),
    "msa_attention": (msa_ref.msa_attention, LANES._asdict(), {"config": ODD}),
    "PagedCache.append": (append, {"k": K, "v": V, "index_k": INDEX_K}, {}),
    "cache.attention": (attend_cached, {"q": Q, "index_q": INDEX_Q}, {}),
    "M3Attention": (make_layer(), {"hidden": HIDDEN}, {}),
    "layer.rotate": (layer.rotate, {"x": Q}, {"cos": COS, "sin": SIN}),
}
ARGUMENTS = [(call, name) for call, (_, arrays, _) in TAKES_FLOATS.items() for name in arrays]


class TensorOfAnotherLibrary:
    """Looks like an array to whoever asks only for shape and dtype."""

    def __init__(self, array):
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim

    def __array__(self, *args, **kwargs):
        raise AssertionError("converted in silence")


BAD_ARRAYS = {
    "list": (TypeError, lambda array: array.tolist(), "list, takes a NumPy array"),
    "None": (TypeError, lambda array: None, "NoneType, takes a NumPy array"),
    "tensor": (TypeError, TensorOfAnotherLibrary, "TensorOf", "takes a NumPy array"),
    "masked": (TypeError, np.ma.masked_invalid, "MaskedArray, takes a NumPy array"),
    "integers": (TypeError, lambda array: np.zeros(array.shape, int), "int64, takes float16"),
    "booleans": (TypeError, lambda array: np.zeros(array.shape, bool), "bool, takes float16"),
    "complex": (TypeError, lambda array: array.astype(complex), "complex128, takes float16"),
    "objects": (TypeError, lambda array: array.astype(object), "object, takes float16"),
    "extended": (TypeError, lambda array: array.astype(np.longdouble), "takes float16"),
    "zero-dimensional": (ValueError, lambda array: np.array(1.0), "shape (), takes", "dimensions"),
    "one dimension more": (ValueError, lambda array: array[None], "takes", "dimensions"),
    "one dimension less": (ValueError, lambda array: array[0], "takes", "dimensions"),
    "empty": (ValueError, lambda array: array[:, :0], "takes no empty dimension"),
    "no channels": (ValueError, lambda array: array[..., :0], "takes no empty dimension"),
}


@pytest.mark.parametrize("kind", BAD_ARRAYS)
@pytest.mark.parametrize(("call", "name"), ARGUMENTS)
def test_arrays_of_another_kind(call, name, kind):
    function, arrays, others = TAKES_FLOATS[call]
    error, spoil, *parts = BAD_ARRAYS[kind]
    with refused(error, name, *parts):
        function(**arrays | {name: spoil(arrays[name])}, **others)


# Fewer queries of many keys, and fewer keys or heads where no other array counts them too, do fit.
FITS = {
    *((f"dense.{name}", "q", 2) for name in ("attention", "attention_weights", "online_attention")),
    *(("dense.attention_weights", "k", axis) for axis in (1, 2)),
    *(
        (f"scoring.{name}", "index_q", axis)
        for name in ("token_scores", "block_scores")
        for axis in (1, 2)
    ),
    *((f"scoring.{name}", "index_k", 2) for name in ("token_scores", "block_scores")),
}
AXES = [(*argument, axis) for argument in ARGUMENTS for axis in range(4)]
AXES = [place for place in AXES if len(TAKES_FLOATS[place[0]][1]) > 1 and place not in FITS]


@pytest.mark.parametrize(("call", "name", "axis"), AXES)
def test_shapes_that_do_not_match(call, name, axis):
    function, arrays, others = TAKES_FLOATS[call]
    array = arrays[name]
    one_off = np.delete(array, -1, axis) if array.shape[axis] > 1 else array.repeat(2, axis)
    with pytest.raises(ValueError, match=r"^[\w, ]+: got .* takes "):
        function(**arrays | {name: one_off}, **others)


MORE_QUERIES = make_lanes(num_queries=7, num_keys=6)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("q", lambda: dense.attention(*MORE_QUERIES[:3])),
        ("q", lambda: dense.attention_weights(*MORE_QUERIES[:2])),
        ("q", lambda: dense.online_attention(*MORE_QUERIES[:3], chunk=2)),
        ("q", lambda: msa_ref.msa_attention(*MORE_QUERIES, ODD)),
        ("index_q", lambda: scoring.token_scores(*MORE_QUERIES[3:])),
        ("index_q", lambda: scoring.block_scores(*MORE_QUERIES[3:], block_size=5)),
        ("num_queries", lambda: dense.causal_mask(7, 6)),
        ("num_queries", lambda: blocks.query_positions(7, 6)),
        ("num_queries", lambda: blocks.tile_states(7, 6, query_tile=2, block_size=2)),
        ("block_scores", lambda: select(SCORES[..., :2], num_keys=6)),
    ],
)
def test_more_queries_than_keys(name, call):
    with refused(ValueError, name, " queries, takes at most the 6 keys"):
        call()


def test_more_queries_than_the_cache_holds():
    cache = fill(paged.PagedCache(ODD, batch=3, capacity=40), 4)
    with refused(ValueError, "q", "11 queries, takes at most the 4 tokens stored"):
        paged.attention(Q, INDEX_Q, cache)
    with refused(ValueError, "q", "11 queries, takes at most the 0 tokens stored"):
        paged.attention(Q, INDEX_Q, paged.PagedCache(ODD, batch=3, capacity=40))


def test_heads_that_do_not_divide():
    with refused(ValueError, "k", "2 heads, takes a divisor of q's 5"):
        dense.attention(Q[:, :5], K, V)
    with refused(ValueError, "num_kv_heads", "4, takes a divisor of 6 heads"):
        selection.block_mass(WEIGHTS, num_kv_heads=4, block_size=5)


def select(scores=SCORES, **sizes):
    return selection.select_blocks(scores, **{"top_k": 2, "block_size": 5, "num_keys": 23} | sizes)


SIZES = {
    "chunk": lambda n: dense.online_attention(Q, K, V, chunk=n),
    "num_queries": lambda n: dense.causal_mask(n, 6),
    "num_keys": lambda n: dense.causal_mask(1, n),
    "block_size": lambda n: scoring.block_scores(INDEX_Q, INDEX_K, block_size=n),
    "query_tile": lambda n: blocks.tile_states(4, 4, query_tile=n, block_size=2),
    "top_k": lambda n: select(top_k=n),
    "num_kv_heads": lambda n: selection.block_mass(WEIGHTS, num_kv_heads=n, block_size=5),
    "batch": lambda n: paged.PagedCache(ODD, batch=n, capacity=4),
    "capacity": lambda n: make_layer().new_cache(1, n),
    "num_blocks": lambda n: selection.selection_mask(SELECTION, n),
}
BLOCK_SIZES = {
    "max_pool": lambda n: scoring.max_pool(SCORES, n),
    "scan_index_keys": lambda n: scoring.scan_index_keys(INDEX_Q, None, 23, block_size=n),
    "num_blocks": lambda n: blocks.num_blocks(4, n),
    "block_span": lambda n: blocks.block_span(0, n, 4),
    "tile_states": lambda n: blocks.tile_states(4, 4, query_tile=2, block_size=n),
    "select_blocks": lambda n: select(block_size=n),
    "block_mass": lambda n: selection.block_mass(WEIGHTS, num_kv_heads=2, block_size=n),
    "sparse.attention": lambda n: sparse.attention(Q, K, V, SELECTION, block_size=n),
    "query_major": lambda n: sparse.attention_query_major(Q, K, V, SELECTION, block_size=n),
    "selection_from_lists": lambda n: blocks.selection_from_lists(
        np.array([0, 1]), np.array([0]), num_queries=1, top_k=n
    ),
}


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("size", [0, -1])
def test_sizes_below_one(name, size):
    with refused(ValueError, name, f"{size}, takes an integer of at least 1"):
        SIZES[name](size)


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("size", [2.0, "2", None, True, np.float64(2), np.uint8(2)])
def test_sizes_that_are_no_integers(name, size):
    with refused(TypeError, name, f"{size!r}, takes an integer"):
        SIZES[name](size)


@pytest.mark.parametrize("call", BLOCK_SIZES.values(), ids=BLOCK_SIZES)
@pytest.mark.parametrize(("size", "error"), [(0, ValueError), (-5, ValueError), (2.5, TypeError)])
def test_block_sizes_everywhere(call, size, error):
    with pytest.raises(error, match=f"^(block_size|top_k): got {size}, takes an integer"):
        call(size)


@pytest.mark.parametrize("num_keys", [0, 4.0])
def test_blocks_of_no_keys(num_keys):
    with pytest.raises((ValueError, TypeError), match=f"^num_keys: got {num_keys}, takes an int"):
        blocks.num_blocks(num_keys, 4)


def test_refusals_say_the_layout():
    with refused(ValueError, "selection", "takes 2 dimensions [T k]"):
        blocks.invert_selection(SELECTION, 5)
    with refused(ValueError, "positions", "takes 1 dimension [T]"):
        selection.forced_blocks(SELECTION, 5, block_size=5)
    with refused(TypeError, "scores", "takes a NumPy array [... n]"):
        scoring.max_pool([1.0], 1)


@pytest.mark.parametrize("block", [-1, 5, 2.0])
def test_blocks_that_are_not_there(block):
    with pytest.raises((ValueError, TypeError), match=f"^block: got {block}, takes "):
        blocks.block_span(block, 5, 23)


@pytest.mark.parametrize("name", ["init_blocks", "local_blocks"])
@pytest.mark.parametrize(("count", "error"), [(-1, ValueError), (1.0, TypeError)])
def test_forced_blocks(name, count, error):
    with refused(error, name, f"{count}, takes an integer"):
        select(**{name: count})
    with refused(error, name, f"{count}, takes an integer"):
        selection.forced_blocks(np.arange(3), 2, block_size=2, **{name: count})


def test_top_k_smaller_than_the_forced_blocks():
    with refused(ValueError, "top_k", "2, takes at least the forced blocks", "1", "2"):
        select(top_k=2, init_blocks=1, local_blocks=2)


SCALED = {
    "attention": lambda scale: dense.attention(Q, K, V, scale=scale),
    "attention_weights": lambda scale: dense.attention_weights(Q, K, scale=scale),
    "online_attention": lambda scale: dense.online_attention(Q, K, V, chunk=4, scale=scale),
    "token_scores": lambda scale: scoring.token_scores(INDEX_Q, INDEX_K, scale=scale),
    "block_scores": lambda scale: scoring.block_scores(INDEX_Q, INDEX_K, block_size=5, scale=scale),
    "sparse.attention": lambda scale: sparse.attention(
        Q, K, V, SELECTION, block_size=5, scale=scale
    ),
    "attention_query_major": lambda scale: sparse.attention_query_major(
        Q, K, V, SELECTION, block_size=5, scale=scale
    ),
}


@pytest.mark.parametrize("call", SCALED.values(), ids=SCALED)
@pytest.mark.parametrize("scale", [0, -0.5, np.nan, np.inf])
def test_scales_that_are_no_scale(call, scale):
    with refused(ValueError, "scale", f"{scale}, takes a finite number above 0"):
        call(scale)


@pytest.mark.parametrize("call", SCALED.values(), ids=SCALED)
@pytest.mark.parametrize("scale", ["1", True, 1j, np.ones(3)], ids=type)
def test_scales_that_are_no_number(call, scale):
    with refused(TypeError, "scale", "takes a number"):
        call(scale)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_cannot_be_ranked(bad):
    scores = SCORES.copy()
    scores[1, 0, 7, 3] = bad
    with refused(ValueError, "block_scores", f"{bad} at (1, 0, 7, 3), takes finite scores or -inf"):
        select(scores)


@pytest.mark.parametrize("lane", ["index_q", "index_k"])
def test_nan_in_the_index_branch(lane):
    lanes = LANES._replace(**{lane: np.full_like(getattr(LANES, lane), np.nan)})
    with refused(ValueError, "block_scores", "nan at (0, 0, 0, 0), takes finite scores or -inf"):
        msa_ref.msa_attention(*lanes, ODD)


@pytest.mark.parametrize("num_keys", [20, 26])
def test_scores_of_another_number_of_blocks(num_keys):
    with refused(ValueError, "block_scores", f"takes (3, 2, 11, {-(-num_keys // 5)}) [B Hkv T nb]"):
        select(num_keys=num_keys)


def spoiled(row):
    """The selection with its last query's row replaced."""
    chosen = SELECTION.copy()
    chosen[2, 1, 10] = row
    return chosen


BAD_SELECTIONS = {
    "twice": (ValueError, spoiled([1, 1, 2]), "a block twice in one row, takes each block once"),
    "hole": (ValueError, spoiled([1, -1, 2]), "a -1 before a valid id, takes -1 on the right"),
    "descending": (ValueError, spoiled([2, 1, -1]), "ids out of order, takes them ascending"),
    "too high": (ValueError, spoiled([1, 2, 5]), "-1 to 5, takes -1 to 4"),
    "too low": (ValueError, spoiled([1, 2, -2]), "-2 to 4, takes -1 to 4"),
    "floats": (TypeError, SELECTION.astype(float), "dtype float64, takes signed integers"),
    "unsigned": (TypeError, SELECTION.astype(np.uint32), "dtype uint32, takes signed integers"),
    "booleans": (TypeError, SELECTION >= 0, "dtype bool, takes signed integers"),
    "list": (TypeError, SELECTION.tolist(), "list, takes a NumPy array"),
    "one query less": (ValueError, SELECTION[:, :, 1:], "(3, 2, 10, 3), takes (3, 2, 11, 3)"),
    "one group": (ValueError, SELECTION[:, :1], "(3, 1, 11, 3), takes (3, 2, 11, 3)"),
    "a head each": (ValueError, SELECTION.repeat(3, axis=1), "(3, 6, 11, 3), takes (3, 2, 11, 3)"),
    "one sequence": (ValueError, SELECTION[:1], "(1, 2, 11, 3), takes (3, 2, 11, 3)"),
    "flat": (ValueError, SELECTION[0], "(2, 11, 3), takes 4 dimensions"),
}


@pytest.mark.parametrize("kind", BAD_SELECTIONS)
@pytest.mark.parametrize("attend", [sparse.attention, sparse.attention_query_major])
def test_selections_against_the_contract(attend, kind):
    error, chosen, message = BAD_SELECTIONS[kind]
    with refused(error, "selection", message):
        attend(Q, K, V, chosen, block_size=5)


@pytest.mark.parametrize("attend", [sparse.attention, sparse.attention_query_major])
def test_selections_of_the_future(attend):
    chosen = np.full((3, 2, 11, 3), -1)
    chosen[1, 0, 2, :2] = 2, 3
    with refused(ValueError, "selection", "3 at (1, 0, 2, 1), takes no block that lies wholly in"):
        attend(Q, K, V, chosen, block_size=5)
    chosen[1, 0, 2, 1] = -1
    attend(Q, K, V, chosen, block_size=5)


def test_selections_without_a_slot():
    with refused(ValueError, "top_k", "0, takes an integer of at least 1"):
        sparse.attention(Q, K, V, SELECTION[..., :0], block_size=5)


@pytest.mark.parametrize("integers", [np.int8, np.int16, np.int64])
def test_selections_of_any_signed_integers(integers):
    got = sparse.attention(Q, K, V, SELECTION.astype(integers), block_size=5)
    want = sparse.attention(Q, K, V, SELECTION, block_size=5)
    np.testing.assert_array_equal(got[0], want[0])


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("mass", lambda: selection.captured_mass(SELECTION, MASS[:1])),
        ("mass", lambda: selection.captured_mass(SELECTION, MASS[:, :, :1])),
        ("mass", lambda: selection.score_recall(SELECTION, IDEAL, MASS[:, :1])),
        ("ideal", lambda: selection.score_recall(SELECTION, IDEAL[:1], MASS)),
        ("ideal", lambda: selection.block_recall(SELECTION, IDEAL[:, :, 1:], 5)),
        ("ideal", lambda: selection.block_recall(SELECTION, np.full_like(IDEAL, -1), 5)),
        ("selection", lambda: selection.block_recall(SELECTION, IDEAL, 3)),
        ("selection", lambda: selection.captured_mass(SELECTION, MASS[..., :3])),
        ("selection", lambda: selection.captured_mass(SELECTION[0], MASS)),
    ],
)
def test_recalls_of_what_does_not_match(name, call):
    with refused(ValueError, name, "takes "):
        call()


@pytest.mark.parametrize(
    ("error", "name", "call"),
    [
        (ValueError, "selection", lambda: blocks.invert_selection(SELECTION, 5)),
        (ValueError, "selection", lambda: blocks.invert_selection(SELECTION[0, 0], 3)),
        (TypeError, "selection", lambda: blocks.invert_selection(SELECTION[0, 0] * 1.0, 5)),
        (TypeError, "selection", lambda: blocks.invert_selection([[0]], 5)),
        (ValueError, "num_blocks", lambda: blocks.invert_selection(SELECTION[0, 0], 0)),
        (ValueError, "offsets", lambda: make_lists([0, 2, 1, 3], [0, 1, 0])),
        (ValueError, "offsets", lambda: make_lists([1, 3], [0, 1, 0])),
        (ValueError, "offsets", lambda: make_lists([0, 2], [0, 1, 0])),
        (ValueError, "offsets", lambda: make_lists([0, 4], [0, 1, 0])),
        (ValueError, "offsets", lambda: make_lists([[0, 3]], [0, 1, 0])),
        (ValueError, "offsets", lambda: make_lists([], [])),
        (TypeError, "offsets", lambda: make_lists([0.0, 3.0], [0, 1, 0])),
        (ValueError, "queries", lambda: make_lists([0, 3], [0, 1, 4])),
        (ValueError, "queries", lambda: make_lists([0, 3], [0, -1, 2])),
        (ValueError, "queries", lambda: make_lists([0, 1, 2, 3], [0, 0, 0])),
        (TypeError, "queries", lambda: make_lists([0, 1], [0.0])),
        (ValueError, "num_queries", lambda: make_lists([0, 1], [0], num_queries=0)),
    ],
)
def test_lists_that_are_no_lists_of_a_selection(error, name, call):
    with refused(error, name, "takes "):
        call()


def make_lists(offsets, queries, num_queries=4):
    offsets, queries = (
        np.array(values) if values else np.array([], int) for values in (offsets, queries)
    )
    return blocks.selection_from_lists(offsets, queries, num_queries=num_queries, top_k=2)


@pytest.mark.parametrize("config", [M3, None, {"block_size": 5}], ids=type)
def test_configs_of_another_kind(config):
    for call in (
        lambda: msa_ref.msa_attention(*LANES, config),
        lambda: paged.PagedCache(config, batch=1, capacity=4),
        lambda: layer.M3Attention(config, make_layer().weights, rotary_dim=4),
    ):
        with refused(TypeError, "config", type(config).__name__, "takes an MSAConfig"):
            call()


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"num_heads": 8}, "q"),
        ({"num_heads": 4}, "q"),
        ({"num_kv_heads": 3}, "index_q"),
        ({"head_dim": 7}, "q"),
        ({"index_dim": 8}, "index_q"),
    ],
)
def test_arrays_of_another_config(changes, name):
    config = dataclasses.replace(ODD, **changes)
    with refused(ValueError, name, "takes (3, "):
        msa_ref.msa_attention(*LANES, config)
    cache = paged.PagedCache(config, batch=3, capacity=40)
    cache.length = 40
    with refused(ValueError, name, "takes (3, "):
        paged.attention(Q, INDEX_Q, cache)


@pytest.mark.parametrize(
    ("name", "error", "call"),
    [
        (
            "rotary_dim",
            ValueError,
            lambda: layer.rotary_tables(np.arange(3), rotary_dim=5, theta=9),
        ),
        ("weight", ValueError, lambda: layer.rms_norm(Q, np.ones(1))),
        ("weight", ValueError, lambda: layer.rms_norm(Q, np.ones((1, 8)))),
        ("positions", TypeError, lambda: layer.rotary_tables([0, 1], rotary_dim=4, theta=9)),
        (
            "positions",
            ValueError,
            lambda: layer.rotary_tables(COS.astype(int), rotary_dim=4, theta=9),
        ),
        ("positions", TypeError, lambda: selection.forced_blocks([0, 1], 4, block_size=2)),
        (
            "positions",
            ValueError,
            lambda: selection.forced_blocks(-np.ones(2, int), 4, block_size=2),
        ),
        ("scores", TypeError, lambda: scoring.max_pool([[1.0, 2.0]], 2)),
        ("scores", ValueError, lambda: scoring.max_pool(np.array(1.0), 2)),
        ("scores", ValueError, lambda: scoring.max_pool(SCORES[..., :0], 2)),
        ("scores", TypeError, lambda: dense.softmax_lse([1.0, 2.0])),
        ("scores", ValueError, lambda: dense.softmax_lse(SCORES[..., :0])),
        ("num_blocks", ValueError, lambda: selection.forced_blocks(np.arange(2), 0, block_size=2)),
        ("block_size", ValueError, lambda: selection.forced_blocks(np.arange(2), 4, block_size=0)),
        ("x", TypeError, lambda: layer.rms_norm([1.0, 2.0], np.ones(2))),
        ("weight", TypeError, lambda: layer.rms_norm(Q, np.ones(8, int))),
        ("cos", ValueError, lambda: layer.rotate(Q, COS[1:], SIN)),
        ("sin", ValueError, lambda: layer.rotate(Q, COS, SIN[:, :1])),
        ("sin", ValueError, lambda: layer.rotate(Q, COS, SIN[None])),
        ("cos", TypeError, lambda: layer.rotate(Q, COS.tolist(), SIN)),
        ("cos", ValueError, lambda: layer.rotate(Q[..., :3], COS, SIN)),
        ("outs", TypeError, lambda: dense.merge_partials([Q, Q], np.stack([Q[..., 0]] * 2))),
        ("lses", TypeError, lambda: dense.merge_partials(Q, None)),
        ("lses", ValueError, lambda: dense.merge_partials(Q, Q)),
        ("lses", ValueError, lambda: dense.merge_partials(Q, Q[:2, ..., 0])),
        ("outs", ValueError, lambda: dense.merge_partials(Q[:0], Q[:0, ..., 0])),
        ("outs", TypeError, lambda: dense.merge_partials(Q.astype(int), Q[..., 0])),
    ],
)
def test_arrays_of_the_small_pieces(name, error, call):
    with refused(error, name, "takes "):
        call()
