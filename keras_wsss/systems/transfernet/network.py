"""TransferNet as functional Keras models that share their layers."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_wsss.encoders import get_encoder
from keras_wsss.layers.attention import LabelAttention, fan_in_uniform
from keras_wsss.layers.densify import AttendedFeature, DensifiedAttention
from keras_wsss.layers.guide import AppendFeatures, GuideMaps, StackMaps
from keras_wsss.layers.pairs import MergePairs, RepeatForLabels, SplitPairs
from keras_wsss.precision import computing_in
from keras_wsss.systems.network import Network, arguments_of
from keras_wsss.systems.transfernet.decoder import (
    build_decoder,
    used_levels,
)
from keras_wsss.systems.transfernet.problems import levels_problem
from keras_wsss.systems.transfernet.tagger import build_tagger, tagger_evidence

Shape = Sequence[int | None]


@keras.saving.register_keras_serializable("keras_wsss")
class TransferNet(Network):
    """A TransferNet: the whole network, and its parts as attributes.

    It maps [image float32 [B, S, S, 3], labels int32 [B, K]] to a dict:
    "mask_logits", "tag_logits", and what `attention` gives but the guide. The
    encoder runs once a picture, whatever the number of labels. Its weights
    are random: `get_encoder(encoder).load_weights(net.encoder)` gives it
    learned ones, and `load_weights` those of a whole network.

    All parts share their variables. With B pictures, K labels a picture, C
    categories, encoder stride s, g = S / s, D feature channels and
    m = S / output stride:

    Example:
        net = TransferNet(num_categories=20, encoder="vgg16", attention="conv")
        net.summary()
        outputs = net([images, labels])
        outputs["mask_logits"]  # [B, K, m, m, 2]

    Args:
        num_categories: C, source and target categories together.
        encoder: a name that `get_encoder` knows, of one with levels.
        image_size: input side S in pixels, a multiple of the stride s.
        absent_class: whether the classifier has one more output, "the label
            asked for is not in the picture" (an extension).
        compute_dtype: "float32", "bfloat16" or "float16": of convolutions and
            dense layers; weights, sums over positions and logits are float32.
        **kwargs: name of the model.

    The other arguments are fields of `keras_wsss.config.ModelConfig`, which
    says what each of them is; here they have the published values.

    Attributes:
        encoder: see `Encoder.build`. Frozen.
        attention: [features [B, g, g, D], labels] to a dict of
            "attention" float32 [B, K, g, g], "attended" [B, K, D],
            "class_logits" [B, K, C (+ 1)], "densified_attention"
            [B, K, g, g] and "guide" [B, K, g, g, M], what the decoder sees:
            the densified attention, and more where the arguments say so;
            with guide maps also what `tagger` gives.
        guide: a dict of features, labels, and what `attention` gives but
            "class_logits" (any pictures and labels of them) to the guide.
        decoder: [guide [P, g, g, M], levels, the coarsest first [P, ...]] to
            mask logits [P, m, m, 2].
        mask_logits: [guide [B, K, g, g, M], labels, levels, the coarsest
            first] to mask logits [B, K, m, m, 2]; repeats the levels per label.
        tagger: features to a dict of "tag_logits" [B, C] and "class_maps"
            [B, g, g, C].
        views: its input: size, stride and scale of pixels.
        grid: g.
        output_stride: see above.
        fixed_size: whether its weights fit this image size alone.
        used_levels: of the encoder, that the decoder takes, the coarsest
            first.

    Raises:
        ValueError: an argument that no network can have.
        ConfigError: unknown encoder, or a size that does not fit it.

    Reference:
        Hong et al., CVPR 2016.
    """

    trained_parts = ("attention", "decoder", "tagger")

    def __init__(
        self,
        num_categories: int,
        encoder: str = "vgg16",
        image_size: int = 320,
        attention: str = "dense",
        attention_units: int = 1024,
        classifier_units: int = 512,
        absent_class: bool = False,
        judge: str = "classifier",
        attention_gain: float = 1.0,
        classifier_gain: float = 1.0,
        normalization: str = "none",
        decoder_width: float = 1.0,
        output_stride: int = 1,
        initializer: str = "published",
        shortcut: bool = False,
        guide_maps: bool = False,
        guide_features: int = 0,
        tagger_units: int = 512,
        tagger_sharpness: float = 0.0,
        ignore_padding: bool = False,
        compute_dtype: str = "float32",
        **kwargs: Any,
    ) -> None:
        arguments = arguments_of(locals())
        given = SimpleNamespace(**arguments)
        if num_categories < 1:
            raise ValueError(
                f"num_categories is {num_categories}; it must be 1 or more"
            )
        entry = get_encoder(encoder)
        if text := levels_problem(entry):
            raise ValueError(text)
        used = used_levels(entry.levels, output_stride)

        with computing_in(compute_dtype):
            # === Parts ===
            encode = entry.build(image_size)
            features_shape = encode.outputs[0].shape[1:]
            tagger = build_tagger(
                features_shape,
                num_categories,
                tagger_units,
                classifier_gain,
                ignore_padding,
                tagger_sharpness,
            )
            attend, guide = _build_attention(given, features_shape, tagger)
            decoder = build_decoder(
                image_size // entry.stride,
                entry.stride,
                entry.levels,
                guide_channels=(4 if guide_maps else 1) + guide_features,
                width=decoder_width,
                output_stride=output_stride,
                initializer=initializer,
                shortcut=shortcut,
            )
            mask_logits = _build_mask_logits(decoder)

            # === The whole ===
            image = keras.Input(encode.input_shape[1:], name="image")
            labels = keras.Input((None,), dtype="int32", name="labels")
            features, *levels = encode(image, training=False)
            outputs = dict(attend([features, labels]))
            outputs["mask_logits"] = mask_logits(
                [
                    outputs.pop("guide"),
                    labels,
                    *(levels[number - 1] for number in used),
                ]
            )
            outputs.pop("class_maps", None)
            outputs["tag_logits"] = tagger(features)["tag_logits"]
            kwargs.setdefault("name", "transfernet")
            super().__init__([image, labels], outputs, arguments, **kwargs)
        self.encoder = encode
        self.attention = attend
        self.guide = guide
        self.decoder = decoder
        self.mask_logits = mask_logits
        self.tagger = tagger
        self.views = entry.views(image_size, blank_padding=ignore_padding)
        self.grid = image_size // entry.stride
        self.output_stride = output_stride
        self.fixed_size = attention == "dense"
        self.used_levels = used

    def label_embeddings(self) -> np.ndarray:
        """What the attention knows of every category, float32 [C, units]."""
        kernel = self.attention.get_layer("att").cls_embed.kernel
        return keras.ops.convert_to_numpy(kernel)

    @property
    def large_weights(self) -> list[keras.Variable]:
        """Dense attention's; see `Network.large_weights`."""
        if not self.fixed_size:
            return []
        return [self.attention.get_layer("att").feat_embed.kernel]

    def select_levels(self, levels: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """From all levels of the encoder, what `masks` takes."""
        return [levels[number - 1] for number in self.used_levels]


def _build_attention(
    given: SimpleNamespace, features_shape: Shape, tagger: keras.Model
) -> tuple[keras.Model, keras.Model]:
    """The models `attention` and `guide`, which is a part of it."""
    features = keras.Input(features_shape, name="features")
    labels = keras.Input((None,), dtype="int32", name="labels")
    attention = LabelAttention(
        given.num_categories,
        given.attention_units,
        given.attention,
        given.attention_gain,
        given.ignore_padding,
        name="att",
    )(features, labels)  # (B, K, g, g)
    # Sums over many positions, of small numbers: float32.
    attended = AttendedFeature(dtype="float32", name="attended_feature")(
        features, attention
    )  # (B, K, D)
    if given.judge == "tagger":
        class_logits = tagger_evidence(tagger, attended)  # (B, K, C)
    elif given.judge == "classifier":
        class_logits = _classifier(given, attended)  # (B, K, C (+ 1))
    else:
        raise ValueError(
            f"judge must be classifier or tagger, not {given.judge!r}"
        )
    densified = DensifiedAttention(
        given.normalization, dtype="float32", name="densified_attention"
    )(features, attended)  # (B, K, g, g)
    seen = {
        "features": features,
        "labels": labels,
        "attention": attention,
        "attended": attended,
        "densified_attention": densified,
    }
    outputs = {
        "attention": attention,
        "attended": attended,
        "class_logits": class_logits,
        "densified_attention": densified,
    }
    if given.guide_maps:
        # The tagger's hidden layer runs once for guide and tags.
        outputs |= tagger(features)  # (B, C) and (B, g, g, C)
        seen["class_maps"] = outputs["class_maps"]
    guide = _build_guide(given, seen)
    outputs["guide"] = guide(seen)
    return keras.Model([features, labels], outputs, name="attention"), guide


def _build_guide(
    given: SimpleNamespace, seen: dict[str, keras.KerasTensor]
) -> keras.Model:
    inputs = {
        name: keras.Input(value.shape[1:], dtype=value.dtype, name=name)
        for name, value in seen.items()
    }
    maps = [inputs["densified_attention"]]
    if given.guide_maps:
        maps += GuideMaps(dtype="float32", name="guide_maps")(
            *(
                inputs[name]
                for name in (
                    "features",
                    "attended",
                    "attention",
                    "class_maps",
                    "labels",
                )
            )
        )
    guide = StackMaps(dtype="float32", name="guide")(maps)  # (B, K, g, g, M)
    if given.guide_features:
        guide = AppendFeatures(
            given.guide_features,
            given.classifier_gain,
            name="guide_features",
        )(guide, inputs["features"])  # (B, K, g, g, M)
    return keras.Model(inputs, guide, name="guide")


def _classifier(
    given: SimpleNamespace, attended: keras.KerasTensor
) -> keras.KerasTensor:
    scaled = keras.layers.Rescaling(given.classifier_gain, name="gain")(
        attended
    )
    hidden = keras.layers.Dense(
        given.classifier_units,
        activation="relu",
        kernel_initializer=fan_in_uniform(),
        name="classifier_hidden",
    )(scaled)
    return keras.layers.Dense(
        given.num_categories + int(given.absent_class),
        kernel_initializer=fan_in_uniform(),
        dtype="float32",
        name="classifier_logits",
    )(hidden)


def _build_mask_logits(decoder: keras.Model) -> keras.Model:
    guide = keras.Input((None, *decoder.inputs[0].shape[1:]), name="guide")
    labels = keras.Input((None,), dtype="int32", name="labels")
    levels = [
        keras.Input(part.shape[1:], dtype=part.dtype, name=part.name)
        for part in decoder.inputs[1:]
    ]
    pairs = MergePairs(dtype="float32", name="merge_pairs")(guide)
    repeated = [
        RepeatForLabels(name=f"repeat_{part.name}")(part, labels)
        for part in levels
    ]
    logits = decoder([pairs, *repeated])
    split = SplitPairs(dtype="float32", name="split_pairs")(logits, labels)
    return keras.Model([guide, labels, *levels], split, name="masks")
