"""What TensorBoard shows of a TransferNet at every stage of learning."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from keras_wsss.categories import IGNORE, Split
from keras_wsss.data import preprocess
from keras_wsss.data.pictures import PictureStore
from keras_wsss.data.records import Record
from keras_wsss.drawing import Panel, Row
from keras_wsss.systems.merge import foreground_probability
from keras_wsss.systems.sheets import Pair
from keras_wsss.systems.transfernet.heldout import encoding_of
from keras_wsss.systems.transfernet.network import TransferNet

_BATCH = 4


class TransferSheets:
    """Attention, densified attention and mask of the same pictures.

    The encoder's outputs are computed once and kept, as it is frozen. Masks
    are shown of source pictures only; those of target pictures are not known
    to training.

    Args:
        net: the network.
        split: categories.
        pairs: "source" and "target" -> pictures and the label to ask for.
        pictures: reads them.
        inference: the config's group of that name.
        encode: `encoding_function` with the network's levels; made if None.
    """

    def __init__(
        self,
        net: TransferNet,
        split: Split,
        pairs: Mapping[str, Sequence[Pair]],
        pictures: PictureStore,
        inference,
        encode: Callable[[tf.Tensor], list[tf.Tensor]] | None = None,
    ):
        self.net = net
        self._encode = encode or encoding_of(net)
        self.split = split
        self.inference = inference
        self._encoded_pairs = {
            domain: [self._encoded(*pair, pictures) for pair in chosen]
            for domain, chosen in pairs.items()
            if chosen
        }

    def __call__(self) -> dict[str, list[Row]]:
        """Rows of both domains as the network sees them now."""
        return {
            domain: [
                row
                for start in range(0, len(examples), _BATCH)
                for row in self._rows(examples[start : start + _BATCH])
            ]
            for domain, examples in self._encoded_pairs.items()
        }

    def _encoded(self, record: Record, label: int, pictures: PictureStore):
        size = self.net.views.image_size
        square = pictures.image(record, size)
        inputs = preprocess.to_encoder_input(
            tf.constant(square.image[None]), self.net.views.pixels
        )
        features, *levels = self._encode(inputs)
        valid = preprocess.whole_valid(
            square.height, square.width, size, self.net.views.stride
        )
        features = preprocess.shown_only(self.net.views, features, valid[None])
        truth = None
        # A mask of a target picture would be a pseudo label, not truth.
        if record.domain == "source" and record.mask is not None:
            mask = pictures.mask(record, size, square.height, square.width)
            # As the decoder is taught: other categories are background.
            truth = np.where(np.isin(mask, (label, IGNORE)), mask, 0)
        return {
            "image": square.image,
            "label": label,
            "truth": truth,
            "features": features,
            "levels": levels,
        }

    def _rows(self, examples: Sequence[dict]) -> list[Row]:
        labels = tf.constant([[e["label"]] for e in examples], tf.int32)
        features = tf.concat([e["features"] for e in examples], 0)
        outputs = self.net.attention(
            [tf.cast(features, tf.float32), labels], training=False
        )
        levels = [
            tf.concat(maps, 0)
            for maps in zip(*(e["levels"] for e in examples), strict=True)
        ]
        densified = outputs["densified_attention"]
        logits = self.net.mask_logits(
            [outputs["guide"], labels, *levels], training=False
        )
        probabilities = foreground_probability(
            logits, self.inference.background_factor, self.inference.relative
        )
        found = probabilities > self.inference.mask_threshold
        return [
            self._row(
                example,
                outputs["attention"][index].numpy(),
                densified[index].numpy(),
                found[index, 0].numpy(),
            )
            for index, example in enumerate(examples)
        ]

    def _row(self, example: dict, attention, densified, foreground) -> Row:
        label, truth = example["label"], example["truth"]
        panels = [
            Panel("picture"),
            Panel("attention", maps=attention, ids=(label,)),
            Panel("densified", maps=densified, ids=(label,)),
            Panel("mask", mask=np.where(foreground, label, 0).astype(np.uint8)),
        ]
        if truth is not None:
            panels.append(Panel("truth", mask=truth.astype(np.uint8)))
        names = ((self.split.name_of(label), label),)
        return Row(example["image"], tuple(panels), names)
