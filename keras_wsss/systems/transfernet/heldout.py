"""Watching on held-out source pictures: the only masks to choose by."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from keras_wsss.categories import Split
from keras_wsss.data.encodings import Encodings
from keras_wsss.data.failures import iterate
from keras_wsss.data.pictures import PictureStore
from keras_wsss.data.pipeline import evaluation_batches
from keras_wsss.data.preprocess import shown_only
from keras_wsss.data.records import Record
from keras_wsss.encoders.graphs import ConcreteFunction, encoding_function
from keras_wsss.systems.transfernet.losses import binary_masks
from keras_wsss.systems.transfernet.network import TransferNet

_BATCH = 4


def encoding_of(net: TransferNet) -> ConcreteFunction:
    """`encoding_function` with the levels that the network's masks take."""
    return encoding_function(net.encoder, net.views.image_size, net.used_levels)


class HeldOut:
    """Scores a network on source pictures that training never sees.

    The encoder's outputs are computed once and kept, as it is frozen.

    Args:
        net: the network.
        split: categories.
        records: held-out source pictures.
        pictures: reads them.
        encode: `encoding_function` with the network's levels; made if None.
        cache: has the encoder's outputs, whole and with the network's levels;
            computed if None.
    """

    def __init__(
        self,
        net: TransferNet,
        split: Split,
        records: Sequence[Record],
        pictures: PictureStore,
        encode: Callable[[tf.Tensor], list[tf.Tensor]] | None = None,
        cache: Encodings | None = None,
    ):
        self.net = net
        self.split = split
        self._encoded = []
        if not records:
            return
        batches = evaluation_batches(
            records,
            net.views,
            _BATCH,
            with_mask=True,
            pictures=pictures,
            cache=cache,
        )
        if cache is None:
            encode = encode or encoding_of(net)
        for batch in iterate(batches):
            if cache is None:
                assert encode is not None
                features, *levels = encode(batch["image"])
            else:
                features = batch["features"]
                levels = list(batch["levels"])[::-1]  # the coarsest first
            features = shown_only(net.views, features, batch["valid"])
            self._encoded.append(
                {
                    "features": features,
                    "levels": levels,
                    **{
                        key: batch[key]
                        for key in ("labels", "weights", "mask", "valid")
                    },
                }
            )
        self._function = tf.function(
            self._counts, autograph=False, reduce_retracing=True
        )

    def scores(self) -> dict[str, float]:
        """Mask IoU, and where attention goes.

        Returns:
            "mask_iou": mean over categories of the intersection over union of
            the pairs' binary masks at the decoder's resolution, all pairs of
            a category together; "attention_on_object" and
            "attention_on_padding": mean attention mass. Empty without
            held-out pictures, or without a pixel to score in them.
        """
        if not self._encoded:
            return {}
        count = self.split.num_categories + 1
        intersections, unions = np.zeros(count), np.zeros(count)
        on_object, on_padding, pairs = 0.0, 0.0, 0.0
        for batch in self._encoded:
            values = [value.numpy() for value in self._function(batch)]
            labels, used, common, union, inside, padding = values
            np.add.at(intersections, labels, common * used)
            np.add.at(unions, labels, union * used)
            on_object += (inside * used).sum()
            on_padding += (padding * used).sum()
            pairs += used.sum()
        seen = unions > 0
        if not pairs or not seen.any():  # no label, or nothing but void
            return {}
        return {
            "mask_iou": float((intersections[seen] / unions[seen]).mean()),
            "attention_on_object": float(on_object / pairs),
            "attention_on_padding": float(on_padding / pairs),
        }

    def _counts(self, batch):
        outputs = self.net.attention(
            [tf.cast(batch["features"], tf.float32), batch["labels"]],
            training=False,
        )
        logits = self.net.mask_logits(
            [
                outputs["guide"],
                batch["labels"],
                *batch["levels"],
            ],
            training=False,
        )
        stride = self.net.output_stride
        truth, counted = binary_masks(batch["mask"], batch["labels"], stride)
        truth = tf.cast(truth > 0.5, tf.float32) * counted
        found = tf.cast(logits[..., 1] > logits[..., 0], tf.float32) * counted
        common = tf.reduce_sum(tf.minimum(truth, found), axis=(2, 3))
        union = tf.reduce_sum(tf.maximum(truth, found), axis=(2, 3))
        cells, _ = binary_masks(
            batch["mask"],
            batch["labels"],
            self.net.views.stride,
        )
        attention = outputs["attention"]
        inside = tf.reduce_sum(attention * cells, axis=(2, 3))
        padding = tf.reduce_sum(
            attention * (1.0 - batch["valid"][:, None]), axis=(2, 3)
        )
        return (
            batch["labels"],
            batch["weights"],
            common,
            union,
            inside,
            padding,
        )


def tag_scorer(
    net: TransferNet,
    records: Sequence[Record],
    pictures: PictureStore,
    encode: Callable[[tf.Tensor], list[tf.Tensor]],
    cache: Encodings | None = None,
) -> Callable[[], np.ndarray]:
    """The tagger's probabilities of pictures, whenever they are asked for.

    They are means over the picture and its mirror image, as in predictions
    by default. The encoder's outputs are computed once and kept, as it is
    frozen.

    Args:
        net: the network.
        records: pictures, at least one.
        pictures: reads them.
        encode: `encoding_function` of the network.
        cache: has the encoder's outputs, whole and mirrored; computed if
            None.

    Returns:
        Function that gives float32 [pictures, C].
    """
    features = [
        _features(net, records, pictures, encode, mirror, cache)
        for mirror in (False, True)
    ]

    @tf.function(autograph=False)
    def probabilities(batch: tf.Tensor) -> tf.Tensor:
        outputs = net.tagger(tf.cast(batch, tf.float32), training=False)
        return tf.sigmoid(outputs["tag_logits"])

    def score() -> np.ndarray:
        means = [
            (probabilities(plain).numpy() + probabilities(mirrored).numpy()) / 2
            for plain, mirrored in zip(*features, strict=True)
        ]
        return np.concatenate(means)[: len(records)]

    return score


def _features(
    net, records, pictures, encode, mirror: bool, cache: Encodings | None
) -> list[tf.Tensor]:
    """Features of pictures in batches, [B, g, g, D]; the last is full."""
    batches = evaluation_batches(
        records,
        net.views,
        _BATCH,
        mirror=mirror,
        pictures=pictures,
        cache=cache,
    )
    return [
        shown_only(
            net.views,
            encode(batch["image"])[0] if cache is None else batch["features"],
            batch["valid"],
        )
        for batch in iterate(batches)
    ]
