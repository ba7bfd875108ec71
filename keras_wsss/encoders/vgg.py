"""The frozen VGG encoders: features, and the switches of four pools."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_wsss.encoders.applications import downloaded
from keras_wsss.encoders.encoder import Block, Encoder, Level
from keras_wsss.encoders.layer_weights import assign_by_name, read_layer_weights
from keras_wsss.errors import ConfigError

if TYPE_CHECKING:
    import keras

ENCODER_WEIGHTS_VARIABLE = "KERAS_WSSS_VGG16"

# Statistics of the ImageNet weights that keras.applications publishes:
# another VGG-16 of the same shape (other channel order, other training)
# would load without a complaint and ruin the results.
_VGG16_STATISTICS = {
    "mean of the block5_conv3 kernel": -0.0010818949,
    "standard deviation of the block5_conv3 kernel": 0.008478405,
    "mean of the block5_conv3 bias": 0.14986369,
    "maximum of the block5_conv3 bias": 9.431553,
}
# fc1 and fc2 of keras.applications.VGG16.
_HEAD_SHAPES = {"fc1": (7 * 7 * 512, 4096), "fc2": (4096, 4096)}


class Vgg(Encoder):
    """A VGG: blocks of convolutions with a pool after each but the last.

    Args:
        name: of the encoder.
        blocks: the blocks; layer names are block1_conv1, block1_conv2, ...
            and block1_pool, ..., as in `keras.applications`.
        feature_scale: see `Encoder`.
        head_units: see `Encoder`.

    Reference:
        Hong et al., CVPR 2016, section 4.
    """

    def __init__(
        self,
        name: str,
        blocks: tuple[Block, ...],
        feature_scale: float,
        head_units: int,
    ):
        self.name = name
        self.blocks = blocks
        self.feature_scale = feature_scale
        self.head_units = head_units
        self.channels = blocks[-1].filters
        self.stride = 2 ** (len(blocks) - 1)
        self.levels = tuple(
            Level(block.filters, 2**number, block.convolutions)
            for number, block in enumerate(blocks[:-1], start=1)
        )

    def build(self, image_size: int | None = None) -> keras.Model:
        """Builds it without weights; see `Encoder.build`."""
        import keras

        from keras_wsss.layers.pooling import MaxPoolingWithSwitches

        self.check_size(image_size)
        inputs = keras.Input((image_size, image_size, 3), name="image")
        x, switches = inputs, []
        for number, block in enumerate(self.blocks, start=1):
            for convolution in range(1, block.convolutions + 1):
                x = keras.layers.Conv2D(
                    block.filters,
                    3,
                    padding="same",
                    dilation_rate=block.dilation,
                    activation="relu",
                    kernel_initializer="he_normal",
                    name=f"block{number}_conv{convolution}",
                )(x)
            if number < len(self.blocks):
                pool = MaxPoolingWithSwitches(name=f"block{number}_pool")
                x, pool_switches = pool(x)
                switches.append(pool_switches)
        # float32 whatever the precision policy: the features are small
        # numbers whose products (the densified attention) are smaller still.
        features = keras.layers.Rescaling(
            self.feature_scale, dtype="float32", name="features"
        )(x)
        model = keras.Model(inputs, [features, *switches], name=self.name)
        model.trainable = False
        return model

    def load_weights(
        self, model: keras.Model, path: str | os.PathLike[str] | None = None
    ) -> None:
        """Loads learned weights by layer name; see `Encoder.load_weights`.

        Args:
            model: has the layers of `build`.
            path: `.weights.h5` of Keras 3 or the older `.h5`, with layers
                named block1_conv1 and so on; other layers in it are ignored.
                None takes the weights that come with the package.

        Raises:
            ConfigError: a file that cannot be read or that holds other
                layers, shapes or values.
        """
        path = path or Path(__file__).with_name(f"{self.name}.weights.h5")
        assign_by_name(model, read_layer_weights(path), path)


class Vgg16(Vgg):
    """The published VGG-16, with the ImageNet weights of Keras."""

    def load_weights(
        self,
        model: keras.Model,
        path: str | os.PathLike[str] | None = None,
        check_statistics: bool = True,
    ) -> None:
        """Loads the ImageNet weights by layer name.

        In this order: `path`; the file named by the environment variable
        KERAS_WSSS_VGG16; the download cache of `keras.applications`, which
        downloads them when they are missing.

        Args:
            model: see `Vgg.load_weights`, as is the other.
            path: the file.
            check_statistics: refuse weights other than the published ones.
                Switch off to load your own VGG-16.

        Raises:
            ConfigError: no file and no download, a file that cannot be read
                or that holds other layers, shapes or values.
        """
        path = path or os.environ.get(ENCODER_WEIGHTS_VARIABLE)
        origin = str(path or "keras.applications.VGG16")
        remedy = f" or in the environment variable {ENCODER_WEIGHTS_VARIABLE}"
        weights = (
            read_layer_weights(path) if path else downloaded("VGG16", remedy)
        )
        assign_by_name(model, weights, origin)
        if check_statistics:
            _check_vgg16_statistics(model, origin)

    def head_weights(self, path: str | os.PathLike[str] | None = None):
        """fc1 and fc2; None for a file of the convolutions only.

        Raises:
            ConfigError: a file that cannot be read, or other shapes.
        """
        path = path or os.environ.get(ENCODER_WEIGHTS_VARIABLE)
        if not path:
            # The download of keras.applications has the convolutions only.
            return None
        weights = read_layer_weights(path)
        if not _HEAD_SHAPES.keys() <= weights.keys():
            return None
        for layer, shape in _HEAD_SHAPES.items():
            found = [np.shape(array) for array in weights[layer]]
            if found != [shape, shape[1:]]:
                raise ConfigError(
                    f"{path}: layer '{layer}' has shapes {found}, but the one "
                    f"of VGG-16 has {[shape, shape[1:]]}; give the weights of "
                    "keras.applications.VGG16, with or without top."
                )
        return weights["fc1"], weights["fc2"]


# Simonyan & Zisserman 2015, configuration D, up to conv5_3. The factor is the
# one of the TransferNet release.
VGG16 = Vgg16(
    "vgg16",
    (
        Block(64, 2),
        Block(128, 2),
        Block(256, 3),
        Block(512, 3),
        Block(512, 3),
    ),
    feature_scale=0.004,
    head_units=1024,
)
# 1/20 of the parameters, for the demo and for tests. Its weights are learned
# by `benchmarks.pretrain_vgg_small`, which brings the activations
# near [0, 1] itself.
VGG_SMALL = Vgg(
    "vgg_small",
    (
        Block(16, 1),
        Block(32, 1),
        Block(64, 2),
        Block(128, 2),
        Block(160, 2),
    ),
    feature_scale=1.0,
    head_units=192,
)


def _check_vgg16_statistics(model: keras.Model, origin: str) -> None:
    kernel, bias = model.get_layer("block5_conv3").get_weights()
    found = (kernel.mean(), kernel.std(), bias.mean(), bias.max())
    for value, (what, published) in zip(
        found, _VGG16_STATISTICS.items(), strict=True
    ):
        if not np.isclose(value, published, rtol=1e-4, atol=0):
            raise ConfigError(
                f"{origin}: the {what} is {value:.8g}, but the published "
                f"ImageNet weights have {published:.8g}. Give the VGG-16 "
                "weights of keras.applications (include_top=False)."
            )
