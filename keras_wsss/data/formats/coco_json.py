"""Strict reading of a COCO instances JSON into light tuples."""

import collections
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_wsss.data.annotations import (
    Annotations,
    HeldInstances,
    Instance,
)
from keras_wsss.data.aside import Column
from keras_wsss.data.formats.coco_entries import (
    CRUMBS,
    Doubts,
    WrongError,
    categories_of,
    images_of,
    instance_of,
)
from keras_wsss.data.formats.filed_instances import (
    Columns,
    FiledImages,
    FiledInstances,
    ImageSizes,
    SortedColumns,
)
from keras_wsss.data.images import DEFAULT_MAX_PIXELS
from keras_wsss.data.json_stream import Element, IrregularError, JsonLists
from keras_wsss.data.json_text import check_brackets, read_json
from keras_wsss.data.problems import (
    OnProblem,
    Problem,
    check_text,
    raise_problem,
)
from keras_wsss.data.reading_index import ReadingIndex
from keras_wsss.errors import DataError

_WHAT = "COCO instances file"
_LISTS = ("images", "annotations", "categories")
_KEPT = 2000  # problems that are kept back


def read_coco_file(
    path: str | Path,
    on_problem: OnProblem = raise_problem,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    *,
    masks: bool = True,
    index: str | Path | None = None,
) -> Annotations:
    """Reads and validates an instances JSON.

    Ids are keys: any integers will do, also as 1.0 or "1". What nothing reads
    (a faulty bbox, the id of an annotation) refuses nothing.

    Args:
        path: the file.
        on_problem: called with every problem; the faulty entry is left out.
        max_pixels: largest width times height of a picture.
        masks: whether annotations need a segmentation; without, none of
            theirs is read, as for tags.
        index: folder of a `ReadingIndex`, for files without a fault.

    Raises:
        DataError: no COCO JSON at all; and with the default `on_problem`, the
            first problem of any entry.
    """
    path = Path(path)
    later = _Later(on_problem)
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

    def __init__(self, on_problem: OnProblem):
        self._on_problem = on_problem
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
                self._on_problem(problem)

    def start_again(self) -> None:
        """Forgets what was kept back; what was told is not told again."""
        self._kept, self._told = [], -max(self._told, 0)


def _streamed(
    path: Path,
    on_problem: OnProblem,
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
        on_problem(Problem(kind, str(path), record, text))

    def read_categories(elements: Iterator[Element]) -> dict[int, str]:
        return dict(categories_of((e.value for e in elements), tell))

    def read_images(elements: Iterator[Element]) -> FiledImages:
        entries = (e.value for e in elements)
        return FiledImages.of(images_of(entries, tell, max_pixels))

    categories: dict[int, str] | None = None
    images: FiledImages | None = None
    columns: Columns | None = None
    early: list[str] = []
    dropped: collections.Counter[str] = collections.Counter()
    doubts = Doubts()
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
            columns, sizes = Columns(images), ImageSizes(images)
            for number, (entry, start, size) in enumerate(elements):
                try:
                    image, instance, crumbs = instance_of(
                        entry, number, sizes, categories, masks
                    )
                except WrongError as wrong:
                    tell(*wrong.args)
                    doubts.add(entry, sizes, categories)
                else:
                    dropped[CRUMBS] += crumbs
                    columns.add(image, instance, start, size)
    assert categories is not None
    assert images is not None
    assert columns is not None
    return Annotations(
        path=path,
        images=images,
        categories=categories,
        instances=FiledInstances(
            path, images, columns.sorted(), masks, index, doubts
        ),
        dropped=dict(+dropped),
    )


def _to_arrays(file: Annotations) -> dict[str, np.ndarray | Column]:
    """What a `ReadingIndex` keeps of a file."""
    assert isinstance(file.instances, FiledInstances)
    assert isinstance(file.images, FiledImages)
    categories = [[k, name] for k, name in file.categories.items()]
    about = json.dumps([categories, file.dropped])
    return {
        **file.instances.columns._asdict(),
        "names": file.images.names,
        "sizes_of_images": file.images.numbers,
        "rest": np.frombuffer(about.encode(), np.uint8),
    }


def _from_arrays(
    arrays: dict[str, Column],
    path: Path,
    masks: bool,
    index: ReadingIndex,
) -> Annotations:
    """Undoes `_to_arrays`."""
    categories, dropped = json.loads(arrays["rest"][:].tobytes())
    images = FiledImages(arrays["names"], arrays["sizes_of_images"])
    columns = SortedColumns(*(arrays[n] for n in SortedColumns._fields))
    return Annotations(
        path=path,
        images=images,
        categories=dict(categories),
        instances=FiledInstances(path, images, columns, masks, index),
        dropped=dropped,
    )


def _whole(
    path: Path, on_problem: OnProblem, max_pixels: int, masks: bool
) -> Annotations:
    """`read_coco_file` of a file of any order, all of it in memory."""
    document = _load(path)

    def tell(kind: str, record: str, text: str) -> None:
        on_problem(Problem(kind, str(path), record, text))

    categories = dict(categories_of(document["categories"], tell))
    images = {
        image.id: image
        for image in images_of(document["images"], tell, max_pixels)
    }
    instances: dict[int, list[Instance]] = {}
    dropped: collections.Counter[str] = collections.Counter()
    doubts = Doubts()
    for index, entry in enumerate(document["annotations"]):
        try:
            key, instance, crumbs = instance_of(
                entry, index, images, categories, masks
            )
        except WrongError as wrong:
            tell(*wrong.args)
            doubts.add(entry, images, categories)
        else:
            dropped[CRUMBS] += crumbs
            instances.setdefault(key, []).append(instance)
    for key, several in doubts.items():
        instances.setdefault(key, []).extend(several)
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
