"""Hide-and-Seek: which cells of a picture a training step does not see."""

import numpy as np
import tensorflow as tf

from keras_wsss.data.sampling import random_words

_HIDE_STREAM = 1  # `keras_wsss.data.views` takes 0 of the same seed


def hidden_cells(seed: int, grid: int, probability: float) -> np.ndarray:
    """Draws the cells to hide, each on its own.

    Args:
        seed: of a slot of a step, see `PairBatch.seed`; it decides the cells
            together with the other arguments.
        grid: cells along a side, 4 in the release.
        probability: of hiding a cell, 0.5 in the release.

    Returns:
        float32 [grid, grid], 1 for hidden.
    """
    words = random_words(
        grid * grid, seed=seed, stream=_HIDE_STREAM, position=0
    )
    unit = (words >> np.uint64(11)).astype(np.float64) / 2.0**53  # [0, 1)
    return (unit < probability).astype(np.float32).reshape(grid, grid)


def hide(images: tf.Tensor, hidden: tf.Tensor) -> tf.Tensor:
    """Fills hidden cells with 0, which is the mean colour.

    The release leaves gaps of one pixel between cells and fills in the mean
    after it was subtracted; here cells are whole and take the mean colour
    itself, as Hide-and-Seek (Singh & Lee, ICCV 2017) intends (spec 2).

    Args:
        images: float [B, a, a, 3], mean subtracted; the grid divides a.
        hidden: float [B, grid, grid], 1 for hidden.

    Returns:
        Same shape and dtype as `images`.
    """
    side = images.shape[1] // hidden.shape[1]
    seen = tf.repeat(tf.repeat(1.0 - hidden, side, axis=1), side, axis=2)
    return images * tf.cast(seen, images.dtype)[..., None]
