"""Hidden cells are drawn by the slot's seed alone, and hidden whole."""

import numpy as np
import pytest
import tensorflow as tf

from keras_wsss.data.hidden import HideAndSeek, hide


def test_cells_depend_on_the_seed_alone():
    first = HideAndSeek(4, 0.5).cells(7)
    HideAndSeek(4, 0.5).cells(8)
    np.testing.assert_array_equal(HideAndSeek(4, 0.5).cells(7), first)
    assert not np.array_equal(HideAndSeek(4, 0.5).cells(8), first)


def test_share_of_hidden_cells():
    cells = np.stack([HideAndSeek(4, 0.5).cells(seed) for seed in range(1000)])
    assert set(np.unique(cells)) == {0, 1}
    assert cells.mean() == pytest.approx(0.5, abs=0.02)
    # No cell is special.
    np.testing.assert_allclose(cells.mean(0), 0.5, atol=0.08)
    assert HideAndSeek(4, 0.0).cells(0).sum() == 0
    assert HideAndSeek(4, 1.0).cells(0).sum() == 16


def test_hidden_cells_become_the_mean_colour():
    images = np.random.default_rng(0).normal(50, 10, (2, 16, 16, 3))
    hidden = np.zeros((2, 4, 4), np.float32)
    hidden[0, 1, 2] = 1
    result = hide(tf.constant(images, tf.float32), hidden).numpy()
    expected = images.copy()
    expected[0, 4:8, 8:12] = 0
    np.testing.assert_allclose(result, expected, rtol=1e-6)
