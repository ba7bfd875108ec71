"""A tiny encoder and tiny pictures, the same in every process."""

from pathlib import Path

import cv2
import keras
import numpy as np

from keras_wsss.data.records import Record
from keras_wsss.layers.pooling import MaxPoolingWithSwitches


def make_encoder(seed=0, scale=0.5, symmetric=False, positive=False):
    """Five blocks of one convolution; features have 6 channels.

    Args:
        seed: decides the kernels.
        scale: of the features, relative to grey levels in [0, 1].
        symmetric: make kernels that are their own mirror images.
        positive: make kernels without negative values.
    """
    rng = np.random.default_rng(seed)
    inputs = keras.Input((None, None, 3))
    x, switches = inputs, []
    for block in range(5):
        convolution = keras.layers.Conv2D(
            6, 3, padding="same", activation="relu"
        )
        x = convolution(x)
        kernel = rng.normal(0, 0.3, convolution.kernel.shape)
        if symmetric:
            kernel = (kernel + kernel[:, ::-1]) / 2
        if positive:
            kernel = np.abs(kernel)
        convolution.set_weights([kernel, np.full(6, 0.1)])
        if block < 4:
            x, maps = MaxPoolingWithSwitches()(x)
            switches.append(maps)
    features = keras.layers.Rescaling(scale / 255)(x)
    return keras.Model(inputs, [features, *switches])


def write_pictures(folder: Path, count: int, side: int = 40) -> list[Record]:
    """Writes noise pictures of different shapes, as records without mask."""
    rng = np.random.default_rng(1)
    folder.mkdir(parents=True, exist_ok=True)
    records = []
    for number in range(count):
        path = folder / f"{number}.png"
        size = (side + number % 5, side + number % 3, 3)
        cv2.imwrite(str(path), rng.integers(0, 256, size, np.uint8))
        records.append(Record(str(number), path, "source", (1,)))
    return records
