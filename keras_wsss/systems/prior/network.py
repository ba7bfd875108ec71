"""The two streams of the prior system: one segments, one classifies."""

import dataclasses
from typing import Any, ClassVar

import keras
from keras import layers

from keras_wsss.categories import Split
from keras_wsss.encoders.vgg import STRIDE, Architecture, architecture
from keras_wsss.errors import ConfigError
from keras_wsss.layers.class_activation import ClassActivationHead
from keras_wsss.layers.dropout import FixedNameDropout
from keras_wsss.layers.resampling import CaffeAveragePooling
from keras_wsss.systems.category_axes import (
    CategoryAxes,
    CategoryAxis,
    Column,
)

# Width of fc6, fc7 and the class convolution, by encoder: the published
# network, and a narrow one for the demo and for tests.
HEAD_UNITS = {"vgg16": 1024, "vgg_small": 192}
SEGMENT_STRIDE = 8  # three pools of stride 2
TRUNK_BLOCKS = 4  # shared by the streams


@dataclasses.dataclass(frozen=True)
class PriorConfig:
    """What decides the variables of a prior network.

    Attributes:
        num_categories: K, the tagged categories.
        encoder: "vgg16" or "vgg_small", see `keras_wsss.encoders.vgg`.
        dropout: at fc6, fc7 and before the class scores.
        frozen_blocks: lower blocks, 0 to 4, that are not trained.
        fc6_dilation: of stream S, in cells; 12 is made for 41 x 41 cells.
    """

    num_categories: int
    encoder: str = "vgg16"
    dropout: float = 0.5
    frozen_blocks: int = 0
    fc6_dilation: int = 12

    def category_axes(self, split: Split) -> CategoryAxes:
        """The variables that are laid out by the categories of a split.

        Their names are those of `keras_wsss.systems.network.named_variables`.
        """
        names = tuple(split.name_of(i) for i in split.target_ids)
        scores = (Column.BACKGROUND, *names)
        return {
            "segmenter/segment_scores/kernel": CategoryAxis(3, scores),
            "segmenter/segment_scores/bias": CategoryAxis(0, scores),
            "classifier/class_head/kernel": CategoryAxis(1, names),
            "classifier/class_head/bias": CategoryAxis(0, names),
        }

    def to_dict(self) -> dict[str, Any]:
        """JSON values from which `PriorConfig(**values)` is equal."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Prior:
    """A prior network; both streams share the layers of blocks 1 to 4.

    Attributes:
        config: what it was built from.
        segmenter: stream S. image float32 [B, 8 k + 1, 8 l + 1, 3] (BGR,
            mean subtracted) to a dict of "logits" float32
            [B, k + 1, l + 1, K + 1] (0 is background) and the activations
            "conv4", "conv5" and "fc7" [B, k + 1, l + 1, D].
        classifier: streams A and H. image float32 [B, 16 g, 16 g, 3] to a
            dict of "tag_logits" float32 [B, K], "class_maps" float32
            [B, g, g, K], "conv5" and "fc7" [B, g, g, D], and "conv4"
            [B, 2 g, 2 g, D].
    """

    config: PriorConfig
    segmenter: keras.Model
    classifier: keras.Model

    trained_parts: ClassVar[tuple[str, ...]] = ("segmenter", "classifier")
    frozen_parts: ClassVar[tuple[str, ...]] = ()


def segment_grid(image_size: int) -> int:
    """Cells along a side of stream S.

    Raises:
        ConfigError: a size at which Caffe's and TensorFlow's pools differ.
    """
    if image_size < 17 or image_size % SEGMENT_STRIDE != 1:
        below = max(2, image_size // SEGMENT_STRIDE) * SEGMENT_STRIDE + 1
        raise ConfigError(
            f"The segmenting stream's input is {image_size} pixels; it must "
            f"be a multiple of 8 plus 1, for example {below}."
        )
    return image_size // SEGMENT_STRIDE + 1


def class_grid(image_size: int) -> int:
    """Cells along a side of streams A and H.

    Raises:
        ConfigError: a size that the pools or the 4 x 4 hidden cells do not
            divide.
    """
    if image_size < STRIDE or image_size % STRIDE:
        raise ConfigError(
            f"The classifying stream's input is {image_size} pixels; it must "
            f"be a positive multiple of {STRIDE}."
        )
    return image_size // STRIDE


def build_prior(config: PriorConfig) -> Prior:
    """Builds both streams with random weights.

    Raises:
        ConfigError: unknown encoder, or a number out of range.

    Reference:
        Redondo-Cabrera et al., TIP 2019, reconstructed from the released
        inference code; see docs/prior.md.
    """
    table = architecture(config.encoder)
    if not 0 <= config.frozen_blocks <= TRUNK_BLOCKS:
        raise ConfigError(
            f"config.prior.frozen_blocks is {config.frozen_blocks}; it must "
            f"be 0 to {TRUNK_BLOCKS}, the blocks that both streams share."
        )
    if not 0 <= config.dropout < 1:
        raise ConfigError(
            f"config.prior.dropout is {config.dropout}; it must be at least "
            "0 and below 1."
        )
    if config.fc6_dilation < 1:
        raise ConfigError(
            f"config.prior.fc6_dilation is {config.fc6_dilation}; it must be "
            "at least 1."
        )
    trunk = _trunk(table, config.frozen_blocks)
    return Prior(
        config,
        _build_segmenter(config, table, trunk),
        _build_classifier(config, table, trunk),
    )


def _convolution(filters: int, name: str, **options) -> layers.Conv2D:
    return layers.Conv2D(
        filters,
        3,
        padding="same",
        activation="relu",
        kernel_initializer=options.pop("kernel_initializer", "he_normal"),
        name=name,
        **options,
    )


def _trunk(table: Architecture, frozen: int) -> list[list[layers.Conv2D]]:
    """The layers of blocks 1 to 4; calling them twice shares weights."""
    trunk = []
    for number, block in enumerate(table.blocks[:TRUNK_BLOCKS], start=1):
        trunk.append(
            [
                _convolution(
                    block.filters,
                    f"block{number}_conv{index}",
                    trainable=number > frozen,
                )
                for index in range(1, block.convolutions + 1)
            ]
        )
    return trunk


def _build_segmenter(
    config: PriorConfig, table: Architecture, trunk
) -> keras.Model:
    image = keras.Input((None, None, 3), name="image")
    x = image
    for number, block in enumerate(trunk, start=1):
        for convolution in block:
            x = convolution(x)
        conv4 = x
        # For odd sizes "same" equals Caffe's padding of 1.
        x = _max_pool(2 if number < 4 else 1, f"segment_pool{number}")(x)
    x = conv5 = _block5(table, "segment", dilation=2)(x)
    x = _max_pool(1, "segment_pool5")(x)
    x = CaffeAveragePooling(name="segment_pool5a")(x)
    fc7 = _fully_connected(config, "segment", config.fc6_dilation)(x)
    logits = layers.Conv2D(
        config.num_categories + 1,
        1,
        kernel_initializer=_gaussian(),
        dtype="float32",
        name="segment_scores",
    )(fc7)
    return keras.Model(
        image,
        {"logits": logits, "conv4": conv4, "conv5": conv5, "fc7": fc7},
        name="segmenter",
    )


def _build_classifier(
    config: PriorConfig, table: Architecture, trunk
) -> keras.Model:
    image = keras.Input((None, None, 3), name="image")
    x = image
    for number, block in enumerate(trunk, start=1):
        for convolution in block:
            x = convolution(x)
        conv4 = x
        x = layers.MaxPooling2D(2, name=f"classify_pool{number}")(x)
    x = conv5 = _block5(table, "classify", dilation=1)(x)
    x = _max_pool(1, "classify_pool5")(x)
    x = CaffeAveragePooling(name="classify_pool5a")(x)
    fc7 = _fully_connected(config, "classify", 1)(x)
    # Two groups, written out: not every device can differentiate a grouped
    # convolution.
    units = HEAD_UNITS[config.encoder] // 2
    halves = []
    for group, half in enumerate((fc7[..., :units], fc7[..., units:])):
        convolution = _convolution(
            units, f"class_conv{group}", kernel_initializer=_gaussian()
        )
        halves.append(convolution(half))
    activations = layers.Concatenate(name="class_conv")(halves)
    tag_logits, class_maps = ClassActivationHead(
        config.num_categories, config.dropout, name="class_head"
    )(activations)
    return keras.Model(
        image,
        {
            "tag_logits": tag_logits,
            "class_maps": class_maps,
            "conv4": conv4,
            "conv5": conv5,
            "fc7": fc7,
        },
        name="classifier",
    )


def _block5(table: Architecture, stream: str, dilation: int):
    block = table.blocks[TRUNK_BLOCKS]
    return _chain(
        _convolution(
            block.filters,
            f"{stream}_block5_conv{index}",
            dilation_rate=dilation,
        )
        for index in range(1, block.convolutions + 1)
    )


def _fully_connected(config: PriorConfig, stream: str, dilation: int):
    """fc6 and fc7 of one stream, as convolutions, with dropout."""
    units = HEAD_UNITS[config.encoder]
    return _chain(
        [
            _convolution(units, f"{stream}_fc6", dilation_rate=dilation),
            FixedNameDropout(config.dropout, name=f"{stream}_dropout6"),
            layers.Conv2D(
                units,
                1,
                activation="relu",
                kernel_initializer="he_normal",
                name=f"{stream}_fc7",
            ),
            FixedNameDropout(config.dropout, name=f"{stream}_dropout7"),
        ]
    )


def _chain(parts):
    parts = list(parts)

    def apply(x):
        for part in parts:
            x = part(x)
        return x

    return apply


def _max_pool(stride: int, name: str) -> layers.MaxPooling2D:
    return layers.MaxPooling2D(3, stride, padding="same", name=name)


def _gaussian() -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=0.01)
