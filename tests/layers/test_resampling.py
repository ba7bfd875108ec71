"""Resampling as Caffe does it, against loops in NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from layer_checks import check_layer

from keras_wsss.layers.resampling import (
    CaffeAveragePooling,
    align_corners_matrix,
    resize_align_corners,
    resize_area,
)


@pytest.mark.parametrize("sizes", [(14, 41), (65, 513), (5, 3), (1, 4), (4, 1)])
def test_matrix_is_linear_interpolation_between_corners(sizes):
    source, target = sizes
    values = np.random.default_rng(0).normal(size=source)
    places = np.linspace(0, source - 1, target)
    expected = np.interp(places, np.arange(source), values)
    matrix = align_corners_matrix(source, target)
    assert matrix.shape == (target, source)
    np.testing.assert_allclose(matrix @ values, expected, atol=1e-5)


def test_corners_stay_where_they_are():
    maps = np.random.default_rng(0).normal(size=(2, 4, 5, 3))
    large = resize_align_corners(tf.constant(maps, tf.float32), 13, 17).numpy()
    assert large.shape == (2, 13, 17, 3)
    np.testing.assert_allclose(large[:, ::4, ::4], maps, atol=1e-5)


def test_average_counts_padded_zeros(tmp_path):
    maps = np.random.default_rng(0).normal(size=(2, 4, 5, 3))
    padded = np.pad(maps, [(0, 0), (1, 1), (1, 1), (0, 0)])
    expected = sum(
        padded[:, r : r + 4, c : c + 5] for r in range(3) for c in range(3)
    )
    layer = CaffeAveragePooling()
    result = layer(maps.astype(np.float32)).numpy()
    np.testing.assert_allclose(result, expected / 9, atol=1e-5)
    check_layer(CaffeAveragePooling(), maps.astype(np.float32), tmp_path)


@pytest.mark.parametrize("size", [(64, 48), (7, 5), (1, 1), (31, 50)])
def test_area_resizing_is_that_of_tensorflow(size):
    maps = np.random.default_rng(0).uniform(0, 255, (2, 64, 50, 3))
    maps = tf.constant(maps, tf.float32)
    expected = tf.image.resize(maps, size, method="area")
    # TensorFlow's own borders of cells are float32.
    np.testing.assert_allclose(resize_area(maps, size), expected, rtol=5e-5)
    assert resize_area(maps, tf.constant(size)).shape == expected.shape
