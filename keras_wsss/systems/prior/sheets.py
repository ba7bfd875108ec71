"""The fixed pictures in which one sees the prior system's masks grow."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from keras_wsss.categories import IGNORE, Split
from keras_wsss.data import preprocess
from keras_wsss.data.pictures import PictureStore
from keras_wsss.data.records import Record
from keras_wsss.drawing import Panel, Row
from keras_wsss.systems.prior.mask_maker import MaskMaker
from keras_wsss.systems.prior.network import Prior
from keras_wsss.systems.prior.problems import SEGMENT_STRIDE
from keras_wsss.systems.sheets import Pair


class PriorSheets:
    """Class map, foreground, mask before and after the CRF, prediction.

    Pictures are whole, with the size that training gives to stream S, and
    nothing of them is hidden.

    Args:
        net: the network.
        split: categories.
        pairs: name of a sheet -> pictures and the label whose class map is
            drawn.
        pictures: reads them.
        config: the run's config.
    """

    def __init__(
        self,
        net: Prior,
        split: Split,
        pairs: Mapping[str, Sequence[Pair]],
        pictures: PictureStore,
        config,
    ):
        self.net = net
        self.split = split
        self.pairs = pairs
        self.pictures = pictures
        self.maker = MaskMaker(net, config)
        self.size = config.image.size
        self.grid = config.prior.hide_grid
        ids = np.full(256, IGNORE, np.uint8)
        ids[: len(split.target_ids) + 1] = (0, *split.target_ids)
        self._ids = ids
        self._function = tf.function(self._outputs, autograph=False)

    def __call__(self) -> dict[str, list[Row]]:
        """Rows of all sheets as the network sees them now."""
        return {
            name: [self._row(*pair) for pair in chosen]
            for name, chosen in self.pairs.items()
            if chosen
        }

    def _outputs(self, image, valid, tags):
        hidden = tf.zeros((1, self.grid, self.grid))
        outputs = self.maker.classify(image, hidden, training=False)
        outputs["segment"] = self.net.segmenter(image, training=False)
        masks = self.maker.masks(outputs, image, valid, tags)
        logits = outputs["segment"]["logits"]
        return {
            "class_maps": outputs["clean"]["class_maps"][0],
            "foreground": masks.foreground,
            "before": masks.before_crf[0],
            "after": masks.target[0],
            "prediction": tf.argmax(logits[0], axis=-1),
        }

    def _row(self, record: Record, label: int) -> Row:
        square = self.pictures.image(record, self.size)
        image = self.net.base.preprocess(tf.constant(square.image))[None]
        valid = preprocess.whole_valid(
            square.height, square.width, self.size, SEGMENT_STRIDE
        )
        targets = np.array(self.split.target_ids)
        tags = np.isin(targets, record.labels).astype(np.float32)[None]
        found = {
            key: value.numpy()
            for key, value in self._function(image, valid[None], tags).items()
        }
        column = int(np.flatnonzero(targets == label)[0])
        maps = found["class_maps"][None, ..., column]
        panels = [
            Panel("picture"),
            Panel("class map", maps=maps - maps.min(), ids=(label,)),
            Panel("foreground", maps=found["foreground"], ids=(label,)),
            Panel("mask", mask=self._ids[found["before"]]),
            Panel("mask + CRF", mask=self._ids[found["after"]]),
            Panel("prediction", mask=self._ids[found["prediction"]]),
        ]
        names = tuple((self.split.name_of(i), i) for i in record.labels)
        return Row(square.image, tuple(panels), names)
