"""Entries of a COCO instances JSON, checked one by one.

Everything is validated here, before any of it reaches pycocotools, whose C
code trusts sizes, run lengths and coordinates.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeAlias, TypeGuard

import numpy as np

from keras_wsss.data.annotations import (
    IGNORED_REGION,
    AnnotatedImage,
    Instance,
)
from keras_wsss.data.aside import SpooledSet
from keras_wsss.data.problems import path_problem
from keras_wsss.data.segmentation import (
    checked_polygons,
    checked_runs,
    is_integer,
    is_number,
    shown,
)

CRUMBS = "parts of fewer than three points"
_LARGEST = 2**63  # no id reaches it
_WRONG_ENTRY = "wrong entry"

Tell: TypeAlias = Callable[[str, str, str], None]


class ImagesById(Protocol):
    """A dictionary of pictures, or what can do as much."""

    def get(self, number: int, /) -> AnnotatedImage | None:
        """The picture of an id, if there is one."""


class WrongError(Exception):
    """An annotation cannot be used: kind, record and text for `Tell`."""


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


def is_key(value: Any) -> bool:
    """Whether `int` makes an id of it; some tools write 1.0 or "1" for 1."""
    if isinstance(value, float):
        return value.is_integer() and abs(value) < 2**53
    if isinstance(value, str):
        return re.fullmatch(r"-?[0-9]{1,18}", value) is not None
    return is_integer(value) and abs(value) < _LARGEST


def box_of(value: Any) -> tuple[float, float, float, float] | None:
    """x, y, width, height; None where there are no such numbers."""
    if not isinstance(value, list) or len(value) != 4:
        return None
    if not all(map(is_number, value)):
        return None
    x, y, width, height = map(float, value)
    return (x, y, width, height)


def _is_positive(value: Any) -> bool:
    return is_key(value) and 0 < int(value) < 2**31


_ID = (is_key, "an integer")
_CATEGORY_FIELDS = {"id": _ID, "name": (is_name, "a name")}
_IMAGE_FIELDS = {
    "id": _ID,
    "file_name": (is_name, "a file name"),
    "width": (_is_positive, "a positive number of pixels"),
    "height": (_is_positive, "a positive number of pixels"),
}
_INSTANCE_FIELDS = {"image_id": _ID, "category_id": _ID}
_SEGMENTATION = (
    lambda value: isinstance(value, list | dict),
    "a list of polygons or a run-length encoding",
)


def categories_of(entries: Iterable, tell: Tell) -> Iterator[tuple[int, str]]:
    """Yields (id, name) of the valid entries of a list of categories."""
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


def images_of(
    entries: Iterable, tell: Tell, max_pixels: int
) -> Iterator[AnnotatedImage]:
    """Yields pictures of the valid entries of a list of images."""
    ids, names = SpooledSet(), SpooledSet()
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


class Doubts(dict[int, list[Instance]]):
    """Image id -> what stands for its annotations that have a fault.

    Where one of them should have been drawn, nothing is known: its box, or
    the whole picture. Left out alone, it would be trained as background.
    """

    def add(
        self,
        entry: Any,
        images: ImagesById,
        categories: dict[int, str],
    ) -> None:
        """Adds one, if it names a picture; `categories` may grow by one."""
        if not isinstance(entry, dict):
            return
        keys = {
            name: int(entry[name])
            for name in _INSTANCE_FIELDS
            if is_key(entry.get(name))
        }
        image = images.get(keys.get("image_id", _LARGEST))
        if image is None:
            return
        category = keys.get("category_id", _LARGEST)
        crowd = category not in categories
        if crowd:
            category = _ignored(categories)
        box = box_of(entry.get("bbox")) or (0, 0, image.width, image.height)
        self.setdefault(image.id, []).append(
            Instance(number_of(entry) or 0, category, crowd, (), None, box)
        )


def _ignored(categories: dict[int, str]) -> int:
    """Id of the category that is not to be judged."""
    for number, name in categories.items():
        if name == IGNORED_REGION:
            return number
    number = max(categories, default=0) + 1
    categories[number] = IGNORED_REGION
    return number


def number_of(entry: dict) -> int | None:
    """The id of an annotation, if it has one; nothing refers to it."""
    number: Any = entry.get("id")
    return int(number) if is_key(number) else None


def instance_of(
    entry: Any,
    index: int,
    images: ImagesById,
    categories: dict[int, str],
    masks: bool,
) -> tuple[int, Instance, int]:
    """(image id, instance, parts left out) of a valid annotation.

    Raises `WrongError`.
    """
    record = f"annotations[{index}]"
    key, category = _instance_keys(entry, record)
    number = number_of(entry)
    if number is not None:
        record = f"annotation {number}"
    image = images.get(key)
    if image is None:
        raise WrongError(
            "missing image",
            record,
            f"its image_id {key} is not a valid entry of images",
        )
    record += f" (image {image.id})"
    if category not in categories:
        text = f"its category_id {category} is not in categories; "
        text += "0 is the background" if category == 0 else "add or correct it"
        raise WrongError("unknown category", record, text)
    crowd = entry.get("iscrowd", 0)
    if crowd in (None, "0", "1"):
        crowd = int(crowd or 0)
    if crowd not in (0, 1):
        raise WrongError(
            _WRONG_ENTRY,
            record,
            f"iscrowd is {shown(crowd)}; it must be 0 or 1",
        )
    polygons: tuple[np.ndarray, ...] = ()
    runs: np.ndarray | None = None
    crumbs = 0
    if masks:
        polygons, runs, crumbs = geometry_of(entry, record, image)
    instance = Instance(
        index if number is None else number,
        category,
        bool(crowd),
        polygons,
        runs,
        box_of(entry.get("bbox")),
    )
    return image.id, instance, crumbs


def _instance_keys(entry: Any, record: str) -> tuple[int, int]:
    """Ids of an annotation's image and category. Raises `WrongError`."""
    if type(entry) is dict:  # a look that is enough for nearly all
        keys: Any = [entry.get(name) for name in _INSTANCE_FIELDS]
        if {*map(type, keys)} == {int} and max(map(abs, keys)) < _LARGEST:
            return tuple(keys)
    if text := _entry_problem(entry, _INSTANCE_FIELDS):
        raise WrongError(_WRONG_ENTRY, record, text)
    key, category = (int(entry[name]) for name in _INSTANCE_FIELDS)
    return key, category


def geometry_of(
    entry: dict, record: str, image: AnnotatedImage
) -> tuple[tuple[np.ndarray, ...], np.ndarray | None, int]:
    """Polygons, runs and how many crumbs were left out. Raises `WrongError`."""
    text = _field(entry, "segmentation", *_SEGMENTATION)
    if text and entry.get("segmentation") is None:
        text = (
            "it has no segmentation, and a box is no mask; draw its outline, "
            "or give the file as tags (config.data.target_tags)"
        )
    if text:
        raise WrongError(_WRONG_ENTRY, record, text)
    segmentation = entry["segmentation"]
    size = (image.height, image.width)
    if isinstance(segmentation, dict):
        runs, text = checked_runs(segmentation, *size)
        if text:
            raise WrongError("bad RLE", record, text)
        return (), runs, 0
    parts = [part for part in segmentation if not _is_crumb(part)]
    # If nothing else is there, the crumb itself is told of.
    polygons, text = checked_polygons(parts or segmentation, *size)
    if text:
        raise WrongError("bad polygon", record, text)
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
