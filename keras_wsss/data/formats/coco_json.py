"""Strict reading of a COCO instances JSON into light tuples.

Everything is validated here, before any of it reaches pycocotools, whose C
code trusts sizes, run lengths and coordinates.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_wsss.data.images import DEFAULT_MAX_PIXELS
from keras_wsss.data.problems import (
    Problem,
    Report,
    path_problem,
    raise_problem,
    read_text,
)
from keras_wsss.data.segmentation import (
    checked_polygons,
    checked_runs,
    is_integer,
    is_number,
    shown,
)
from keras_wsss.errors import DataError


class CocoImage(NamedTuple):
    """One entry of "images"; sizes in pixels."""

    id: int
    file_name: str
    width: int
    height: int


class CocoInstance(NamedTuple):
    """One entry of "annotations".

    Attributes:
        id: its id, unique in the file.
        category: id of its category in the file.
        crowd: whether it marks a group and not one object.
        polygons: float64 arrays [2 * points] of x, y in pixels; empty for a
            run-length encoded instance.
        runs: uint32 run lengths, column-wise, background first; None for
            polygons.
    """

    id: int
    category: int
    crowd: bool
    polygons: tuple[np.ndarray, ...]
    runs: np.ndarray | None


class CocoFile(NamedTuple):
    """What training needs of an instances JSON.

    Attributes:
        path: the file.
        images: its pictures, ascending by id.
        categories: id -> name.
        instances: image id -> its annotations, ascending by id.
    """

    path: Path
    images: tuple[CocoImage, ...]
    categories: dict[int, str]
    instances: dict[int, tuple[CocoInstance, ...]]


def read_coco_file(
    path: str | Path,
    report: Report = raise_problem,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> CocoFile:
    """Reads and validates an instances JSON.

    Args:
        path: the file.
        report: called with every problem; the faulty entry is left out.
        max_pixels: largest width times height of a picture.

    Raises:
        DataError: no COCO JSON at all; and with the default `report`, the
            first problem of any entry.
    """
    path = Path(path)
    document = _load(path)

    def tell(kind: str, record: str, text: str) -> None:
        report(Problem(kind, str(path), record, text))

    categories = dict(_categories(document["categories"], tell))
    images = {
        image.id: image
        for image in _images(document["images"], tell, max_pixels)
    }
    instances: dict[int, list[CocoInstance]] = {}
    seen: set[int] = set()
    for index, entry in enumerate(document["annotations"]):
        record = f"annotations[{index}]"
        try:
            key, instance = _instance(entry, record, images, categories, seen)
        except _Wrong as wrong:
            tell(*wrong.args)
        else:
            instances.setdefault(key, []).append(instance)
    return CocoFile(
        path=path,
        images=tuple(images[key] for key in sorted(images)),
        categories=categories,
        instances={
            key: tuple(sorted(value, key=lambda instance: instance.id))
            for key, value in instances.items()
        },
    )


_Tell = Callable[[str, str, str], None]


class _Wrong(Exception):
    """An annotation cannot be used: kind, record and text for `_Tell`."""


_WRONG_ENTRY = "wrong entry"
_SMALL = 16_000_000  # characters; less text cannot take much memory
_TEXT_PER_BRACKET = 8  # characters; real files have 30 and more


def _load(path: Path) -> dict[str, Any]:
    text = read_text(path)
    brackets = text.count("[") + text.count("{")
    if len(text) > _SMALL and brackets * _TEXT_PER_BRACKET > len(text):
        # Each would take 20 times its text as a Python object.
        raise DataError(
            f"{path}: not a COCO instances file ({brackets} brackets in "
            f"{len(text)} characters); export the file again."
        )
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}: line {error.lineno} column {error.colno}: not JSON "
            f"({error.msg}); download or export the file again."
        ) from None
    except RecursionError:
        raise DataError(
            f"{path}: not a COCO instances file (its lists are nested too "
            "deeply); export the file again."
        ) from None
    except ValueError as error:
        raise DataError(
            f"{path}: not a COCO instances file ({error})."
        ) from None
    if not isinstance(document, dict):
        document = {}
    for key in ("images", "annotations", "categories"):
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


def _is_name(value: Any) -> bool:
    # JSON can hold halves of characters, which no output can.
    if not isinstance(value, str) or re.search("[\ud800-\udfff]", value):
        return False
    return bool(value.strip())


def _is_box(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 4
        and all(map(is_number, value))
    )


def _is_positive(value: Any) -> bool:
    return is_integer(value) and 0 < value < 2**31


_ID = (lambda value: is_integer(value) and abs(value) < 2**63, "an integer")
_CATEGORY_FIELDS = {
    "id": (_is_positive, "a positive integer (0 is the background)"),
    "name": (_is_name, "a name"),
}
_IMAGE_FIELDS = {
    "id": _ID,
    "file_name": (_is_name, "a file name"),
    "width": (_is_positive, "a positive number of pixels"),
    "height": (_is_positive, "a positive number of pixels"),
}
_INSTANCE_FIELDS = {
    "id": _ID,
    "image_id": _ID,
    "category_id": _ID,
    "segmentation": (
        lambda value: isinstance(value, list | dict),
        "a list of polygons or a run-length encoding",
    ),
}
# Not needed, but wrong ones tell of a broken export.
_BOX = (_is_box, "x, y, width, height in finite numbers")


def _categories(entries: list, tell: _Tell) -> Iterator[tuple[int, str]]:
    ids: set[int] = set()
    names: set[str] = set()
    for index, entry in enumerate(entries):
        record = f"categories[{index}]"
        if text := _entry_problem(entry, _CATEGORY_FIELDS):
            tell("bad category", record, text)
            continue
        number, name = entry["id"], entry["name"].strip()
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


def _images(entries: list, tell: _Tell, max_pixels: int) -> Iterator[CocoImage]:
    ids: set[int] = set()
    names: set[str] = set()
    for index, entry in enumerate(entries):
        record, kind = f"images[{index}]", _WRONG_ENTRY
        text = _entry_problem(entry, _IMAGE_FIELDS)
        if not text:
            image = CocoImage(*(entry[key] for key in CocoImage._fields))
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
    images: dict[int, CocoImage],
    categories: dict[int, str],
    seen: set[int],
) -> tuple[int, CocoInstance]:
    """(image id, instance) of a valid annotation. Raises `_Wrong`."""
    if text := _entry_problem(entry, _INSTANCE_FIELDS):
        raise _Wrong(_WRONG_ENTRY, record, text)
    number = entry["id"]
    if "bbox" in entry and (text := _field(entry, "bbox", *_BOX)):
        raise _Wrong(_WRONG_ENTRY, f"annotation {number}", text)
    record = f"annotation {number}"
    if number in seen:
        raise _Wrong(
            _WRONG_ENTRY, record, "its id is taken twice; ids must be unique"
        )
    seen.add(number)
    image = images.get(entry["image_id"])
    if image is None:
        raise _Wrong(
            "missing image",
            record,
            f"its image_id {entry['image_id']} is not a valid entry of images",
        )
    record += f" (image {image.id})"
    category = entry["category_id"]
    if category not in categories:
        text = f"its category_id {category} is not in categories; "
        text += "0 is the background" if category == 0 else "add or correct it"
        raise _Wrong("unknown category", record, text)
    crowd = entry.get("iscrowd", 0)
    if crowd not in (0, 1) or isinstance(crowd, float):
        raise _Wrong(
            _WRONG_ENTRY,
            record,
            f"iscrowd is {shown(crowd)}; it must be 0 or 1",
        )
    segmentation = entry["segmentation"]
    size = (image.height, image.width)
    polygons: tuple[np.ndarray, ...] = ()
    runs: np.ndarray | None = None
    if isinstance(segmentation, list):
        kind = "bad polygon"
        polygons, text = checked_polygons(segmentation, *size)
    else:
        kind = "bad RLE"
        runs, text = checked_runs(segmentation, *size)
    if text:
        raise _Wrong(kind, record, text)
    instance = CocoInstance(number, category, bool(crowd), polygons, runs)
    return image.id, instance
