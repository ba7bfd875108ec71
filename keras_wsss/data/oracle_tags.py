"""True masks of tagged pictures, for an oracle that reads tags from windows.

The released prior system takes the tags of a training window from its pixels.
That is more than image tags tell: it serves a comparison only, and rows of
results made with it say so.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from keras_wsss.categories import Split
from keras_wsss.data.formats.index_masks import IndexMask
from keras_wsss.data.formats.voc import read_classes
from keras_wsss.data.records import Record, Records
from keras_wsss.errors import DataError

MASKS = "SegmentationClass"


def with_true_masks(
    records: Sequence[Record], root: Path, split: Split, max_pixels: int
) -> Records:
    """Gives target records their true masks.

    Args:
        records: records of `read_tags`.
        root: folder in VOC layout; masks in `SegmentationClass`.
        split: categories of the records.
        max_pixels: largest width times height of a mask.

    Raises:
        DataError: a picture has no mask.
    """
    ids = tuple(split.find(name) or 0 for name in read_classes(root))
    found = Records()
    for record in records:
        path = root / MASKS / f"{record.image_id}.png"
        if not path.exists():
            raise DataError(
                f"{path}: no such file; config.prior.tags='crop_gt' needs the "
                "true mask of every training picture. Use 'image'."
            )
        mask = IndexMask(path, ids, max_pixels)
        found.append(dataclasses.replace(record, mask=mask))
    return found


def window_tags(masks: tf.Tensor, ids: Sequence[int]) -> tf.Tensor:
    """Which categories have a pixel in each window.

    Args:
        masks: uint8 [B, S, S], ids, 0 or 255.
        ids: K category ids.

    Returns:
        float32 [B, K].
    """
    wanted = tf.constant(list(ids), tf.int32)[None, :, None, None]
    same = tf.equal(tf.cast(masks, tf.int32)[:, None], wanted)
    return tf.cast(tf.reduce_any(same, axis=(2, 3)), tf.float32)
