"""The two streams of the prior system: one segments, one classifies."""

from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import keras
from keras import layers

from keras_wsss.encoders import get_encoder
from keras_wsss.encoders.encoder import Block, Encoder
from keras_wsss.layers.class_activation import ClassActivationHead
from keras_wsss.layers.dropout import FixedNameDropout
from keras_wsss.layers.resampling import CaffeAveragePooling
from keras_wsss.precision import computing_in
from keras_wsss.systems.network import Network, arguments_of
from keras_wsss.systems.prior.problems import TRUNK_BLOCKS, blocks_problem

_Apply = Callable[[keras.KerasTensor], keras.KerasTensor]
_Trunk = Sequence[Sequence[layers.Conv2D]]  # of each block


@keras.saving.register_keras_serializable("keras_wsss")
class Prior(Network):
    """A prior network; both streams share the layers of blocks 1 to 4.

    It maps {"image": input of `segmenter`, "small": input of `classifier`} to
    {"segment": what the one gives, "classify": what the other does}.

    Example:
        net = Prior(num_categories=20, encoder="vgg16")
        net.segmenter(images)["logits"]

    Args:
        num_categories: K, the tagged categories.
        encoder: a name that `get_encoder` knows, of one with blocks.
        dropout: at fc6, fc7 and before the class scores.
        frozen_blocks: lower blocks, 0 to 4, that are not trained.
        fc6_dilation: of stream S, in cells; 12 is made for 41 x 41 cells.
        compute_dtype: "float32", "bfloat16" or "float16", of convolutions;
            weights, scores and class maps are float32.
        **kwargs: name of the model.

    Attributes:
        segmenter: stream S. image float32 [B, 8 k + 1, 8 l + 1, 3], as the
            encoder takes it, to a dict of "logits" float32
            [B, k + 1, l + 1, K + 1] (0 is background) and the activations
            "conv4", "conv5" and "fc7" [B, k + 1, l + 1, D].
        classifier: streams A and H. image float32 [B, 16 g, 16 g, 3] to a
            dict of "tag_logits" float32 [B, K], "class_maps" float32
            [B, g, g, K], "conv5" and "fc7" [B, g, g, D], and "conv4"
            [B, 2 g, 2 g, D].
        base: the encoder whose blocks the streams have.

    Raises:
        ValueError: a number out of range, or an encoder without such blocks.
        ConfigError: unknown encoder.

    Reference:
        Redondo-Cabrera et al., TIP 2019, reconstructed from the released
        inference code; see docs/prior.md.
    """

    trained_parts = ("segmenter", "classifier")
    frozen_parts = ()

    def __init__(
        self,
        num_categories: int,
        encoder: str = "vgg16",
        dropout: float = 0.5,
        frozen_blocks: int = 0,
        fc6_dilation: int = 12,
        compute_dtype: str = "float32",
        **kwargs: Any,
    ) -> None:
        arguments = arguments_of(locals())
        given = SimpleNamespace(**arguments)
        entry = get_encoder(encoder)
        if text := blocks_problem(entry):
            raise ValueError(text)
        if not 0 <= frozen_blocks <= TRUNK_BLOCKS:
            raise ValueError(
                f"frozen_blocks is {frozen_blocks}; it must be 0 to "
                f"{TRUNK_BLOCKS}, the blocks that both streams share"
            )
        if not 0 <= dropout < 1:
            raise ValueError(
                f"dropout is {dropout}; it must be at least 0 and below 1"
            )
        if fc6_dilation < 1:
            raise ValueError(
                f"fc6_dilation is {fc6_dilation}; it must be at least 1"
            )
        with computing_in(compute_dtype):
            trunk = _trunk(entry.blocks, frozen_blocks)
            segmenter = _build_segmenter(given, entry, trunk)
            classifier = _build_classifier(given, entry, trunk)
            inputs = {
                name: keras.Input((None, None, 3), name=name)
                for name in ("image", "small")
            }
            outputs = {
                "segment": segmenter(inputs["image"]),
                "classify": classifier(inputs["small"]),
            }
            kwargs.setdefault("name", "prior")
            super().__init__(inputs, outputs, arguments, **kwargs)
        self.segmenter = segmenter
        self.classifier = classifier
        self.base = entry


def _convolution(filters: int, name: str, **options: Any) -> layers.Conv2D:
    return layers.Conv2D(
        filters,
        3,
        padding="same",
        activation="relu",
        kernel_initializer=options.pop("kernel_initializer", "he_normal"),
        name=name,
        **options,
    )


def _trunk(blocks: Sequence[Block], frozen: int) -> _Trunk:
    """The layers of blocks 1 to 4; calling them twice shares weights."""
    trunk = []
    for number, block in enumerate(blocks[:TRUNK_BLOCKS], start=1):
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
    given: SimpleNamespace, entry: Encoder, trunk: _Trunk
) -> keras.Model:
    image = keras.Input((None, None, 3), name="image")
    x = image
    for number, block in enumerate(trunk, start=1):
        for convolution in block:
            x = convolution(x)
        conv4 = x
        # For odd sizes "same" equals Caffe's padding of 1.
        x = _max_pool(2 if number < 4 else 1, f"segment_pool{number}")(x)
    x = conv5 = _block5(entry, "segment", dilation=2)(x)
    x = _max_pool(1, "segment_pool5")(x)
    x = CaffeAveragePooling(name="segment_pool5a")(x)
    fc7 = _fully_connected(entry, given.dropout, "segment", given.fc6_dilation)(
        x
    )
    logits = layers.Conv2D(
        given.num_categories + 1,
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
    given: SimpleNamespace, entry: Encoder, trunk: _Trunk
) -> keras.Model:
    image = keras.Input((None, None, 3), name="image")
    x = image
    for number, block in enumerate(trunk, start=1):
        for convolution in block:
            x = convolution(x)
        conv4 = x
        x = layers.MaxPooling2D(2, name=f"classify_pool{number}")(x)
    x = conv5 = _block5(entry, "classify", dilation=1)(x)
    x = _max_pool(1, "classify_pool5")(x)
    x = CaffeAveragePooling(name="classify_pool5a")(x)
    fc7 = _fully_connected(entry, given.dropout, "classify", 1)(x)
    # Two groups, written out: not every device can differentiate a grouped
    # convolution.
    units = entry.head_units // 2
    halves = []
    for group, half in enumerate((fc7[..., :units], fc7[..., units:])):
        convolution = _convolution(
            units, f"class_conv{group}", kernel_initializer=_gaussian()
        )
        halves.append(convolution(half))
    activations = layers.Concatenate(name="class_conv")(halves)
    tag_logits, class_maps = ClassActivationHead(
        given.num_categories, given.dropout, name="class_head"
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


def _block5(entry: Encoder, stream: str, dilation: int) -> _Apply:
    block = entry.blocks[TRUNK_BLOCKS]
    return _chain(
        _convolution(
            block.filters,
            f"{stream}_block5_conv{index}",
            dilation_rate=dilation,
        )
        for index in range(1, block.convolutions + 1)
    )


def _fully_connected(
    entry: Encoder, dropout: float, stream: str, dilation: int
) -> _Apply:
    """fc6 and fc7 of one stream, as convolutions, with dropout."""
    units = entry.head_units
    return _chain(
        [
            _convolution(units, f"{stream}_fc6", dilation_rate=dilation),
            FixedNameDropout(dropout, name=f"{stream}_dropout6"),
            layers.Conv2D(
                units,
                1,
                activation="relu",
                kernel_initializer="he_normal",
                name=f"{stream}_fc7",
            ),
            FixedNameDropout(dropout, name=f"{stream}_dropout7"),
        ]
    )


def _chain(given: Iterable[layers.Layer]) -> _Apply:
    parts = list(given)

    def apply(x: keras.KerasTensor) -> keras.KerasTensor:
        for part in parts:
            x = part(x)
        return x

    return apply


def _max_pool(stride: int, name: str) -> layers.MaxPooling2D:
    return layers.MaxPooling2D(3, stride, padding="same", name=name)


def _gaussian() -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=0.01)
