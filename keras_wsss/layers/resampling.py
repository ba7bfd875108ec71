"""Caffe's resampling: align-corners bilinear, pooling over padded zeros."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from keras import ops


def align_corners_matrix(source: int, target: int) -> np.ndarray:
    """Weights of align-corners bilinear resizing along one axis.

    First and last cells of both grids coincide: cell r of the result lies at
    r (source - 1) / (target - 1), as in Caffe's Interp layer. TensorFlow's
    own resizing uses half-pixel centres.

    Args:
        source: cells of the input, at least 1.
        target: cells of the result, at least 1.

    Returns:
        float32 [target, source]; rows sum to 1.
    """
    places = np.linspace(0.0, source - 1.0, target)
    lower = np.minimum(np.floor(places).astype(int), max(source - 2, 0))
    share = places - lower
    matrix = np.zeros((target, source))
    rows = np.arange(target)
    matrix[rows, lower] = 1.0 - share
    matrix[rows, np.minimum(lower + 1, source - 1)] += share
    return matrix.astype(np.float32)


def resize_align_corners(maps, height: int, width: int):
    """Resizes maps by two small matrix products.

    Args:
        maps: float [B, h, w, K]; h and w known when the graph is built.
        height: rows of the result.
        width: columns of the result.

    Returns:
        float32 [B, height, width, K].
    """
    rows = align_corners_matrix(maps.shape[1], height)
    columns = align_corners_matrix(maps.shape[2], width)
    maps = ops.cast(maps, "float32")
    maps = ops.einsum("oh,bhwk->bowk", rows, maps)
    return ops.einsum("ow,bhwk->bhok", columns, maps)


def resize_area(maps: tf.Tensor, size: tf.Tensor | Sequence[int]) -> tf.Tensor:
    """Averages maps over the cells of another grid, by two matrix products.

    What `tf.image.resize(method="area")` computes, which has no kernel for
    GPUs and no rule for XLA.

    Args:
        maps: float32 [B, H, W, C].
        size: int32 [2]; rows h and columns w of the result.

    Returns:
        float32 [B, h, w, C].
    """
    shape = tf.shape(maps)
    batch, height, width = shape[0], shape[1], shape[2]
    channels = maps.shape[-1] or shape[3]
    rows = _overlaps(size[0], height)  # (h, H)
    columns = _overlaps(size[1], width)  # (w, W)
    # Rows first: most of the work is done once they are few.
    maps = tf.matmul(
        rows, tf.reshape(maps, [batch, height, width * channels])
    )  # (B, h, W C)
    maps = tf.matmul(
        columns, tf.reshape(maps, [batch, -1, width, channels])
    )  # (B, h, w, C)
    return maps


def _overlaps(cells: tf.Tensor | int, pixels: tf.Tensor) -> tf.Tensor:
    """Share of every cell that every pixel has, float32 [cells, pixels]."""
    # In units of 1 / cells of a pixel all borders are whole numbers.
    start = (tf.range(cells) * pixels)[:, None]
    pixel = (tf.range(pixels) * cells)[None]
    end = tf.minimum(start + pixels, pixel + cells)
    shared = tf.maximum(end - tf.maximum(start, pixel), 0)
    return tf.cast(shared, tf.float32) / tf.cast(pixels, tf.float32)


@keras.saving.register_keras_serializable("keras_wsss")
class CaffeAveragePooling(keras.layers.Layer):
    """3 x 3 average, stride 1, that counts the padded zeros.

    The divisor is 9 at the borders too, as in Caffe; "same" pooling of
    TensorFlow divides by the number of real cells.

    Call arguments:
        maps: float [B, h, w, C].

    Returns:
        Same shape and dtype.
    """

    def call(self, maps):
        """Averages; see the class."""
        padded = ops.pad(maps, [[0, 0], [1, 1], [1, 1], [0, 0]])
        return ops.average_pool(padded, 3, strides=1, padding="valid")

    def compute_output_spec(self, maps):
        """Shape and dtype of what `call` returns."""
        return keras.KerasTensor(maps.shape, self.compute_dtype)
