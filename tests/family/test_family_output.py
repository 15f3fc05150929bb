"""The softmax that every system ends in, and the weights and projections it starts from."""

import numpy as np
import pytest
from cases import assert_close

from msa_ref.family import attend, gqa
from msa_ref.family.inputs import draw_weights, project


def test_attend_weighs_what_is_allowed_and_gives_nothing_where_nothing_is():
    rng = np.random.default_rng(3)
    q, k, v = (rng.standard_normal(shape) for shape in ((2, 6, 4, 5), (2, 3, 7, 5), (2, 3, 7, 8)))
    allowed = rng.random((2, 6, 4, 7)) < 0.5
    allowed[0, 1, 2] = allowed[1, 5] = False
    sink = rng.standard_normal(6)
    for scale, used_scale in ((None, 5**-0.5), (0.3, 0.3)):
        for logits in (None, sink):
            out, weights = attend(q, k, v, allowed, scale=scale, sink=logits)
            assert out.shape == (2, 6, 4, 8)
            for b, h, t in np.ndindex(2, 6, 4):
                powers = np.exp(k[b, h // 2] @ q[b, h, t] * used_scale) * allowed[b, h, t]
                total = powers.sum() + (0 if logits is None else np.exp(sink[h]))
                want = powers / total if total else np.zeros(7)
                assert_close(weights[b, h, t], want, 1e-14)
                assert_close(out[b, h, t], want @ v[b, h // 2], 1e-14)
            assert (out[0, 1, 2] == 0).all()
            assert (out[1, 5] == 0).all()


@pytest.mark.parametrize("sink", [None, np.ones(4)])
def test_attend_to_no_entries_at_all_is_zero(sink):
    allowed = np.ones((1, 4, 3, 0), dtype=bool)
    k, v = np.ones((1, 2, 0, 5)), np.ones((1, 2, 0, 6))
    out, weights = attend(np.ones((1, 4, 3, 5)), k, v, allowed, sink=sink)
    assert out.shape == (1, 4, 3, 6)
    assert weights.shape == (1, 4, 3, 0)
    assert (out == 0).all()


@pytest.mark.parametrize("size", [1e3, -1e4])
def test_attend_survives_scores_beyond_an_exponentials_range(size):
    k, v = np.array([[[[1.0], [2.0]]]]), np.array([[[[3.0], [4.0]]]])
    everything = np.ones((1, 1, 1, 2), dtype=bool)
    out, weights = attend(np.full((1, 1, 1, 1), size), k, v, everything)
    assert out.item() == (4 if size > 0 else 3)
    assert weights.sum() == 1
    out, _ = attend(np.full((1, 1, 1, 1), size), k, v, everything, sink=np.zeros(1))
    assert out.item() == (4 if size > 0 else 0)


def test_weights_are_scaled_by_their_fan_in():
    drawn = draw_weights({"a": (400, 100), "b": (3, 50, 64)}, np.random.default_rng(0))
    assert drawn["a"].std() == pytest.approx(0.1, rel=0.02)
    assert drawn["b"].std() == pytest.approx(0.125, rel=0.03)
    assert abs(drawn["a"].mean()) < 0.002


def test_project_splits_the_heads():
    hidden, weight = np.ones((2, 3, 4)), np.arange(24.0).reshape(6, 4)
    heads = project(hidden, weight, 3)
    assert heads.shape == (2, 3, 3, 2)
    assert heads[1, :, 2].tolist() == [[6, 22], [38, 54], [70, 86]]


def test_scores_of_rotated_heads_depend_on_the_distance_alone():
    q, k = np.random.default_rng(1).standard_normal((2, 1, 2, 1, 8))
    near = gqa.rope(q, 9, 50.0) * gqa.rope(k, 4, 50.0)
    far = gqa.rope(q, 105, 50.0) * gqa.rope(k, 100, 50.0)
    assert_close(near.sum(axis=-1), far.sum(axis=-1), 1e-12)
