"""The models of `keras.applications` as frozen encoders."""

from __future__ import annotations

import functools
import os
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_wsss.data.views import PixelScale
from keras_wsss.encoders.encoder import Encoder, Level, frozen_model
from keras_wsss.encoders.layer_weights import assign_by_name, read_layer_weights
from keras_wsss.errors import ConfigError, first_line

if TYPE_CHECKING:
    import keras

# The network brings grey levels to its scale itself.
_GREY = PixelScale()
# As Keras has it; Caffe itself had slightly other means.
_CAFFE = PixelScale((103.939, 116.779, 123.68), bgr=True)
_UNIT = PixelScale((127.5,) * 3, (127.5,) * 3)  # -1 to 1
_TORCH = PixelScale((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))

_FAMILIES: dict[PixelScale, tuple[str, ...]] = {
    _GREY: (
        *(f"EfficientNetB{n}" for n in range(8)),
        *(f"EfficientNetV2{n}" for n in ("B0", "B1", "B2", "B3", *"SML")),
        *(f"ConvNeXt{n}" for n in ("Tiny", "Small", "Base", "Large", "XLarge")),
        "MobileNetV3Small",
        "MobileNetV3Large",
    ),
    _UNIT: ("MobileNet", "MobileNetV2", "ResNet50V2", "ResNet101V2"),
    _CAFFE: ("ResNet50", "ResNet101", "ResNet152", "VGG19"),
    _TORCH: ("DenseNet121", "DenseNet169", "DenseNet201"),
}
_STRIDE = 32  # of all of these
_LEVEL_STRIDES = (4, 8, 16)
_PROBE = 128  # pixels; small, and halved five times without a rest


class Application(Encoder):
    """A model of `keras.applications` without its top.

    Its levels are finer maps: what the model has last at strides 4, 8 and
    16, behind the sum or the stack that ends a block.

    Args:
        function: its name in `keras.applications`.
        pixels: the scale of pixels that it was trained with.
    """

    stride = _STRIDE

    def __init__(self, function: str, pixels: PixelScale):
        self.name = encoder_name(function)
        self.function = function
        self.pixels = pixels

    @functools.cached_property
    def _probe(self) -> keras.Model:
        return self._model(_PROBE)

    @functools.cached_property
    def channels(self) -> int:  # type: ignore[override]
        """D, of the model."""
        return self._probe.output.shape[-1]

    @functools.cached_property
    def levels(self) -> tuple[Level, ...]:  # type: ignore[override]
        """Its finer maps."""
        layers = self._probe.layers
        return tuple(
            Level(
                layers[index].output.shape[-1],
                stride,
                convolutions=2,
                switches=False,
            )
            for stride, index in self._level_layers.items()
        )

    @functools.cached_property
    def _level_layers(self) -> dict[int, int]:
        """Stride -> number of the layer that gives the map."""
        found: dict[int, int] = {}
        ends: dict[int, int] = {}
        for index, layer in enumerate(self._probe.layers):
            shape: Any = getattr(layer.output, "shape", ())
            if len(shape) != 4 or shape[1] is None or _PROBE % shape[1]:
                continue
            stride = _PROBE // shape[1]
            found[stride] = index
            if type(layer).__name__ in ("Add", "Concatenate"):
                ends[stride] = index
        found |= ends
        return {s: found[s] for s in _LEVEL_STRIDES if s in found}

    def build(self, image_size: int | None = None) -> keras.Model:
        """Builds it without weights; see `Encoder.build`."""
        self.check_size(image_size)
        model = self._model(image_size)
        maps = [model.layers[i].output for i in self._level_layers.values()]
        return frozen_model(model.input, model.output, maps, self.name)

    def load_weights(
        self, model: keras.Model, path: str | os.PathLike[str] | None = None
    ) -> None:
        """Loads the weights of a file, or downloads those of ImageNet.

        Args:
            model: of `build`.
            path: `.weights.h5` or `.h5` of the model without its top; None
                takes what `keras.applications` downloads.

        Raises:
            ConfigError: no file and no download, or another network.
        """
        if path:
            assign_by_name(model, read_layer_weights(path), path)
            return
        weights = downloaded(self.function)
        layers = [
            layer
            for layer in model.layers
            if layer.weights and not getattr(layer, "from_data", False)
        ]
        # Published models count their unnamed layers on, see `_Names`.
        for layer, arrays in zip(layers, weights.values(), strict=True):
            layer.set_weights(arrays)

    def _model(self, image_size: int | None) -> keras.Model:
        import keras

        make = getattr(keras.applications, self.function)
        model = make(
            include_top=False,
            weights=None,
            input_shape=(image_size, image_size, 3),
        )
        return keras.models.clone_model(model, clone_function=_Names())


class _Names:
    """Copies layers, numbering those that Keras names as in a new process.

    Keras counts layers without a name of their own over all models of a
    process; files of weights and run folders know them by their names.
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def __call__(self, layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        kind = _snake_case(type(layer).__name__)
        if re.fullmatch(rf"{kind}(_\d+)?", layer.name):
            count = self._counts.get(kind, 0)
            self._counts[kind] = count + 1
            config["name"] = f"{kind}_{count}" if count else kind
        return type(layer).from_config(config)


def _snake_case(name: str) -> str:
    """LayerNormalization to layer_normalization, as Keras does."""
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def encoder_name(function: str) -> str:
    """`config.model.encoder` of a function of `keras.applications`.

    ConvNeXtTiny is convnext_tiny, EfficientNetV2B0 efficientnetv2b0.
    """
    for size in ("Tiny", "Small", "Base", "XLarge", "Large"):
        if function.endswith(size):
            return f"{function.removesuffix(size)}_{size}".lower()
    return function.lower()


APPLICATIONS: dict[str, tuple[str, PixelScale]] = {
    encoder_name(function): (function, pixels)
    for pixels, functions in _FAMILIES.items()
    for function in functions
}


@functools.cache
def application(name: str) -> Application:
    """The encoder called `name`. Raises `KeyError`."""
    return Application(*APPLICATIONS[name])


def downloaded(function: str, remedy: str = "") -> dict[str, list[np.ndarray]]:
    """ImageNet weights of a model of `keras.applications`, by layer name.

    Raises:
        ConfigError: they are not on this machine and cannot be downloaded.
    """
    import keras

    make: Any = getattr(keras.applications, function)
    try:
        published = make(include_top=False, weights="imagenet")
    except Exception as error:  # Keras wraps every network failure in this
        name = encoder_name(function)
        raise ConfigError(
            f"The ImageNet weights of {function} are neither on this machine "
            f"nor could they be downloaded ({first_line(error)}). Fetch them "
            "on a machine with internet by `keras.applications."
            f"{function}(include_top=False).save_weights('{name}.weights.h5')"
            f"`, then give the file with --encoder_weights{remedy}."
        ) from error
    return {
        layer.name: layer.get_weights()
        for layer in published.layers
        if layer.weights
    }
