"""Two encoders as one: meaning from the first, outlines from the second."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

from keras_wsss.encoders.encoder import Encoder
from keras_wsss.errors import ConfigError

if TYPE_CHECKING:
    import keras


class TwoEncoders(Encoder):
    """Features of one encoder, pooling switches of another.

    Attention, tagger and guide see the first; the decoder unpools by the
    second, whose input is shrunk so that both grids have the same cells.

    Args:
        first: gives the features.
        second: gives the levels, switches all of them.

    Raises:
        ConfigError: strides that do not fit, or a second without switches.
    """

    def __init__(self, first: Encoder, second: Encoder):
        self.name = f"{first.name}+{second.name}"
        if not second.levels or not all(x.switches for x in second.levels):
            raise ConfigError(
                f"config.model.encoder is '{self.name}': of two encoders the "
                f"second gives pooling switches, and {second.name} has none; "
                "take vgg16 or vgg_small."
            )
        if first.stride % second.stride:
            raise ConfigError(
                f"config.model.encoder is '{self.name}': the stride of the "
                f"first, {first.stride}, must be a multiple of that of the "
                f"second, {second.stride}."
            )
        self.first, self.second = first, second
        self._factor = first.stride // second.stride
        self.stride, self.channels = first.stride, first.channels
        self.pixels = first.pixels
        # The second sees the picture smaller; its levels count in pixels of
        # the first. What they undo ends before the whole size then.
        self.levels = tuple(
            dataclasses.replace(level, stride=level.stride * self._factor)
            for level in second.levels
        )

    def build(self, image_size: int | None = None) -> keras.Model:
        """Builds both without weights; see `Encoder.build`."""
        import keras

        self.check_size(image_size)
        first = self.first.build(image_size)
        smaller = None if image_size is None else image_size // self._factor
        second = self.second.build(smaller)
        outlines = keras.Model(
            second.input, second.outputs[1:], name=f"{self.second.name}_pools"
        )
        levels = outlines(_rescaled(self, first.input))
        name = self.name.replace("+", "_and_")
        model = keras.Model(first.input, [first.outputs[0], *levels], name=name)
        model.trainable = False
        return model

    def load_weights(
        self, model: keras.Model, path: str | os.PathLike[str] | None = None
    ) -> None:
        """Loads the weights of both; see `Encoder.load_weights`.

        Args:
            model: of `build`.
            path: two files with a "+" between, either of which may be left
                out: that encoder looks in its usual places.
        """
        files = str(path or "+").split("+")
        if len(files) != 2:
            raise ConfigError(
                f"--encoder_weights is {path}, but {self.name} takes two "
                "files: FIRST+SECOND, either may be empty."
            )
        for encoder, own in zip((self.first, self.second), files, strict=True):
            whole = encoder.build()
            encoder.load_weights(whole, own or None)
            weights = {layer.name: layer for layer in whole.layers}
            part = model
            if encoder is self.second:
                part = model.get_layer(f"{encoder.name}_pools")
            for layer in part.layers:
                if layer.weights and layer.name in weights:
                    layer.set_weights(weights[layer.name].get_weights())


def _rescaled(encoders: TwoEncoders, image):
    """The second's input from the first's: smaller, and of its scale."""
    import keras

    first, second = encoders.first.pixels, encoders.second.pixels
    x = image
    if encoders.stride > encoders.second.stride:
        factor = encoders.stride // encoders.second.stride
        x = keras.layers.AveragePooling2D(factor, name="smaller")(x)
    if first.bgr != second.bgr:
        x = keras.ops.flip(x, axis=-1)
    deviation, mean = first.deviation, first.mean
    if first.bgr != second.bgr:
        deviation, mean = deviation[::-1], mean[::-1]
    return keras.layers.Rescaling(
        [a / b for a, b in zip(deviation, second.deviation, strict=True)],
        [
            (a - b) / d
            for a, b, d in zip(mean, second.mean, second.deviation, strict=True)
        ],
        name="grey_levels",
    )(x)
