"""The shipped results of training: they fit each other, the captured text and the package."""

import numpy as np

from msa_ref import data, dense, selection


def test_the_shipped_snapshots_are_of_the_captured_text():
    snapshots = data.load_snapshots()
    assert snapshots.layers.tolist() == data.captured_layers()
    assert snapshots.best.shape[2] == len(data.load_text()["words"])
    assert snapshots.steps[0] == 0
    assert (np.diff(snapshots.steps) > 0).all()
    assert (snapshots.chosen.sum(axis=-1) <= snapshots.top_k).all()
    own = np.arange(snapshots.best.shape[2]) // snapshots.block_size
    assert snapshots.chosen[..., np.arange(len(own)), own].all()
    assert (snapshots.score_recall[-1] > snapshots.score_recall[0]).all()


def test_the_shipped_best_blocks_are_those_of_the_captured_attention():
    """But for queries whose masses are near ties: the capture is in float16."""
    snapshots = data.load_snapshots()
    for place, layer in enumerate(snapshots.layers.tolist()):
        q, k, _ = data.load_capture(layer)
        weights, _ = dense.attention_weights(q, k)
        sizes = {"block_size": snapshots.block_size}
        mass = selection.block_mass(weights, num_kv_heads=k.shape[1], **sizes)[0]
        best = np.sort(mass, axis=-1)[..., -snapshots.top_k :].sum(axis=-1)
        own = selection.select_blocks(
            mass[None], top_k=snapshots.top_k, num_keys=q.shape[2], **sizes
        )
        right = selection.captured_mass(own, mass[None])[0]
        captured = (mass * snapshots.best[place]).sum(axis=-1)
        assert (captured <= best + 1e-6).all()
        np.testing.assert_allclose(captured, right, rtol=0, atol=5e-3)


def test_the_shipped_trace_is_whole():
    trace = data.load_text_trace()
    layers, _, tokens, num_blocks = trace.rank.shape
    assert len(trace.words) == tokens
    assert len(trace.layers) == layers
    assert num_blocks == -(-tokens // trace.block_size)
    assert len(trace.parts) == len(trace.part_starts)
    assert trace.part_starts[0] == 0
    future = np.arange(num_blocks) > np.arange(tokens)[:, None] // trace.block_size
    own = np.arange(tokens) // trace.block_size
    for ranks in (trace.rank, trace.mass_rank):
        assert (ranks[..., future] == 255).all()
        np.testing.assert_array_equal(np.sort(ranks[0, 0, -1]), np.arange(num_blocks))
        assert (ranks[:, :, np.arange(tokens), own] == 0).all()
    assert (trace.mass[..., future] == 0).all()
    np.testing.assert_allclose(trace.mass.sum(axis=-1), 1, rtol=0, atol=5e-3)


def test_the_shipped_index_beats_the_window_on_the_shipped_text():
    """At 8 blocks it holds more of the attention than the last 8 blocks do."""
    trace = data.load_text_trace()
    tokens, num_blocks = trace.rank.shape[2:]
    own = np.arange(tokens)[:, None] // trace.block_size
    window = (np.arange(num_blocks) > own - 8) & (np.arange(num_blocks) <= own)
    rows = slice(8 * trace.block_size, None)
    learned = (trace.mass * (trace.rank < 8)).sum(axis=-1)[:, :, rows].mean()
    assert learned > (trace.mass * window).sum(axis=-1)[:, :, rows].mean()
