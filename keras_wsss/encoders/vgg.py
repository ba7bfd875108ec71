"""The frozen VGG encoders: features, and the switches of four pools."""

import dataclasses
import hashlib
import os
from pathlib import Path

import keras
import numpy as np

from keras_wsss.encoders.layer_weights import assign_by_name, read_layer_weights
from keras_wsss.errors import ConfigError
from keras_wsss.layers.pooling import MaxPoolingWithSwitches

ENCODER_WEIGHTS_VARIABLE = "KERAS_WSSS_VGG16"
STRIDE = 16  # four 2 x 2 pools


@dataclasses.dataclass(frozen=True)
class Block:
    """Convolutions of one resolution: 3 x 3, 'same' padding, ReLU.

    Attributes:
        filters: output channels of every convolution of the block.
        convolutions: how many of them.
        dilation: dilation rate of the convolutions.
    """

    filters: int
    convolutions: int
    dilation: int = 1


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A VGG: five blocks with a pool after each but the last.

    Attributes:
        blocks: the blocks; layer names are block1_conv1, block1_conv2, ...
            and block1_pool, ..., as in `keras.applications`.
        feature_scale: constant factor that brings the activations of the
            last ReLU near [0, 1].
    """

    blocks: tuple[Block, ...]
    feature_scale: float

    @property
    def channels(self) -> int:
        """D, channels of the features."""
        return self.blocks[-1].filters


ARCHITECTURES = {
    # Simonyan & Zisserman 2015, configuration D, up to conv5_3. The factor
    # is the one of the TransferNet release.
    "vgg16": Architecture(
        (
            Block(64, 2),
            Block(128, 2),
            Block(256, 3),
            Block(512, 3),
            Block(512, 3),
        ),
        feature_scale=0.004,
    ),
    # 1/20 of the parameters, for the demo and for tests. Its weights are
    # learned by `keras_wsss.encoders.pretrain_vgg_small`, which brings the
    # activations near [0, 1] itself.
    "vgg_small": Architecture(
        (
            Block(16, 1),
            Block(32, 1),
            Block(64, 2),
            Block(128, 2),
            Block(160, 2),
        ),
        feature_scale=1.0,
    ),
}

# Statistics of the ImageNet weights that keras.applications publishes:
# another VGG-16 of the same shape (other channel order, other training)
# would load without a complaint and ruin the results.
_VGG16_STATISTICS = {
    "mean of the block5_conv3 kernel": -0.0010818949,
    "standard deviation of the block5_conv3 kernel": 0.008478405,
    "mean of the block5_conv3 bias": 0.14986369,
    "maximum of the block5_conv3 bias": 9.431553,
}


def architecture(name: str) -> Architecture:
    """The architecture called `name`. Raises `ConfigError` if unknown."""
    if name not in ARCHITECTURES:
        raise ConfigError(
            f"Unknown encoder '{name}'; use one of "
            f"{', '.join(sorted(ARCHITECTURES))}."
        )
    return ARCHITECTURES[name]


def build_encoder(name: str, image_size: int | None = None) -> keras.Model:
    """Builds a frozen encoder without loading its weights.

    Input: float32 [B, S, S, 3], BGR, means subtracted. Outputs, as a list:
    features, float32 [B, S / 16, S / 16, D], after the ReLU and scaled near
    [0, 1], and the switches of pools 1 to 4, uint8 [B, S / 2, S / 2, C1] to
    [B, S / 16, S / 16, C4], in 0 to 3.

    Args:
        name: "vgg16" (D = 512) or "vgg_small" (D = 160).
        image_size: S, a multiple of 16; None takes any multiple of 16, also
            of different height and width.

    Returns:
        A functional model with `trainable = False`.

    Raises:
        ConfigError: unknown name, or a size that four pools cannot halve.

    Reference:
        Hong et al., CVPR 2016, section 4.
    """
    blocks = architecture(name).blocks
    if image_size is not None and (image_size <= 0 or image_size % STRIDE):
        raise ConfigError(
            f"image_size {image_size} is not a positive multiple of {STRIDE}, "
            f"which the four pools of {name} need; use "
            f"{max(STRIDE, round(image_size / STRIDE) * STRIDE)}."
        )
    inputs = keras.Input((image_size, image_size, 3), name="image")
    x, switches = inputs, []
    for number, block in enumerate(blocks, start=1):
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
        if number < len(blocks):
            pool = MaxPoolingWithSwitches(name=f"block{number}_pool")
            x, pool_switches = pool(x)
            switches.append(pool_switches)
    # float32 whatever the precision policy: the features are small numbers
    # whose products (the densified attention) are smaller still.
    features = keras.layers.Rescaling(
        architecture(name).feature_scale, dtype="float32", name="features"
    )(x)
    model = keras.Model(inputs, [features, *switches], name=name)
    model.trainable = False
    return model


def load_encoder_weights(
    model: keras.Model,
    name: str,
    path: str | os.PathLike[str] | None = None,
    check_statistics: bool = True,
) -> None:
    """Loads the learned weights of an encoder, by layer name.

    For vgg16, in this order: `path`; the file named by the environment
    variable KERAS_WSSS_VGG16; the ImageNet weights in the download cache of
    `keras.applications`, which downloads them when they are missing. For
    vgg_small: `path`, or the weights that come with the package.

    Args:
        model: a model with the layers of `build_encoder(name)`; it may have
            more layers.
        name: "vgg16" or "vgg_small".
        path: `.weights.h5` of Keras 3 or the older `.h5`, with layers named
            block1_conv1 and so on; other layers in it are ignored.
        check_statistics: for vgg16, refuse weights other than the published
            ImageNet ones. Switch off to load your own VGG-16.

    Raises:
        ConfigError: no file and no download, a file that cannot be read or
            that holds other layers, shapes or values.
    """
    architecture(name)
    if path is None and name == "vgg16":
        path = os.environ.get(ENCODER_WEIGHTS_VARIABLE) or None
    if path is not None:
        assign_by_name(model, read_layer_weights(path), path)
        origin = str(path)
    elif name == "vgg_small":
        path = Path(__file__).with_name("vgg_small.weights.h5")
        assign_by_name(model, read_layer_weights(path), path)
        origin = str(path)
    else:
        assign_by_name(model, _downloaded_vgg16(), "keras.applications.VGG16")
        origin = "keras.applications.VGG16"
    if name == "vgg16" and check_statistics:
        _check_vgg16_statistics(model, origin)


def weights_digest(model: keras.Model) -> str:
    """SHA-256 of a model's weights, for the keys of caches.

    Args:
        model: any built model.

    Returns:
        64 hexadecimal digits, a function of the values, shapes, dtypes and
        order of the weights, not of their names.
    """
    digest = hashlib.sha256()
    for variable in model.weights:
        array = np.ascontiguousarray(keras.ops.convert_to_numpy(variable))
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _downloaded_vgg16() -> dict[str, list[np.ndarray]]:
    """ImageNet weights of `keras.applications`, by layer name."""
    try:
        published = keras.applications.VGG16(
            include_top=False, weights="imagenet"
        )
    except Exception as error:  # Keras wraps every network failure in this
        raise ConfigError(
            "The ImageNet weights of VGG-16 are neither on this machine nor "
            f"could they be downloaded ({_first_line(error)}). Fetch them on "
            "a machine with internet by `keras.applications.VGG16("
            "include_top=False).save_weights('vgg16.weights.h5')`, then give "
            "the file with --encoder_weights or in the environment variable "
            f"{ENCODER_WEIGHTS_VARIABLE}."
        ) from error
    return {
        layer.name: layer.get_weights()
        for layer in published.layers
        if layer.weights
    }


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


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
