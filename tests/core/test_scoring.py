"""The index branch: token scores, their mask and their maximum by block."""

import numpy as np
import pytest
from cases import ODD, assert_close, make_lanes

from msa_ref import scoring

_, _, _, INDEX_Q, INDEX_K = make_lanes()


def test_token_scores_are_scaled_dot_products_with_the_shared_key():
    scores = scoring.token_scores(INDEX_Q, INDEX_K)
    assert scores.shape == (3, 2, 11, 23)
    for b, g, t in np.ndindex(3, 2, 11):
        visible = 23 - 11 + t + 1
        want = INDEX_K[b, 0, :visible] @ INDEX_Q[b, g, t] * ODD.index_dim**-0.5
        assert_close(scores[b, g, t, :visible], want, 1e-14)
        assert (scores[b, g, t, visible:] == -np.inf).all()


def test_scale_multiplies_the_scores():
    plain = scoring.token_scores(INDEX_Q, INDEX_K, scale=1.0)
    assert_close(scoring.token_scores(INDEX_Q, INDEX_K, scale=3.0), plain * 3, 1e-14)
    assert_close(scoring.token_scores(INDEX_Q, INDEX_K), plain * 7**-0.5, 1e-14)
    blocks = scoring.block_scores(INDEX_Q, INDEX_K, block_size=5, scale=1.0)
    assert_close(scoring.block_scores(INDEX_Q, INDEX_K, block_size=5), blocks * 7**-0.5, 1e-14)


def test_max_pool_with_a_partial_last_block():
    scores = np.array([[3.0, 1.0, -np.inf, -np.inf, 2.0, 7.0, 5.0]])
    assert scoring.max_pool(scores, 2).tolist() == [[3, -np.inf, 7, 5]]
    assert scoring.max_pool(scores, 100).tolist() == [[7]]


@pytest.mark.parametrize("block_size", [1, 4, 5, 23, 60])
@pytest.mark.parametrize("chunk_tokens", [1, 8, 10, 4096])
def test_block_scores_are_the_best_token_of_each_block(monkeypatch, chunk_tokens, block_size):
    monkeypatch.setattr(scoring, "CHUNK_TOKENS", chunk_tokens)
    tokens = scoring.token_scores(INDEX_Q, INDEX_K)
    want = [tokens[..., s : s + block_size].max(axis=-1) for s in range(0, 23, block_size)]
    got = scoring.block_scores(INDEX_Q, INDEX_K, block_size=block_size)
    assert_close(got, np.stack(want, axis=-1), 1e-14)


@pytest.mark.parametrize(
    ("chunk_tokens", "want"),
    [
        (10, [(0, 10), (10, 20), (20, 23)]),
        (14, [(0, 10), (10, 20), (20, 23)]),
        (15, [(0, 15), (15, 23)]),
        (3, [(0, 5), (5, 10), (10, 15), (15, 20), (20, 23)]),
        (64, [(0, 23)]),
    ],
)
def test_index_keys_are_read_once_in_whole_blocks(monkeypatch, chunk_tokens, want):
    monkeypatch.setattr(scoring, "CHUNK_TOKENS", chunk_tokens)
    asked = []

    def load_keys(start, stop):
        asked.append((start, stop))
        return INDEX_K[:, :, start:stop]

    got = scoring.scan_index_keys(INDEX_Q, load_keys, 23, block_size=5)
    assert asked == want
    assert_close(got, scoring.block_scores(INDEX_Q, INDEX_K, block_size=5), 1e-14)


def test_scan_takes_a_scale():
    def load_keys(start, stop):
        return INDEX_K[:, :, start:stop]

    got = scoring.scan_index_keys(INDEX_Q, load_keys, 23, block_size=5, scale=2.0)
    want = scoring.block_scores(INDEX_Q, INDEX_K, block_size=5, scale=2.0)
    np.testing.assert_array_equal(got, want)
