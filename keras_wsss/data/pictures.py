"""Squared pictures and masks, decoded once and kept in memory if they fit."""

import dataclasses
import itertools
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from keras_wsss.categories import IGNORE
from keras_wsss.data import preprocess
from keras_wsss.data.images import (
    DEFAULT_MAX_PIXELS,
    read_image,
    taking_turns,
)
from keras_wsss.data.records import UNREADABLE, Dataset, Record
from keras_wsss.errors import DataError
from keras_wsss.progress import progress
from keras_wsss.side_by_side import side_by_side


@dataclasses.dataclass(frozen=True)
class Square:
    """A picture padded to a square and resized.

    Attributes:
        image: uint8 [size, size, 3], RGB.
        height: rows of the original picture.
        width: columns of the original picture.
    """

    image: np.ndarray
    height: int
    width: int


class PictureStore:
    """Reads pictures and masks as squares; threads may share it.

    Args:
        max_pixels: larger pictures are refused before they are decoded.
        memory_mb: squares kept in memory, in MB; what comes first stays.
        colour: of the padding, RGB grey levels.
    """

    def __init__(
        self,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        memory_mb: float = 0,
        colour: tuple[int, int, int] = preprocess.BLACK,
    ):
        self.max_pixels = max_pixels
        self.colour = colour
        self._free = int(memory_mb * 1e6)
        self._kept: dict[tuple, Square | np.ndarray] = {}
        self._lock = threading.Lock()

    def image(self, record: Record, size: int, keep: bool = True) -> Square:
        """The record's picture as a square of `size` pixels.

        Args:
            record: the picture.
            size: side of the square.
            keep: whether it is worth memory, i.e. will be read again.

        Raises:
            DataError: the file is missing, damaged, too large, or of another
                type than JPEG or PNG.
        """

        def read() -> Square:
            image = read_image(Path(record.image_path), self.max_pixels)
            height, width = image.shape[:2]
            # Nothing to pad, nothing to resize.
            if (height, width) != (size, size):
                with taking_turns(max(height, width) ** 2):
                    image = preprocess.square_array(image, size, self.colour)
            return Square(image, height, width)

        key = ("image", str(record.image_path), size)
        return self._once(key, read, keep)

    def mask(
        self, record: Record, size: int, height: int, width: int
    ) -> np.ndarray:
        """The record's index mask as a square of `size` pixels.

        Args:
            record: a record without a mask gives 255 everywhere.
            size: side of the result.
            height: rows of the record's picture.
            width: columns of the record's picture.

        Returns:
            uint8 [size, size].

        Raises:
            DataError: the mask cannot be read, or is not of the picture's
                size.
        """

        def read() -> np.ndarray:
            mask = record.read_mask()
            if mask.shape != (height, width):
                raise DataError(
                    f"The mask of '{record.image_id}' is {mask.shape[1]} x "
                    f"{mask.shape[0]} pixels, its picture "
                    f"{record.image_path} {width} x {height}; correct or "
                    "remove the record."
                )
            return preprocess.square_mask(mask, size)

        if record.mask is None:
            return np.full((size, size), IGNORE, np.uint8)
        key = ("mask", record.image_id, str(record.image_path), size)
        return self._once(key, read)

    def _once(
        self,
        key: tuple,
        read: Callable[[], Square | np.ndarray],
        keep: bool = True,
    ):
        value = self._kept.get(key)
        if value is None:
            value = read()
            if not keep:
                return value
            array = value.image if isinstance(value, Square) else value
            with self._lock:
                if array.nbytes <= self._free and key not in self._kept:
                    self._free -= array.nbytes
                    self._kept[key] = value
        return value


def drop_bad_images(
    dataset: Dataset, max_pixels: int = DEFAULT_MAX_PIXELS
) -> Dataset:
    """Leaves out the records whose picture cannot be decoded, and counts them.

    Every picture is decoded completely, before training, so that the order of
    the pairs is known from the beginning.

    Args:
        dataset: from any reader.
        max_pixels: larger pictures count as unreadable.

    Returns:
        The data set without them; `skipped` lists them under
        "unreadable image".

    Raises:
        DataError: no picture can be read.
    """

    def problem(record: Record) -> str | None:
        try:
            read_image(Path(record.image_path), max_pixels)
        except DataError as error:
            return str(error)
        return None

    both = itertools.chain(dataset.records, dataset.negatives)
    count = len(dataset.records) + len(dataset.negatives)
    found = side_by_side(problem, both, threads=4, ahead=4)
    all_problems = list(progress(found, "checking pictures", count))
    problems = all_problems[: len(dataset.records)]
    others = all_problems[len(dataset.records) :]
    kept, negatives = (
        records.pick(n for n, found in enumerate(several) if found is None)
        for records, several in (
            (dataset.records, problems),
            (dataset.negatives, others),
        )
    )
    bad = tuple(
        record.image_id
        for record, found in zip(dataset.records, problems, strict=True)
        if found is not None
    )
    if not bad and len(negatives) == len(dataset.negatives):
        return dataset
    if not bad:
        return dataclasses.replace(dataset, negatives=negatives)
    if not kept:
        raise DataError(
            f"None of the {len(bad)} pictures can be read; the first problem: "
            f"{problems[0]}"
        )
    before = dataset.skipped.get(UNREADABLE, ())
    skipped = {**dataset.skipped, UNREADABLE: (*before, *bad)}
    return dataclasses.replace(
        dataset, records=kept, skipped=skipped, negatives=negatives
    )
