"""The shipped results of training: they fit each other, the captured text and the package."""

import numpy as np

from msa_ref import data, dense, selection


def test_the_shipped_progress_is_of_the_captured_text():
    progress = data.load_progress()
    assert progress.layers.tolist() == data.captured_layers()
    assert progress.best.shape[2] == len(data.load_text()["words"])
    assert progress.steps[0] == 0
    assert (np.diff(progress.steps) > 0).all()
    assert (progress.chosen.sum(axis=-1) <= progress.top_k).all()
    own = np.arange(progress.best.shape[2]) // progress.block_size
    assert progress.chosen[..., np.arange(len(own)), own].all()
    assert (progress.score_recall[-1] > progress.score_recall[0]).all()


def test_the_shipped_best_blocks_are_those_of_the_captured_attention():
    """But for queries whose masses are near ties: the capture is in float16."""
    progress = data.load_progress()
    for place, layer in enumerate(progress.layers.tolist()):
        q, k, _ = data.load_capture(layer)
        weights, _ = dense.attention_weights(q, k)
        sizes = {"block_size": progress.block_size}
        mass = selection.block_mass(weights, num_kv_heads=k.shape[1], **sizes)[0]
        best = np.sort(mass, axis=-1)[..., -progress.top_k :].sum(axis=-1)
        own = selection.select_blocks(
            mass[None], top_k=progress.top_k, num_keys=q.shape[2], **sizes
        )
        right = selection.captured_mass(own, mass[None])[0]
        held = (mass * progress.best[place]).sum(axis=-1)
        assert (held <= best + 1e-6).all()
        np.testing.assert_allclose(held, right, rtol=0, atol=5e-3)


def test_the_shipped_reading_is_whole():
    reading = data.load_reading()
    layers, _, tokens, num_blocks = reading.rank.shape
    assert len(reading.words) == tokens
    assert len(reading.layers) == layers
    assert num_blocks == -(-tokens // reading.block_size)
    assert len(reading.parts) == len(reading.part_starts)
    assert reading.part_starts[0] == 0
    future = np.arange(num_blocks) > np.arange(tokens)[:, None] // reading.block_size
    own = np.arange(tokens) // reading.block_size
    for ranks in (reading.rank, reading.mass_rank):
        assert (ranks[..., future] == 255).all()
        np.testing.assert_array_equal(np.sort(ranks[0, 0, -1]), np.arange(num_blocks))
        assert (ranks[:, :, np.arange(tokens), own] == 0).all()
    assert (reading.mass[..., future] == 0).all()
    np.testing.assert_allclose(reading.mass.sum(axis=-1), 1, rtol=0, atol=5e-3)


def test_the_shipped_index_beats_the_window_on_the_shipped_text():
    """At 8 blocks it holds more of the attention than the last 8 blocks do."""
    reading = data.load_reading()
    tokens, num_blocks = reading.rank.shape[2:]
    own = np.arange(tokens)[:, None] // reading.block_size
    window = (np.arange(num_blocks) > own - 8) & (np.arange(num_blocks) <= own)
    rows = slice(8 * reading.block_size, None)
    learned = (reading.mass * (reading.rank < 8)).sum(axis=-1)[:, :, rows].mean()
    assert learned > (reading.mass * window).sum(axis=-1)[:, :, rows].mean()
