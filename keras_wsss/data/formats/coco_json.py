"""Strict reading of a COCO instances JSON into light tuples.

Everything is validated here, before any of it reaches pycocotools, whose C
code trusts sizes, run lengths and coordinates.
"""

import bisect
import collections
import copy
import json
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from keras_wsss.data.annotations import (
    AnnotatedImage,
    Annotations,
    HeldInstances,
    Instance,
    Instances,
    Mark,
)
from keras_wsss.data.file_notes import looks_of
from keras_wsss.data.images import DEFAULT_MAX_PIXELS
from keras_wsss.data.json_stream import Element, IrregularError, JsonLists
from keras_wsss.data.json_text import check_brackets, read_json
from keras_wsss.data.problems import (
    Problem,
    Report,
    check_text,
    path_problem,
    raise_problem,
)
from keras_wsss.data.reading_index import ReadingIndex
from keras_wsss.data.segmentation import (
    checked_polygons,
    checked_runs,
    is_integer,
    is_number,
    shown,
)
from keras_wsss.errors import DataError


def read_coco_file(
    path: str | Path,
    report: Report = raise_problem,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    *,
    masks: bool = True,
    index: str | Path | None = None,
) -> Annotations:
    """Reads and validates an instances JSON.

    Ids are keys: any integers will do, also as 1.0 or "1". What nothing reads
    (a faulty bbox) refuses nothing.

    Args:
        path: the file.
        report: called with every problem; the faulty entry is left out.
        max_pixels: largest width times height of a picture.
        masks: whether annotations need a segmentation; without, none of
            theirs is read, as for tags.
        index: folder of a `ReadingIndex`, for files without a fault.

    Raises:
        DataError: no COCO JSON at all; and with the default `report`, the
            first problem of any entry.
    """
    path = Path(path)
    later = _Later(report)
    check_text(path)
    kept = ReadingIndex(index, path)
    key = ("coco", masks, max_pixels)
    if (arrays := kept.load(*key)) is not None:
        return _from_arrays(arrays, path, masks, kept)
    try:
        file = _streamed(path, later, max_pixels, masks, kept)
        if later.silent:
            kept.save(_to_arrays(file), *key)
    except IrregularError:
        later.start_again()
        file = _whole(path, later, max_pixels, masks)
    later.flush()
    return file


class _Later:
    """Keeps problems back until nothing can be wrong with the whole file."""

    def __init__(self, report: Report):
        self._report = report
        self._kept: list[Problem] = []
        self._told = 0  # since the beginning of the file, or to be told again

    @property
    def silent(self) -> bool:
        """Whether there is no problem."""
        return not (self._kept or self._told)

    def __call__(self, problem: Problem) -> None:
        self._kept.append(problem)
        if len(self._kept) > _KEPT:
            self.flush()

    def flush(self) -> None:
        """Tells what was kept back."""
        kept, self._kept = self._kept, []
        for problem in kept:
            self._told += 1
            if self._told > 0:
                self._report(problem)

    def start_again(self) -> None:
        """Forgets what was kept back; what was told is not told again."""
        self._kept, self._told = [], -max(self._told, 0)


def _streamed(
    path: Path,
    report: Report,
    max_pixels: int,
    masks: bool,
    index: ReadingIndex,
) -> Annotations:
    """`read_coco_file` without keeping more than columns of the annotations.

    Raises `IrregularError` for what is no file of COCO's form.
    """
    check_brackets(path, _WHAT)
    lists = JsonLists(path, _LISTS)

    def tell(kind: str, record: str, text: str) -> None:
        report(Problem(kind, str(path), record, text))

    def read_categories(elements: Iterator[Element]) -> dict[int, str]:
        return dict(_categories((e.value for e in elements), tell))

    def read_images(elements: Iterator[Element]) -> dict[int, AnnotatedImage]:
        entries = (e.value for e in elements)
        found = _images(entries, tell, max_pixels)
        return {image.id: image for image in found}

    categories: dict[int, str] | None = None
    images: dict[int, AnnotatedImage] | None = None
    early: list[str] = []
    columns = Columns()
    dropped: collections.Counter[str] = collections.Counter()
    for key, elements in lists.elements():
        if key in early:
            collections.deque(elements, maxlen=0)  # read before
        elif key == "categories":
            categories = read_categories(elements)
        elif key == "images":
            images = read_images(elements)
        else:
            # COCO's own files have the categories last.
            if categories is None:
                early.append("categories")
                categories = read_categories(lists.ahead("categories"))
            if images is None:
                early.append("images")
                images = read_images(lists.ahead("images"))
            seen: set[int] = set()
            for number, (entry, start, size) in enumerate(elements):
                record = f"annotations[{number}]"
                try:
                    image, instance, crumbs = _instance(
                        entry, record, images, categories, seen, masks
                    )
                except _Wrong as wrong:
                    tell(*wrong.args)
                else:
                    dropped[CRUMBS] += crumbs
                    columns.add(image, instance, start, size)
    assert categories is not None
    assert images is not None
    found = tuple(images[number] for number in sorted(images))
    return Annotations(
        path=path,
        images=found,
        categories=categories,
        instances=FiledInstances(
            path, found, columns.sorted(found), masks, index
        ),
        dropped=dict(+dropped),
    )


def _to_arrays(file: Annotations) -> dict[str, np.ndarray]:
    """What a `ReadingIndex` keeps of a file."""
    assert isinstance(file.instances, FiledInstances)
    names = "\n".join(image.file_name for image in file.images)
    categories = [[k, name] for k, name in file.categories.items()]
    about = json.dumps([categories, file.dropped])
    return {
        **file.instances.columns._asdict(),
        "names": np.frombuffer(names.encode(), np.uint8),
        "sizes_of_images": np.array(
            [(image.id, image.width, image.height) for image in file.images],
            np.int64,
        ).reshape(-1, 3),
        "rest": np.frombuffer(about.encode(), np.uint8),
    }


def _from_arrays(
    arrays: dict[str, np.ndarray],
    path: Path,
    masks: bool,
    index: ReadingIndex,
) -> Annotations:
    """Undoes `_to_arrays`."""
    categories, dropped = json.loads(arrays["rest"].tobytes())
    names = arrays["names"].tobytes().decode().split("\n")
    sizes = arrays["sizes_of_images"].tolist()
    images = tuple(
        AnnotatedImage(number, name, width, height)
        for name, (number, width, height) in zip(names, sizes, strict=False)
    )
    columns = SortedColumns(*(arrays[n] for n in SortedColumns._fields))
    return Annotations(
        path=path,
        images=images,
        categories=dict(categories),
        instances=FiledInstances(path, images, columns, masks, index),
        dropped=dropped,
    )


def _whole(
    path: Path, report: Report, max_pixels: int, masks: bool
) -> Annotations:
    """`read_coco_file` of a file of any order, all of it in memory."""
    document = _load(path)

    def tell(kind: str, record: str, text: str) -> None:
        report(Problem(kind, str(path), record, text))

    categories = dict(_categories(document["categories"], tell))
    images = {
        image.id: image
        for image in _images(document["images"], tell, max_pixels)
    }
    instances: dict[int, list[Instance]] = {}
    seen: set[int] = set()
    dropped: collections.Counter[str] = collections.Counter()
    for index, entry in enumerate(document["annotations"]):
        record = f"annotations[{index}]"
        try:
            key, instance, crumbs = _instance(
                entry, record, images, categories, seen, masks
            )
        except _Wrong as wrong:
            tell(*wrong.args)
        else:
            dropped[CRUMBS] += crumbs
            instances.setdefault(key, []).append(instance)
    return Annotations(
        path=path,
        images=tuple(images[key] for key in sorted(images)),
        categories=categories,
        instances=HeldInstances(
            {
                key: tuple(sorted(value, key=lambda instance: instance.id))
                for key, value in instances.items()
            }
        ),
        dropped=dict(+dropped),
    )


class SortedColumns(NamedTuple):
    """Annotations, those of a picture in a row, by their ids.

    Attributes:
        first: int64 [pictures + 1], where those of a picture begin.
        categories: int64 [annotations].
        crowds: bool [annotations].
        starts: int64 [annotations], bytes of the file.
        sizes: int32 [annotations], bytes.
    """

    first: np.ndarray
    categories: np.ndarray
    crowds: np.ndarray
    starts: np.ndarray
    sizes: np.ndarray


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

    def sorted(self, images: Sequence[AnnotatedImage]) -> SortedColumns:
        """The same by pictures, which ascend by id."""
        owners = np.asarray(self.images, np.int64)
        order = np.lexsort((np.asarray(self.ids, np.int64), owners))
        ids = np.array([image.id for image in images], np.int64)
        first = np.searchsorted(owners[order], ids)
        return SortedColumns(
            np.append(first, len(order)),
            np.asarray(self.categories, np.int64)[order],
            np.asarray(self.crowds, np.int8)[order].astype(bool),
            np.asarray(self.starts, np.int64)[order],
            np.asarray(self.sizes, np.int32)[order],
        )


class FiledInstances(Instances):
    """Annotations that stay in their file, and are read when they are needed.

    Args:
        path: the JSON file.
        images: its pictures, ascending by id.
        columns: its annotations.
        masks: whether instances have polygons or runs.
        index: keeps what is found of them.
    """

    def __init__(
        self,
        path: Path,
        images: tuple[AnnotatedImage, ...],
        columns: SortedColumns,
        masks: bool,
        index: ReadingIndex,
    ):
        self.columns = columns
        self._path = path
        self._index = index
        self._crowds_of: list[int] | None = None  # all as in the file
        self._images = images
        self._masks = masks
        self._image_ids = array("q", (image.id for image in images))
        self._first = array("q", columns.first.tolist())

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
        return list(zip(categories, crowds, repeat(self._masks)))

    def __getitem__(self, image: int) -> tuple[Instance, ...]:
        first, last = self._range(image)
        if first == last:
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
        except (_Wrong, KeyError, OSError, TypeError, ValueError):
            changed = True
        if changed:
            raise DataError(
                f"{self._path}: it has changed since it was read; start again, "
                "and leave it as it is until the end."
            )
        return tuple(found)

    def _read(self, entry: Any, row: int, index: int) -> Instance:
        polygons: tuple[np.ndarray, ...] = ()
        runs = None
        if self._masks:
            polygons, runs, _ = _geometry(entry, "", self._images[row])
        return Instance(
            int(entry["id"]),
            int(self.columns.categories[index]),
            bool(self.columns.crowds[index]),
            polygons,
            runs,
            _box(entry.get("bbox")),
        )

    def __iter__(self) -> Iterator[int]:
        rows = np.flatnonzero(np.diff(self._first))
        return (self._images[row].id for row in rows.tolist())

    def __len__(self) -> int:
        return int(np.count_nonzero(np.diff(self._first)))

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


_Tell = Callable[[str, str, str], None]


class _Wrong(Exception):
    """An annotation cannot be used: kind, record and text for `_Tell`."""


_WHAT = "COCO instances file"
_LISTS = ("images", "annotations", "categories")
CRUMBS = "parts of fewer than three points"
_LARGEST = 2**63  # no id reaches it
_WRONG_ENTRY = "wrong entry"
_KEPT = 2000  # problems that are kept back


def _load(path: Path) -> dict[str, Any]:
    document = read_json(path, _WHAT)
    if not isinstance(document, dict):
        document = {}
    for key in _LISTS:
        if not isinstance(document.get(key), list):
            raise DataError(
                f'{path}: the list "{key}" is missing; this must be a COCO '
                "instances JSON (images, annotations, categories)."
            )
    return document


def _field(
    entry: dict, key: str, valid: Callable[[Any], bool], wanted: str
) -> str | None:
    """What is wrong with one field of an entry, if anything."""
    if key not in entry:
        return f'"{key}" is missing; it must be {wanted}'
    if not valid(entry[key]):
        return f'"{key}" is {shown(entry[key])}; it must be {wanted}'
    return None


def _entry_problem(entry: Any, fields: dict[str, tuple]) -> str | None:
    if not isinstance(entry, dict):
        return f"is {shown(entry)}; it must be a JSON object"
    for key, (valid, wanted) in fields.items():
        if text := _field(entry, key, valid, wanted):
            return text
    return None


def is_name(value: Any) -> TypeGuard[str]:
    """Whether a JSON value is a text that can name something."""
    # JSON can hold halves of characters, which no output can, and what clears
    # a terminal.
    odd = "[\x01-\x1f\x7f\ud800-\udfff]"
    if not isinstance(value, str) or re.search(odd, value):
        return False
    return bool(value.strip())


def _is_key(value: Any) -> bool:
    """Whether `int` makes an id of it; some tools write 1.0 or "1" for 1."""
    if isinstance(value, float):
        return value.is_integer() and abs(value) < 2**53
    if isinstance(value, str):
        return re.fullmatch(r"-?[0-9]{1,18}", value) is not None
    return is_integer(value) and abs(value) < _LARGEST


def _box(value: Any) -> tuple[float, float, float, float] | None:
    """x, y, width, height; None where there are no such numbers."""
    if not isinstance(value, list) or len(value) != 4:
        return None
    if not all(map(is_number, value)):
        return None
    x, y, width, height = map(float, value)
    return (x, y, width, height)


def _is_positive(value: Any) -> bool:
    return _is_key(value) and 0 < int(value) < 2**31


_ID = (_is_key, "an integer")
_CATEGORY_FIELDS = {"id": _ID, "name": (is_name, "a name")}
_IMAGE_FIELDS = {
    "id": _ID,
    "file_name": (is_name, "a file name"),
    "width": (_is_positive, "a positive number of pixels"),
    "height": (_is_positive, "a positive number of pixels"),
}
_INSTANCE_FIELDS = {"id": _ID, "image_id": _ID, "category_id": _ID}
_SEGMENTATION = (
    lambda value: isinstance(value, list | dict),
    "a list of polygons or a run-length encoding",
)


def _categories(entries: Iterable, tell: _Tell) -> Iterator[tuple[int, str]]:
    ids: set[int] = set()
    names: set[str] = set()
    for index, entry in enumerate(entries):
        record = f"categories[{index}]"
        if text := _entry_problem(entry, _CATEGORY_FIELDS):
            tell("bad category", record, text)
            continue
        number, name = int(entry["id"]), entry["name"].strip()
        if number in ids:
            text = f"id {number} is taken twice; ids must be unique"
        elif name in names:
            text = f"the name {name!r} is taken twice; join the categories"
        if text:
            tell("bad category", record, text)
            continue
        ids.add(number)
        names.add(name)
        yield number, name


def _images(
    entries: Iterable, tell: _Tell, max_pixels: int
) -> Iterator[AnnotatedImage]:
    ids: set[int] = set()
    names: set[str] = set()
    for index, entry in enumerate(entries):
        record, kind = f"images[{index}]", _WRONG_ENTRY
        text = _entry_problem(entry, _IMAGE_FIELDS)
        if not text:
            image = AnnotatedImage(
                int(entry["id"]),
                entry["file_name"],
                int(entry["width"]),
                int(entry["height"]),
            )
            record = f"image {image.id}"
            if image.id in ids:
                text = "its id is taken twice; ids must be unique"
            elif image.file_name in names:
                text = f"{image.file_name} is listed twice; remove one"
            elif text := path_problem(image.file_name):
                kind = "path leaving the root"
            elif image.width * image.height > max_pixels:
                text = (
                    f"{image.width} x {image.height} is more than the limit "
                    f"of {max_pixels} pixels; shrink the picture or raise "
                    "--max_pixels"
                )
        if text:
            tell(kind, record, text)
            continue
        ids.add(image.id)
        names.add(image.file_name)
        yield image


def _instance(
    entry: Any,
    record: str,
    images: dict[int, AnnotatedImage],
    categories: dict[int, str],
    seen: set[int],
    masks: bool,
) -> tuple[int, Instance, int]:
    """(image id, instance, parts left out) of a valid annotation.

    Raises `_Wrong`.
    """
    number, key, category = _instance_keys(entry, record)
    record = f"annotation {number}"
    if number in seen:
        raise _Wrong(
            _WRONG_ENTRY, record, "its id is taken twice; ids must be unique"
        )
    seen.add(number)
    image = images.get(key)
    if image is None:
        raise _Wrong(
            "missing image",
            record,
            f"its image_id {key} is not a valid entry of images",
        )
    record += f" (image {image.id})"
    if category not in categories:
        text = f"its category_id {category} is not in categories; "
        text += "0 is the background" if category == 0 else "add or correct it"
        raise _Wrong("unknown category", record, text)
    crowd = entry.get("iscrowd", 0)
    if crowd not in (0, 1):
        raise _Wrong(
            _WRONG_ENTRY,
            record,
            f"iscrowd is {shown(crowd)}; it must be 0 or 1",
        )
    polygons: tuple[np.ndarray, ...] = ()
    runs: np.ndarray | None = None
    crumbs = 0
    if masks:
        polygons, runs, crumbs = _geometry(entry, record, image)
    instance = Instance(
        number, category, bool(crowd), polygons, runs, _box(entry.get("bbox"))
    )
    return image.id, instance, crumbs


def _instance_keys(entry: Any, record: str) -> tuple[int, int, int]:
    """Ids of an annotation, its image and its category. Raises `_Wrong`."""
    if type(entry) is dict:  # a look that is enough for nearly all
        keys: Any = [entry.get(name) for name in _INSTANCE_FIELDS]
        if {*map(type, keys)} == {int} and max(map(abs, keys)) < _LARGEST:
            return tuple(keys)
    if text := _entry_problem(entry, _INSTANCE_FIELDS):
        raise _Wrong(_WRONG_ENTRY, record, text)
    number, key, category = (int(entry[name]) for name in _INSTANCE_FIELDS)
    return number, key, category


def _geometry(
    entry: dict, record: str, image: AnnotatedImage
) -> tuple[tuple[np.ndarray, ...], np.ndarray | None, int]:
    """Polygons, runs and how many crumbs were left out. Raises `_Wrong`."""
    text = _field(entry, "segmentation", *_SEGMENTATION)
    if text and entry.get("segmentation") is None:
        text = (
            "it has no segmentation, and a box is no mask; draw its outline, "
            "or give the file as tags (config.data.target_tags)"
        )
    if text:
        raise _Wrong(_WRONG_ENTRY, record, text)
    segmentation = entry["segmentation"]
    size = (image.height, image.width)
    if isinstance(segmentation, dict):
        runs, text = checked_runs(segmentation, *size)
        if text:
            raise _Wrong("bad RLE", record, text)
        return (), runs, 0
    parts = [part for part in segmentation if not _is_crumb(part)]
    # If nothing else is there, the crumb itself is told of.
    polygons, text = checked_polygons(parts or segmentation, *size)
    if text:
        raise _Wrong("bad polygon", record, text)
    return polygons, None, len(segmentation) - len(parts)


def _is_crumb(part: Any) -> bool:
    """Whether a part of a polygon is a point or a line, of no area.

    Tools leave such crumbs where parts were cut apart.
    """
    return (
        isinstance(part, list)
        and len(part) in (0, 2, 4)
        and all(map(is_number, part))
    )
