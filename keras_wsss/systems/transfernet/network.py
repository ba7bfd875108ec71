"""TransferNet as functional Keras models that share their layers."""

import dataclasses
from typing import Any, ClassVar

import keras

from keras_wsss.categories import Split
from keras_wsss.encoders.vgg import STRIDE, architecture, build_encoder
from keras_wsss.layers.attention import LabelAttention, fan_in_uniform
from keras_wsss.layers.densify import AttendedFeature, DensifiedAttention
from keras_wsss.layers.guide import AppendFeatures, GuideMaps, StackMaps
from keras_wsss.layers.pairs import MergePairs, RepeatForLabels, SplitPairs
from keras_wsss.systems.category_axes import (
    CategoryAxes,
    CategoryAxis,
    Column,
)
from keras_wsss.systems.transfernet.decoder import (
    build_decoder,
    unpooled_levels,
)
from keras_wsss.systems.transfernet.tagger import build_tagger, tagger_evidence


@dataclasses.dataclass(frozen=True)
class TransferNetConfig:
    """What decides the variables of a TransferNet.

    Attributes:
        num_categories: C, source and target categories together.
        encoder: "vgg16" or "vgg_small".
        image_size: input side S in pixels, a multiple of 16.
        attention: "dense" (published, fixed S) or "conv".
        attention_units: width of the attention's embeddings (1024).
        classifier_units: width of the classifier's hidden layer (512).
        absent_class: whether the classifier has one more output, "the label
            asked for is not in the picture" (an extension).
        judge: what classifies the attended feature: "classifier", a head of
            its own (published), or "tagger", the multi-label head, which
            learns from plain tags (an extension; see docs/method.md).
        attention_gain: constant factor on the features that the `conv`
            attention reads, see `LabelAttention`.
        classifier_gain: constant factor on the features that classifier and
            tagger read. 1 is published; features near 0.01 need a larger one
            to learn at a good pace.
        normalization: of the densified attention, "none" or "max".
        decoder_width: multiplier of the decoder's channels.
        output_stride: 1, 2 or 4; side of the mask logits is S / stride.
        initializer: of the decoder, "published" or "he".
        shortcut: whether the decoder corrects the enlarged densified
            attention (an extension, see `build_decoder`).
        guide_maps: whether the decoder also sees the attention, how alike
            every position is to the attended feature whatever its strength,
            and the tagger's class map (an extension, see `GuideMaps`).
        guide_features: features of every position, projected to this many,
            that the decoder sees besides; 0 is published.
        tagger_units: width of the tagger's hidden layer.
    """

    num_categories: int
    encoder: str = "vgg16"
    image_size: int = 320
    attention: str = "dense"
    attention_units: int = 1024
    classifier_units: int = 512
    absent_class: bool = False
    judge: str = "classifier"
    attention_gain: float = 1.0
    classifier_gain: float = 1.0
    normalization: str = "none"
    decoder_width: float = 1.0
    output_stride: int = 1
    initializer: str = "published"
    shortcut: bool = False
    guide_maps: bool = False
    guide_features: int = 0
    tagger_units: int = 512

    @property
    def grid(self) -> int:
        """Side of the feature map and of the attention."""
        return self.image_size // STRIDE

    @property
    def guide_channels(self) -> int:
        """Maps that the decoder sees of a pair."""
        return (4 if self.guide_maps else 1) + self.guide_features

    def category_axes(self, split: Split) -> CategoryAxes:
        """The variables that are laid out by the categories of a split.

        Their names are those of `keras_wsss.systems.network.named_variables`.
        """
        names = split.categories
        by_name = {"attention/att/cls_embed/kernel": CategoryAxis(0, names)}
        # A layer that two parts share stands under the first.
        tagger = "attention" if self.judge == "tagger" else "tagger"
        layers = {f"{tagger}/tagger_logits": names}
        if self.judge == "classifier":
            absent = (Column.ABSENT,) * self.absent_class
            layers["attention/classifier_logits"] = (*names, *absent)
        for layer, keys in layers.items():
            by_name[f"{layer}/kernel"] = CategoryAxis(1, keys)
            by_name[f"{layer}/bias"] = CategoryAxis(0, keys)
        return by_name

    def to_dict(self) -> dict[str, Any]:
        """JSON values from which `TransferNetConfig(**values)` is equal."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class TransferNet:
    """A TransferNet and its parts. All parts share their variables.

    With B pictures, K labels a picture, C categories, g = S / 16, D feature
    channels and m = S / output stride:

    Attributes:
        config: what it was built from.
        encoder: image float32 [B, S, S, 3] (BGR, mean subtracted) to
            [features [B, g, g, D], switches of pools 1 to 4]. Frozen.
        attention: [features, labels int32 [B, K]] to a dict of
            "attention" float32 [B, K, g, g], "attended" [B, K, D],
            "class_logits" [B, K, C (+ 1)], "densified_attention"
            [B, K, g, g] and "guide" [B, K, g, g, M], what the decoder sees:
            the densified attention, and more where the config says so.
        decoder: [guide [P, g, g, M], switches 4, 3, ... [P, ...]] to
            mask logits [P, m, m, 2].
        masks: [guide [B, K, g, g, M], labels, switches 4, 3, ...] to mask
            logits [B, K, m, m, 2]; repeats the switches per label.
        tagger: features to a dict of "tag_logits" [B, C] and "class_maps"
            [B, g, g, C].
        model: [image, labels] to the dict of all of these: the whole
            network; the encoder runs once a picture.
    """

    config: TransferNetConfig
    encoder: keras.Model
    attention: keras.Model
    decoder: keras.Model
    masks: keras.Model
    tagger: keras.Model
    model: keras.Model

    trained_parts: ClassVar[tuple[str, ...]] = (
        "attention",
        "decoder",
        "tagger",
    )
    frozen_parts: ClassVar[tuple[str, ...]] = ("encoder",)

    @property
    def used_switches(self) -> tuple[int, ...]:
        """Pools whose switches the decoder takes, 4 first."""
        return unpooled_levels(self.config.output_stride)

    def label_embeddings(self):
        """What the attention knows of every category, float32 [C, units]."""
        kernel = self.attention.get_layer("att").cls_embed.kernel
        return keras.ops.convert_to_numpy(kernel)

    def select_switches(self, switches):
        """From the switches of pools 1 to 4, what `masks` takes."""
        return [switches[pool - 1] for pool in self.used_switches]


def build_transfernet(config: TransferNetConfig) -> TransferNet:
    """Builds the network; the encoder's weights are not loaded.

    Raises:
        ConfigError: unknown encoder, or a size that does not fit.
    """
    encoder = build_encoder(config.encoder, config.image_size)
    features_shape = encoder.outputs[0].shape[1:]
    switch_shapes = [output.shape[1:] for output in encoder.outputs[1:]]
    tagger = build_tagger(
        features_shape,
        config.num_categories,
        config.tagger_units,
        config.classifier_gain,
    )
    attention = _build_attention(config, features_shape, tagger)
    decoder = build_decoder(
        config.grid,
        switch_channels=[shape[-1] for shape in switch_shapes],
        guide_channels=config.guide_channels,
        convolutions=[
            block.convolutions
            for block in architecture(config.encoder).blocks[:4]
        ],
        width=config.decoder_width,
        output_stride=config.output_stride,
        initializer=config.initializer,
        shortcut=config.shortcut,
    )
    used = unpooled_levels(config.output_stride)
    masks = _build_masks(decoder, config, used, switch_shapes)

    image = keras.Input(encoder.input_shape[1:], name="image")
    labels = keras.Input((None,), dtype="int32", name="labels")
    features, *switches = encoder(image, training=False)
    outputs = dict(attention([features, labels]))
    outputs["mask_logits"] = masks(
        [
            outputs.pop("guide"),
            labels,
            *(switches[pool - 1] for pool in used),
        ]
    )
    outputs["tag_logits"] = tagger(features)["tag_logits"]
    model = keras.Model([image, labels], outputs, name="transfernet")
    return TransferNet(
        config, encoder, attention, decoder, masks, tagger, model
    )


def _build_attention(
    config: TransferNetConfig, features_shape, tagger: keras.Model
) -> keras.Model:
    features = keras.Input(features_shape, name="features")
    labels = keras.Input((None,), dtype="int32", name="labels")
    attention = LabelAttention(
        config.num_categories,
        config.attention_units,
        config.attention,
        config.attention_gain,
        name="att",
    )(features, labels)  # (B, K, g, g)
    attended = AttendedFeature(name="attended_feature")(
        features, attention
    )  # (B, K, D)
    if config.judge == "tagger":
        class_logits = tagger_evidence(tagger, attended)  # (B, K, C)
    elif config.judge == "classifier":
        class_logits = _classifier(config, attended)  # (B, K, C (+ 1))
    else:
        raise ValueError(
            f"judge must be classifier or tagger, not {config.judge!r}"
        )
    densified = DensifiedAttention(
        config.normalization, name="densified_attention"
    )(features, attended)  # (B, K, g, g)
    maps = [densified]
    if config.guide_maps:
        class_maps = tagger(features)["class_maps"]  # (B, g, g, C)
        maps += GuideMaps(name="guide_maps")(
            features, attended, attention, class_maps, labels
        )
    guide = StackMaps(name="guide")(maps)  # (B, K, g, g, 1 or 4)
    if config.guide_features:
        guide = AppendFeatures(
            config.guide_features,
            config.classifier_gain,
            name="guide_features",
        )(guide, features)  # (B, K, g, g, M)
    return keras.Model(
        [features, labels],
        {
            "attention": attention,
            "attended": attended,
            "class_logits": class_logits,
            "densified_attention": densified,
            "guide": guide,
        },
        name="attention",
    )


def _classifier(config: TransferNetConfig, attended):
    scaled = keras.layers.Rescaling(config.classifier_gain, name="gain")(
        attended
    )
    hidden = keras.layers.Dense(
        config.classifier_units,
        activation="relu",
        kernel_initializer=fan_in_uniform(),
        name="classifier_hidden",
    )(scaled)
    return keras.layers.Dense(
        config.num_categories + int(config.absent_class),
        kernel_initializer=fan_in_uniform(),
        name="classifier_logits",
    )(hidden)


def _build_masks(
    decoder: keras.Model, config: TransferNetConfig, used, switch_shapes
) -> keras.Model:
    guide = keras.Input(
        (None, config.grid, config.grid, config.guide_channels), name="guide"
    )
    labels = keras.Input((None,), dtype="int32", name="labels")
    switches = [
        keras.Input(
            switch_shapes[pool - 1], dtype="uint8", name=f"switches{pool}"
        )
        for pool in used
    ]
    pairs = MergePairs(name="merge_pairs")(guide)
    repeated = [
        RepeatForLabels(name=f"repeat{pool}")(switch, labels)
        for pool, switch in zip(used, switches, strict=True)
    ]
    logits = decoder([pairs, *repeated])
    split = SplitPairs(name="split_pairs")(logits, labels)
    return keras.Model([guide, labels, *switches], split, name="masks")
