"""What systems, data and the feature cache ask of an encoder.

What it says of itself (stride, channels, ...) needs no TensorFlow, so that a
config is checked without waiting for it.
"""

from __future__ import annotations

import abc
import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_wsss.data.views import CAFFE, PixelScale, ViewSpec
from keras_wsss.errors import ConfigError

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Level:
    """What an encoder gives beside its features, of one finer resolution.

    Attributes:
        channels: of the maps.
        stride: pixels of the input per cell.
        convolutions: how many the encoder has at the pool's input, which is
            how many a decoder has after undoing it.
        switches: whether the maps are the switches of a 2 x 2 pool, by which
            a decoder unpools; otherwise they are features, which it sees.
    """

    channels: int
    stride: int
    convolutions: int = 1
    switches: bool = True

    @property
    def undone(self) -> int:
        """Stride of what a decoder has after using the level."""
        return self.stride // 2 if self.switches else self.stride


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


class Encoder(abc.ABC):
    """A frozen network from pictures to features.

    `keras_wsss.encoders.register_encoder` makes one known; docs/systems.md
    shows one in a few lines.

    Attributes:
        name: value of `config.model.encoder`.
        stride: pixels of the input per cell of the features.
        channels: D, channels of the features.
        pixels: how grey levels become its input.
        levels: what it gives besides of finer resolutions, the finest first.
            Pools halve the input one after the other down to the stride; maps
            of features are of another stride each.
        blocks: where it is a plain chain of convolutions with a 2 x 2 pool
            after each block but the last, the blocks; layers are called
            block1_conv1, block1_conv2, ...
        feature_scale: factor that brings the activations of the last block
            near [0, 1], for those who build the blocks themselves.
        head_units: width of fully connected layers on top of the blocks.
    """

    name: str
    stride: int
    channels: int
    pixels: PixelScale = CAFFE
    levels: tuple[Level, ...] = ()
    blocks: tuple[Block, ...] = ()
    feature_scale: float = 1.0
    head_units: int = 1024

    @abc.abstractmethod
    def build(self, image_size: int | None = None) -> keras.Model:
        """Builds the encoder, frozen, without loading its weights.

        Args:
            image_size: S, a multiple of the stride; None takes any multiple,
                also of different height and width.

        Returns:
            A functional model with `trainable = False` from float32
            [B, S, S, 3], as `preprocess` makes them, to a list: features,
            float32 [B, S / stride, S / stride, D], near [0, 1]; then of each
            level the maps [B, side, side, channels]: switches, uint8, 0 to 3,
            or features, float32.

        Raises:
            ConfigError: a size that does not fit.
        """

    @abc.abstractmethod
    def load_weights(
        self, model: keras.Model, path: str | os.PathLike[str] | None = None
    ) -> None:
        """Loads learned weights.

        Args:
            model: a model with the layers of `build`; it may have more.
            path: the file; None looks in the encoder's usual places.

        Raises:
            ConfigError: no file, or one that does not fit.
        """

    def head_weights(
        self, path: str | os.PathLike[str] | None = None
    ) -> tuple[list[np.ndarray], list[np.ndarray]] | None:
        """Kernel and bias of two fully connected layers behind the features.

        Args:
            path: see `load_weights`.

        Returns:
            [7 * 7 * D, 4096] and [4096]; [4096, 4096] and [4096]; or None
            where the weights have no such layers.
        """
        return None

    def views(self, image_size: int, **options: Any) -> ViewSpec:
        """Its input, as views of pictures; options are further fields."""
        return ViewSpec(
            image_size, stride=self.stride, pixels=self.pixels, **options
        )

    def preprocess(self, image: tf.Tensor) -> tf.Tensor:
        """From RGB grey levels [..., 3], 0 to 255, to float32 input."""
        from keras_wsss.data import preprocess

        return preprocess.to_encoder_input(image, self.pixels)

    def check_size(self, image_size: int | None) -> None:
        """Raises `ConfigError` unless the stride divides a side in pixels."""
        stride = self.stride
        if image_size is not None and (image_size <= 0 or image_size % stride):
            raise ConfigError(
                f"image_size {image_size} is not a positive multiple of "
                f"{stride}, which the stride of {self.name} needs; use "
                f"{max(stride, round(image_size / stride) * stride)}."
            )


def frozen_model(
    image: keras.KerasTensor,
    features: keras.KerasTensor,
    maps: Sequence[keras.KerasTensor],
    name: str,
) -> keras.Model:
    """The model of `Encoder.build`, where a run finds out the scales.

    Args:
        image: its input.
        features: of any scale.
        maps: features of the levels, of any scale.
        name: of the model.
    """
    import keras

    from keras_wsss.layers.feature_scale import FEATURES_RMS, FeatureScale

    scaled = [FeatureScale(FEATURES_RMS, name="features")(features)]
    for number, level in enumerate(maps, start=1):
        scaled.append(FeatureScale(1.0, name=f"level{number}")(level))
    model = keras.Model(image, scaled, name=name)
    model.trainable = False
    return model


# These say nothing of what a layer computes.
_IGNORED = ("name", "trainable", "build_config", "layers")


def encoder_digest(encoder: keras.Model) -> str:
    """Hexadecimal SHA-256 of a model's layers, their settings and weights.

    It changes whenever the model computes something else. Names do not count:
    they depend on what else the process has built.
    """
    digest = hashlib.sha256()
    layers = [_describe(layer) for layer in encoder.layers]
    digest.update(json.dumps(layers, sort_keys=True, default=str).encode())
    for weight in encoder.weights:
        value = np.ascontiguousarray(weight.value.numpy())
        digest.update(f"{value.dtype.str} {value.shape}".encode())
        digest.update(value.data)
    return digest.hexdigest()


def _describe(layer: keras.layers.Layer) -> list[Any]:
    config = {
        name: value
        for name, value in layer.get_config().items()
        if name not in _IGNORED and not name.endswith("_layers")
    }
    inner = [_describe(part) for part in getattr(layer, "layers", [])]
    return [type(layer).__name__, config, inner]
