"""Dropout with a state that checkpoints can find."""

import numpy as np
import pytest
from layer_checks import check_layer

from keras_wsss.layers.dropout import FixedNameDropout


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


def test_layer_contract(tmp_path):
    check_layer(FixedNameDropout(0.5), np.ones((2, 3), np.float32), tmp_path)


def test_a_share_of_1_is_refused():
    with pytest.raises(ValueError, match="rate"):
        FixedNameDropout(1.0)
