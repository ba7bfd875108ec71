"""Annotations that stay in their COCO instances JSON until they are needed."""

import bisect
import copy
import json
import struct
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, overload

import numpy as np

from keras_wsss.data.annotations import (
    AnnotatedImage,
    Instance,
    Instances,
    Mark,
    marks_of,
)
from keras_wsss.data.aside import Column
from keras_wsss.data.file_notes import looks_of
from keras_wsss.data.formats.coco_entries import (
    WrongError,
    box_of,
    geometry_of,
    number_of,
)
from keras_wsss.data.reading_index import ReadingIndex
from keras_wsss.errors import DataError

_TOGETHER = 1000  # pictures that are read at once
_SORTED = 1 << 16  # annotations that are sorted at once, and
_PASSES = 16  # times that all are looked through for it, where these are many
# An annotation in the order of its file; `row` is that of its picture.
_ENTRY = np.dtype(
    [
        ("row", np.uint32),
        ("id", np.int64),
        ("category", np.int64),
        ("crowd", np.bool_),
        ("start", np.int64),
        ("size", np.uint32),
    ]
)
_pack = struct.Struct("=Iqq?qI").pack


class SortedColumns(NamedTuple):
    """Annotations, those of a picture in a row, by their ids.

    Attributes:
        first: integers [pictures + 1], where those of a picture begin.
        categories: integers [annotations].
        crowds: bool [annotations].
        starts: integers [annotations], bytes of the file.
        sizes: integers [annotations], bytes.
    """

    first: Column
    categories: Column
    crowds: Column
    starts: Column
    sizes: Column


class FiledImages(Sequence[AnnotatedImage]):
    """The pictures of a file, ascending by id; in memory are their ids alone.

    Args:
        names: uint8 [N], file names in UTF-8, one behind the other.
        numbers: int64 [pictures, 4], id, width, height, and where in `names`
            the name ends.

    Attributes:
        names: likewise.
        numbers: likewise.
        ids: of the pictures.
    """

    def __init__(self, names: Column, numbers: Column):
        self.names, self.numbers = names, numbers
        self.ids = _held(numbers, np.s_[:, 0])

    @classmethod
    def of(cls, images: Iterable[AnnotatedImage]) -> "FiledImages":
        """Takes pictures over, which may be of any order."""
        found = cls._in_order(images)
        order = np.argsort(np.asarray(found.ids))
        return cls._in_order(found[row] for row in order)

    @classmethod
    def _in_order(cls, images: Iterable[AnnotatedImage]) -> "FiledImages":
        names = Column(np.zeros(0, np.uint8))
        numbers = Column(np.zeros((0, 4), np.int64))
        for image in images:
            names.append_bytes(image.file_name.encode())
            row = (image.id, image.width, image.height, len(names))
            numbers.append_bytes(struct.pack("=qqqq", *row))
        return cls(names, numbers)

    def row(self, number: int) -> int:
        """Of the picture of an id among all; -1 if there is none."""
        row = bisect.bisect_left(self.ids, number)
        found = row < len(self.ids) and self.ids[row] == number
        return row if found else -1

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> AnnotatedImage: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[AnnotatedImage, ...]: ...

    def __getitem__(self, index):
        if isinstance(index, slice):
            return tuple(self[row] for row in range(len(self))[index])
        row = range(len(self))[index]
        return self._read(row, row + 1)[0]

    def __iter__(self) -> Iterator[AnnotatedImage]:
        for row in range(0, len(self), _TOGETHER):
            yield from self._read(row, min(row + _TOGETHER, len(self)))

    def _read(self, first: int, last: int) -> list[AnnotatedImage]:
        rows = self.numbers[max(first - 1, 0) : last].tolist()
        begin = rows.pop(0)[3] if first else 0
        texts = self.names[begin : rows[-1][3]].tobytes()
        images, start = [], 0
        for number, width, height, end in rows:
            name = texts[start : end - begin].decode()
            images.append(AnnotatedImage(number, name, width, height))
            start = end - begin
        return images


class ImageSizes:
    """Pictures without their names, to check annotations by.

    Args:
        images: of a file.
    """

    def __init__(self, images: FiledImages):
        self._images = images
        self._sizes = _held(images.numbers, np.s_[:, 1:3])
        self._last: AnnotatedImage | None = None

    def get(self, number: int) -> AnnotatedImage | None:
        """The picture of an id, if there is one."""
        if self._last is None or self._last.id != number:
            row = self._images.row(number)
            if row < 0:
                return None
            width, height = self._sizes[2 * row : 2 * row + 2]
            self._last = AnnotatedImage(number, "", width, height)
        return self._last


class Columns:
    """What is kept of the annotations of a file, in its order.

    Args:
        images: the pictures of the file.
    """

    def __init__(self, images: FiledImages):
        self._images = images
        self._last = (0, -1)  # a picture and its row
        self._counts = array("I", bytes(4 * len(images)))
        self._entries = Column(np.zeros(0, _ENTRY))

    def add(
        self, image: int, instance: Instance, start: int, size: int
    ) -> None:
        """Adds an annotation, and where in the file it stands."""
        number, row = self._last
        if row < 0 or number != image:
            row = self._images.row(image)
            self._last = image, row
        self._counts[row] += 1
        entry = _pack(
            row, instance.id, instance.category, instance.crowd, start, size
        )
        self._entries.append_bytes(entry)

    def sorted(self) -> SortedColumns:
        """The same by pictures."""
        entries, first = self._entries, np.zeros(len(self._counts) + 1, int)
        np.cumsum(self._counts, out=first[1:])
        columns = {
            name: Column(
                np.zeros(0, _smallest(b[name] for b in entries.blocks()))
            )
            for name in ("category", "start", "size")
        }
        columns["crowd"] = Column(np.zeros(0, bool))
        # Those of some pictures at a time: all at once would be the largest
        # part of the memory of a start.
        most = max(_SORTED, len(entries) // _PASSES)
        begin = 0
        while begin < len(self._counts):
            end = int(np.searchsorted(first, first[begin] + most, "right")) - 1
            end = max(end, begin + 1)
            part = np.concatenate(
                [np.zeros(0, _ENTRY)]
                + [
                    block[(begin <= block["row"]) & (block["row"] < end)]
                    for block in entries.blocks()
                ]
            )
            part = part[np.lexsort((part["id"], part["row"]))]
            for name, column in columns.items():
                column.append(part[name])
            begin = end
        return SortedColumns(
            Column(first),
            columns["category"],
            columns["crowd"],
            columns["start"],
            columns["size"],
        )


def _smallest(blocks: Iterable[np.ndarray]) -> np.dtype:
    """The smallest type for some integers, if none is negative."""
    low = high = 0
    for block in blocks:
        low, high = min(low, int(block.min())), max(high, int(block.max()))
    return np.dtype(np.int64) if low < 0 else np.min_scalar_type(high)


def _held(column: Column, part: Any = ...) -> "array[int]":
    """Integers of a column for memory, in few bytes each."""
    kind = _smallest(block[part] for block in column.blocks())
    held = array(kind.char)
    for block in column.blocks():
        held.frombytes(block[part].astype(kind).tobytes())
    return held


class Place(NamedTuple):
    """The annotations of a picture, and where in the file they stand.

    Attributes:
        id: of the picture.
        width: its columns.
        height: its rows.
        masks: whether instances have polygons or runs.
        kinds: category, and whether it is a crowd, of each.
        starts: first byte of each.
        sizes: bytes of each.
    """

    id: int
    width: int
    height: int
    masks: bool
    kinds: list[tuple[int, bool]]
    starts: list[int]
    sizes: list[int]

    @property
    def image(self) -> AnnotatedImage:
        """The picture, without its name."""
        return AnnotatedImage(self.id, "", self.width, self.height)


def read_instances(file: BinaryIO, place: Place) -> list[Instance]:
    """The annotations of a picture.

    Raises:
        Exception: `WrongError` or another, if the file is not the one that
            was read.
    """
    found = []
    image = place.image
    for (category, crowd), start, size in zip(
        place.kinds, place.starts, place.sizes, strict=True
    ):
        file.seek(start)
        entry = json.loads(file.read(size))
        polygons: tuple[np.ndarray, ...] = ()
        runs = None
        if place.masks:
            polygons, runs, _ = geometry_of(entry, "", image)
        box, number = box_of(entry.get("bbox")), number_of(entry) or 0
        found.append(Instance(number, category, crowd, polygons, runs, box))
    return found


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

    Attributes:
        path: the JSON file.
        columns: its annotations.
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
        self.path = path
        self._index = index
        self._crowds_of: list[int] | None = None  # all as in the file
        self._images = images
        self._masks = masks
        self._doubts = doubts or {}
        self._first = _held(columns.first)

    @property
    def looks(self) -> str:
        """Of the file when it was read, see `looks_of`."""
        return self._index.looks

    def _range(self, image: int) -> tuple[int, int]:
        row = self._images.row(image)
        return (0, 0) if row < 0 else (self._first[row], self._first[row + 1])

    def _kinds(self, first: int, last: int) -> list[tuple[int, bool]]:
        """Category, and whether it is a crowd, of some annotations."""
        categories = self.columns.categories[first:last].tolist()
        if self._crowds_of is None:
            crowds = self.columns.crowds[first:last].tolist()
        else:
            crowds = [c in self._crowds_of for c in categories]
        return list(zip(categories, crowds, strict=True))

    def marks(self, image: int) -> list[Mark]:
        """See `Instances`."""
        kinds = self._kinds(*self._range(image))
        marks = [(category, crowd, self._masks) for category, crowd in kinds]
        return marks + marks_of(self._doubts.get(image, ()))

    def __getitem__(self, image: int) -> tuple[Instance, ...]:
        first, last = self._range(image)
        doubts = self._doubts.get(image, ())
        if first == last and not doubts:
            raise KeyError(image)
        try:
            with open(self.path, "rb") as file:
                found = read_instances(file, self._place(image))
            changed = looks_of(self.path) != self.looks
        except (WrongError, KeyError, OSError, TypeError, ValueError):
            changed = True
        if changed:
            raise DataError(
                f"{self.path}: it has changed since it was read; start again, "
                "and leave it as it is until the end."
            )
        return (*found, *doubts)

    def place(self, image: int) -> Place | None:
        """Where another process finds all that is known of a picture.

        None if more is known than the file says.
        """
        return None if image in self._doubts else self._place(image)

    def _place(self, image: int) -> Place:
        first, last = self._range(image)
        _, _, width, height, _ = self._images[self._images.row(image)]
        return Place(
            image,
            width,
            height,
            self._masks,
            self._kinds(first, last),
            self.columns.starts[first:last].tolist(),
            self.columns.sizes[first:last].tolist(),
        )

    def __iter__(self) -> Iterator[int]:
        counts = np.diff(self._first).tolist()
        for image, count in zip(self._images, counts, strict=True):
            if count or image.id in self._doubts:
                yield image.id

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def load(self, *key: Any) -> dict[str, Column] | None:
        """See `Instances`."""
        return self._index.load(self._crowds_of, *key)

    def save(
        self, arrays: Mapping[str, np.ndarray | Column], *key: Any
    ) -> None:
        """See `Instances`."""
        self._index.save(arrays, self._crowds_of, *key)

    def without_crowds(self, ignored: frozenset[int]) -> "FiledInstances":
        """See `Instances`."""
        other = copy.copy(self)
        other._crowds_of = sorted(ignored)
        return other
