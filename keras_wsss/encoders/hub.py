"""Image backbones of keras-hub as frozen encoders: `hub:PRESET`."""

from __future__ import annotations

import functools
import os
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_wsss.data.views import PixelScale
from keras_wsss.encoders.encoder import Encoder, Level, frozen_model
from keras_wsss.errors import ConfigError, first_line

if TYPE_CHECKING:
    import keras

PREFIX = "hub:"
_PROBE = 128  # pixels, to see the stride of maps


class HubBackbone(Encoder):
    """A backbone of keras-hub, by the name or the folder of its preset.

    Backbones that give a pyramid of maps have those of strides 4, 8 and 16
    as levels. Those that give tokens (ViTs) have a grid of patches, and as
    levels the picture's own pixels, gathered at a half and a quarter of the
    patch: colours tell edges, and name no category.

    Args:
        preset: what `keras_hub.models.Backbone.from_preset` takes.
    """

    def __init__(self, preset: str):
        self.name = PREFIX + preset
        self.preset = preset

    @functools.cached_property
    def _probe(self) -> Any:
        return self._backbone(None, load_weights=False)

    @functools.cached_property
    def stride(self) -> int:  # type: ignore[override]
        """Pixels per cell, or the side of a patch."""
        patch = getattr(self._probe, "patch_size", None)
        if len(_output(self._probe).shape) == 3 and patch:
            return patch if isinstance(patch, int) else patch[0]
        probe = self._backbone(_PROBE, load_weights=False)
        return _PROBE // _output(probe).shape[1]

    @functools.cached_property
    def channels(self) -> int:  # type: ignore[override]
        """D, of the backbone."""
        return _output(self._probe).shape[-1]

    @functools.cached_property
    def pixels(self) -> PixelScale:  # type: ignore[override]
        """What the preset's image converter does."""
        try:
            converter = _keras_hub().layers.ImageConverter.from_preset(
                self.preset
            )
        except Exception as error:
            raise ConfigError(
                f"{self.name}: the preset says nothing of its scale of pixels "
                f"({first_line(error)}); add an image converter to it."
            ) from error
        scale = np.broadcast_to(
            1.0 if converter.scale is None else converter.scale, 3
        )
        offset = np.broadcast_to(
            0.0 if converter.offset is None else converter.offset, 3
        )
        mean, deviation = (-offset / scale).tolist(), (1 / scale).tolist()
        return PixelScale(tuple(mean), tuple(deviation))

    @functools.cached_property
    def levels(self) -> tuple[Level, ...]:  # type: ignore[override]
        """A pyramid's maps, or pixels."""
        pyramid = _pyramid(self._probe, self.stride)
        sizes = {stride: maps.shape[-1] for stride, maps in pyramid.items()}
        if not sizes:
            sizes = {
                self.stride // part: 3 * (self.stride // part) ** 2
                for part in (4, 2)
                if self.stride % part == 0
            }
        return tuple(
            Level(channels, stride, convolutions=2, switches=False)
            for stride, channels in sizes.items()
        )

    def build(self, image_size: int | None = None) -> keras.Model:
        """Builds it without weights; see `Encoder.build`."""
        import keras

        self.check_size(image_size)
        backbone = self._backbone(image_size, load_weights=False)
        image = keras.Input((image_size, image_size, 3), name="image")
        pyramid = _pyramid(backbone, self.stride)
        if pyramid:
            backbone = keras.Model(
                backbone.inputs, [_output(backbone), *pyramid.values()]
            )
        backbone.name = "backbone"
        named = isinstance(backbone.input, dict)
        outputs = backbone({"images": image} if named else image)
        features, *maps = outputs if pyramid else [outputs]
        if isinstance(features, dict):
            features = features["sequence_output"]
        if len(features.shape) == 3:
            features = _grid(features, image, self.stride)
            maps = [_gathered(image, level.stride) for level in self.levels]
        name = re.sub(r"\W+", "_", self.name)
        return frozen_model(image, features, maps, name)

    def load_weights(
        self, model: keras.Model, path: str | os.PathLike[str] | None = None
    ) -> None:
        """Loads the preset's weights.

        Args:
            model: of `build`.
            path: None; the preset has its weights.

        Raises:
            ConfigError: a path, a preset that cannot be had, or one whose
                weights are bound to another size.
        """
        if path:
            raise ConfigError(
                f"--encoder_weights is {path}, but {self.name} has the weights "
                f"of its preset; name another preset, or its folder, as "
                f"{PREFIX}FOLDER."
            )
        size = model.input.shape[1]
        loaded = self._backbone(size, load_weights=True)
        model.get_layer("backbone").set_weights(loaded.get_weights())

    def _backbone(self, image_size: int | None, load_weights: bool) -> Any:
        options: dict[str, Any] = {"load_weights": load_weights}
        if image_size is not None:
            options["image_shape"] = (image_size, image_size, 3)
        try:
            return _keras_hub().models.Backbone.from_preset(
                self.preset, **options
            )
        except Exception as error:  # of a download, of a file, of a shape
            size = f" at {image_size} pixels" if image_size else ""
            raise ConfigError(
                f"{self.name} cannot be had{size} ({first_line(error)}); "
                "give the name of an image backbone of keras-hub or the "
                "folder of a preset, and a config.image.size that it takes."
            ) from error


@functools.cache
def hub_backbone(preset: str) -> HubBackbone:
    """The encoder of a preset, whose files are looked at once."""
    return HubBackbone(preset)


def _keras_hub() -> Any:
    try:
        import keras_hub
    except ImportError:
        raise ConfigError(
            f"An encoder '{PREFIX}...' needs keras-hub, the extra 'hub': "
            "install it with `pip install keras-hub`."
        ) from None
    return keras_hub


def _output(backbone: Any) -> Any:
    output = backbone.output
    return output["sequence_output"] if isinstance(output, dict) else output


def _pyramid(backbone: Any, stride: int) -> dict[int, Any]:
    """Stride -> map of a backbone, the finest first; tokens are no maps."""
    outputs = getattr(backbone, "pyramid_outputs", None) or {}
    if len(_output(backbone).shape) == 3:
        outputs = {}
    strides = {2 ** int(key[1:]): maps for key, maps in outputs.items()}
    return {s: strides[s] for s in sorted(strides) if 4 <= s < stride}


def _grid(tokens: Any, image: Any, stride: int) -> Any:
    """The patches' tokens, which come last, as a map."""
    from keras import ops

    side = image.shape[1] // stride
    patches = tokens[:, -side * side :]
    return ops.reshape(patches, (-1, side, side, tokens.shape[-1]))


def _gathered(image: Any, stride: int) -> Any:
    """The pixels of every `stride` x `stride` cell as its channels."""
    from keras import ops

    side = image.shape[1] // stride
    cells = ops.reshape(image, (-1, side, stride, side, stride, 3))
    cells = ops.transpose(cells, (0, 1, 3, 2, 4, 5))
    return ops.reshape(cells, (-1, side, side, 3 * stride * stride))
