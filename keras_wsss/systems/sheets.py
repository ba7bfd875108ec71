"""Which fixed pictures TensorBoard shows at every stage of learning."""

from collections.abc import Sequence

import numpy as np

from keras_wsss.categories import Split
from keras_wsss.data.pictures import PictureStore
from keras_wsss.data.records import Record

Pair = tuple[Record, int]

_SEARCHED = 200  # pictures looked at for examples, the first ones


def preferred_ids(split: Split) -> tuple[int, ...]:
    """Target categories, the scored ones first: they are what a run is for."""
    scored = split.scored_ids
    return (*scored, *(i for i in split.target_ids if i not in scored))


def tagged_pairs(
    records: Sequence[Record], ids: Sequence[int], count: int
) -> list[Pair]:
    """One picture for each of several categories, chosen by tags alone.

    Args:
        records: pictures; masks are not looked at.
        ids: categories in order of preference.
        count: how many, if there are as many.
    """
    best: dict[int, Record] = {}
    for record in records:
        for label in record.labels:
            # Fewest other things in it, then first in order.
            known = best.setdefault(label, record)
            if len(record.labels) < len(known.labels):
                best[label] = record
    return [(best[label], label) for label in ids if label in best][:count]


def masked_pairs(
    records: Sequence[Record], pictures: PictureStore, size: int, count: int
) -> list[Pair]:
    """One picture for each of several categories, its largest ones.

    The categories are spread evenly over those that the pictures have.

    Args:
        records: pictures with masks.
        pictures: reads them.
        size: side of the squares that are looked at.
        count: how many, if there are as many.

    Raises:
        DataError: a picture or mask that cannot be read.
    """
    if not count:
        return []
    best: dict[int, tuple[int, Record]] = {}
    for record in records[:_SEARCHED]:
        square = pictures.image(record, size)
        mask = pictures.mask(record, size, square.height, square.width)
        areas = np.bincount(mask.ravel(), minlength=256)
        for label in record.labels:
            if areas[label] > best.get(label, (0, None))[0]:
                best[label] = (int(areas[label]), record)
    labels = sorted(best)
    if len(labels) > count:
        places = np.linspace(0, len(labels) - 1, count).round().astype(int)
        labels = [labels[place] for place in places]
    return [(best[label][1], label) for label in labels]
