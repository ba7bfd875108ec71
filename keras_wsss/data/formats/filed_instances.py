"""Annotations that stay in their COCO instances JSON until they are needed."""

import bisect
import copy
import json
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np

from keras_wsss.data.annotations import (
    AnnotatedImage,
    Instance,
    Instances,
    Mark,
    marks_of,
)
from keras_wsss.data.file_notes import looks_of
from keras_wsss.data.formats.coco_entries import (
    WrongError,
    box_of,
    geometry_of,
    number_of,
)
from keras_wsss.data.reading_index import ReadingIndex
from keras_wsss.errors import DataError


class SortedColumns(NamedTuple):
    """Annotations, those of a picture in a row, by their ids.

    Attributes:
        first: int64 [pictures + 1], where those of a picture begin.
        categories: integers [annotations].
        crowds: bool [annotations].
        starts: integers [annotations], bytes of the file.
        sizes: integers [annotations], bytes.
    """

    first: np.ndarray
    categories: np.ndarray
    crowds: np.ndarray
    starts: np.ndarray
    sizes: np.ndarray


class FiledImages(Sequence[AnnotatedImage]):
    """The pictures of a file, ascending by id, in few bytes each.

    Args:
        names: uint8 [N], file names in UTF-8 with a zero byte behind each.
        numbers: int64 [pictures, 3], id, width and height.
    """

    def __init__(self, names: np.ndarray, numbers: np.ndarray):
        self.numbers = numbers
        self._names = names.tobytes()
        self._ends = array("q", np.flatnonzero(names == 0).tobytes())

    @classmethod
    def of(cls, images: Collection[AnnotatedImage]) -> "FiledImages":
        """Takes pictures over."""
        names = "".join(f"{image.file_name}\0" for image in images)
        numbers = [(image.id, image.width, image.height) for image in images]
        return cls(
            np.frombuffer(names.encode(), np.uint8),
            np.array(numbers, np.int64).reshape(-1, 3),
        )

    @property
    def names(self) -> np.ndarray:
        """As it was made of."""
        return np.frombuffer(self._names, np.uint8)

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> AnnotatedImage: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[AnnotatedImage, ...]: ...

    def __getitem__(self, index):
        if isinstance(index, slice):
            return tuple(self[row] for row in range(len(self))[index])
        row = range(len(self))[index]
        first = self._ends[row - 1] + 1 if row else 0
        name = self._names[first : self._ends[row]].decode()
        number, width, height = self.numbers[row].tolist()
        return AnnotatedImage(number, name, width, height)


class Columns:
    """What is kept of the annotations of a file, in its order."""

    def __init__(self):
        self.ids = array("q")
        self.images = array("q")
        self.categories = array("q")
        self.crowds = array("b")
        self.starts = array("q")  # bytes of the file
        self.sizes = array("q")

    def add(
        self, image: int, instance: Instance, start: int, size: int
    ) -> None:
        """Adds an annotation, and where in the file it stands."""
        self.ids.append(instance.id)
        self.images.append(image)
        self.categories.append(instance.category)
        self.crowds.append(instance.crowd)
        self.starts.append(start)
        self.sizes.append(size)

    def sorted(self, images: FiledImages) -> SortedColumns:
        """The same by pictures."""
        owners = np.asarray(self.images, np.int64)
        order = np.lexsort((np.asarray(self.ids, np.int64), owners))
        first = np.searchsorted(owners[order], images.numbers[:, 0])
        return SortedColumns(
            np.append(first, len(order)),
            _narrow(np.asarray(self.categories, np.int64))[order],
            np.asarray(self.crowds, np.int8)[order].astype(bool),
            _narrow(np.asarray(self.starts, np.int64))[order],
            _narrow(np.asarray(self.sizes, np.int64))[order],
        )


def _narrow(values: np.ndarray) -> np.ndarray:
    """The same, of the smallest type that holds them, if none is negative."""
    if not len(values) or values.min() < 0:
        return values
    return values.astype(np.min_scalar_type(values.max()))


class FiledInstances(Instances):
    """Annotations that stay in their file, and are read when they are needed.

    Args:
        path: the JSON file.
        images: its pictures.
        columns: its annotations.
        masks: whether instances have polygons or runs.
        index: keeps what is found of them.
        doubts: what stands for annotations with a fault. A file that has some
            is read anew at every start.
    """

    def __init__(
        self,
        path: Path,
        images: FiledImages,
        columns: SortedColumns,
        masks: bool,
        index: ReadingIndex,
        doubts: Mapping[int, list[Instance]] | None = None,
    ):
        self.columns = columns
        self._path = path
        self._index = index
        self._crowds_of: list[int] | None = None  # all as in the file
        self._images = images
        self._masks = masks
        self._doubts = doubts or {}
        self._image_ids = array("q", images.numbers[:, 0].tobytes())
        self._first = array("q", columns.first.tobytes())

    def _row(self, image: int) -> int:
        """Of a picture among all; -1 if there is none of this id."""
        row = bisect.bisect_left(self._image_ids, image)
        found = row < len(self._images) and self._image_ids[row] == image
        return row if found else -1

    def _range(self, image: int) -> tuple[int, int]:
        row = self._row(image)
        return (0, 0) if row < 0 else (self._first[row], self._first[row + 1])

    def marks(self, image: int) -> list[Mark]:
        """See `Instances`."""
        first, last = self._range(image)
        categories = self.columns.categories[first:last].tolist()
        crowds = self.columns.crowds[first:last].tolist()
        marks = list(zip(categories, crowds, repeat(self._masks)))
        return marks + marks_of(self._doubts.get(image, ()))

    def __getitem__(self, image: int) -> tuple[Instance, ...]:
        first, last = self._range(image)
        doubts = self._doubts.get(image, ())
        if first == last and not doubts:
            raise KeyError(image)
        row = self._row(image)
        starts = self.columns.starts[first:last].tolist()
        sizes = self.columns.sizes[first:last].tolist()
        found = []
        try:
            with open(self._path, "rb") as file:
                for index, start, size in zip(
                    range(first, last), starts, sizes, strict=True
                ):
                    file.seek(start)
                    entry = json.loads(file.read(size))
                    found.append(self._read(entry, row, index))
            changed = looks_of(self._path) != self._index.looks
        except (WrongError, KeyError, OSError, TypeError, ValueError):
            changed = True
        if changed:
            raise DataError(
                f"{self._path}: it has changed since it was read; start again, "
                "and leave it as it is until the end."
            )
        return (*found, *doubts)

    def _read(self, entry: Any, row: int, index: int) -> Instance:
        polygons: tuple[np.ndarray, ...] = ()
        runs = None
        if self._masks:
            polygons, runs, _ = geometry_of(entry, "", self._images[row])
        return Instance(
            number_of(entry) or 0,
            int(self.columns.categories[index]),
            bool(self.columns.crowds[index]),
            polygons,
            runs,
            box_of(entry.get("bbox")),
        )

    def __iter__(self) -> Iterator[int]:
        counts = np.diff(self._first).tolist()
        for image, count in zip(self._images, counts, strict=True):
            if count or image.id in self._doubts:
                yield image.id

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def load(self, *key: Any) -> dict[str, np.ndarray] | None:
        """See `Instances`."""
        return self._index.load(self._crowds_of, *key)

    def save(self, arrays: Mapping[str, np.ndarray], *key: Any) -> None:
        """See `Instances`."""
        self._index.save(arrays, self._crowds_of, *key)

    def without_crowds(self, ignored: frozenset[int]) -> "FiledInstances":
        """See `Instances`."""
        other = copy.copy(self)
        other._crowds_of = sorted(ignored)
        other.columns = self.columns._replace(
            crowds=np.isin(self.columns.categories, list(ignored))
        )
        return other
