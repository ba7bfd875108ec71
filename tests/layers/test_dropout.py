"""Dropout with a state that checkpoints can find."""

import numpy as np
import pytest
import tensorflow as tf
from layer_checks import check_layer

from keras_wsss.layers.dropout import FixedNameDropout
from keras_wsss.training.devices import make_strategy


def test_drops_its_share_in_training_only():
    layer = FixedNameDropout(0.25, seed=0)
    ones = np.ones((100, 100), np.float32)
    np.testing.assert_array_equal(layer(ones), ones)
    dropped = layer(ones, training=True).numpy()
    assert set(np.unique(dropped)) == {0, np.float32(1 / 0.75)}
    assert np.mean(dropped == 0) == pytest.approx(0.25, abs=0.02)


def test_random_state_has_the_same_name_in_every_process():
    paths = [
        FixedNameDropout(0.5, name="drop").seed_generator.state.path
        for _ in range(2)
    ]
    assert paths[0] == paths[1]
    assert "drop_state" in paths[0]


def test_the_state_decides_what_is_dropped():
    layer = FixedNameDropout(0.5, name="drop")
    ones = np.ones((4, 50), np.float32)
    state = layer.seed_generator.state
    first = state.numpy()
    one, two = layer(ones, training=True), layer(ones, training=True)
    assert not np.array_equal(one, two)
    state.assign(first)
    np.testing.assert_array_equal(layer(ones, training=True), one)


def dropped_by(strategy, rows=6):
    """Two batches of ones, of all replicas together."""
    with strategy.scope():
        layer = FixedNameDropout(0.5, seed=3)
    ones = np.ones((rows // strategy.num_replicas_in_sync, 50), np.float32)

    @tf.function(autograph=False)
    def drop():
        return strategy.run(lambda: layer(ones, training=True))

    results = [strategy.experimental_local_results(drop()) for _ in range(2)]
    return np.array([np.concatenate(parts) for parts in results])


def test_two_replicas_drop_what_one_drops():
    one = dropped_by(tf.distribute.get_strategy())
    mirrored = make_strategy("mirrored")
    assert mirrored.num_replicas_in_sync == 2
    np.testing.assert_array_equal(dropped_by(mirrored), one)
    rows = {row.tobytes() for batch in one for row in batch}
    assert len(rows) == 12  # each draws for itself, each time


def test_layer_contract(tmp_path):
    check_layer(FixedNameDropout(0.5), np.ones((2, 3), np.float32), tmp_path)


def test_a_share_of_1_is_refused():
    with pytest.raises(ValueError, match="rate"):
        FixedNameDropout(1.0)
