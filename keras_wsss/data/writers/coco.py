"""COCO JSON: results of a detector, and a file of instances to import."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from keras_wsss.categories import COCO_ALIASES
from keras_wsss.data.polygons import mask_polygons
from keras_wsss.data.problems import read_text
from keras_wsss.data.writers.writer import (
    LabelledPicture,
    Writer,
    WriterOptions,
)
from keras_wsss.errors import ConfigError, DataError
from keras_wsss.files import JsonListFile, atomic_path

RESULTS_FILE = "coco_results.json"
INSTANCES_FILE = "coco_instances.json"


def coco_results(
    picture: LabelledPicture,
    image_id: Any,
    category_ids: Mapping[int, int],
    polygons: bool = False,
) -> list[dict[str, Any]]:
    """Entries of COCO's results format, one for each category with a pixel.

    Args:
        picture: with its mask.
        image_id: id of the picture.
        category_ids: id in the mask to id in COCO.
        polygons: give polygons in place of compressed run lengths. Holes are
            joined to their outlines by cuts, see `mask_polygons`.

    Returns:
        "image_id", "category_id", "segmentation", "bbox" [x, y, width,
        height] and "area" in pixels, "score" from 0 to 1.
    """
    entries = []
    for number, region, score in picture.regions():
        code = coco_mask.encode(np.asfortranarray(region.view(np.uint8)))
        entries.append(
            {
                "image_id": image_id,
                "category_id": category_ids[number],
                "segmentation": (
                    [p.ravel().tolist() for p in mask_polygons(region)]
                    if polygons
                    else {**code, "counts": code["counts"].decode("ascii")}
                ),
                "bbox": coco_mask.toBbox(code).tolist(),
                "area": int(coco_mask.area(code)),
                "score": round(float(score), 5),
            }
        )
    return entries


class _Coco(Writer):
    """Results as detectors give them, and the same as instances.

    pycocotools' `loadRes` takes run lengths only; whoever wants polygons
    imports the file of instances.
    """

    name = "coco"

    def check(
        self,
        file_names: Sequence[str],
        names: Sequence[str],
        options: WriterOptions,
    ) -> None:
        """See `Writer`."""
        if options.coco_ids is not None:
            ids = _Ids(options.coco_ids)
            ids.some_category(names)
            taken: dict[Any, str] = {}
            for name in file_names:
                other = taken.setdefault(ids.image(name), name)
                if other != name:
                    raise ConfigError(
                        f"{options.coco_ids}: {other} and {name} are one "
                        "picture there; give one of them."
                    )

    def write(
        self,
        pictures: Iterable[LabelledPicture],
        out: Path,
        names: Sequence[str],
        options: WriterOptions,
    ) -> list[Path]:
        """See `Writer`."""
        given = None if options.coco_ids is None else _Ids(options.coco_ids)
        images: list[dict[str, Any]] = []
        category_ids = _CategoryIds(names, given)
        count = 0
        with (
            atomic_path(out / RESULTS_FILE) as results_path,
            atomic_path(out / INSTANCES_FILE) as instances_path,
            JsonListFile(results_path) as results,
            JsonListFile(instances_path, '{"annotations": [', "]") as instances,
        ):
            for number, picture in enumerate(pictures, start=1):
                image_id = number
                if given is not None:
                    image_id = given.image(picture.file_name)
                height, width = picture.mask.shape
                images.append(
                    {
                        "id": image_id,
                        "file_name": picture.file_name,
                        "height": height,
                        "width": width,
                    }
                )
                for entry in coco_results(
                    picture, image_id, category_ids, options.coco_polygons
                ):
                    results.add(entry)
                    count += 1
                    instances.add({"id": count, "iscrowd": 0, **entry})
            instances.end = (
                f'], "images": {json.dumps(images)}, "categories": '
                f"{json.dumps(category_ids.entries())}}}"
            )
        return [out / RESULTS_FILE, out / INSTANCES_FILE]


class _Ids:
    """Ids of pictures and categories of a COCO file.

    Args:
        path: the file; annotations in it are not looked at.

    Raises:
        DataError: it is no such file.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            file = json.loads(read_text(path))
            images = [(str(i["file_name"]), i["id"]) for i in file["images"]]
            categories = {str(c["name"]): c["id"] for c in file["categories"]}
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(
                f"{path}: no COCO file with ids and names of images and "
                f"categories ({type(error).__name__}: {error}); give that "
                "which the results are compared with."
            ) from None
        self.categories = categories
        self._by_name = dict(images)
        self._by_last: dict[str, list[Any]] = {}
        for name, number in images:
            self._by_last.setdefault(_last(name), []).append(number)

    def image(self, file_name: str) -> Any:
        """Id of a picture, by its whole name or, if only one ends so, its last.

        Raises:
            ConfigError: it is not in the file, or several might be it.
        """
        if file_name in self._by_name:
            return self._by_name[file_name]
        found = self._by_last.get(_last(file_name), [])
        if len(found) == 1:
            return found[0]
        many = f"{len(found)} pictures" if found else "no picture"
        raise ConfigError(
            f"{self.path}: it lists {many} of the name {file_name}; give the "
            "pictures of this file, or the folder that its names start from."
        )

    def category(self, name: str) -> int | None:
        """Id of a category by any of its known spellings, or None."""
        for spelling in _spellings(name):
            if spelling in self.categories:
                return self.categories[spelling]
        return None

    def some_category(self, names: Sequence[str]) -> None:
        """Raises `ConfigError` unless one of the names is in the file."""
        if all(self.category(name) is None for name in names):
            raise ConfigError(
                f"{self.path}: none of the model's categories "
                f"({', '.join(names[:5])}, ...) is among its categories; give "
                "the file of these categories."
            )


class _CategoryIds(Mapping[int, int]):
    """Id of a category in the output, by its id in masks."""

    def __init__(self, names: Sequence[str], given: _Ids | None):
        self._names, self._given = names, given

    def __getitem__(self, number: int) -> int:
        if self._given is None:
            return number
        name = self._names[number - 1]
        found = self._given.category(name)
        if found is None:
            raise ConfigError(
                f"{self._given.path}: it has no category {name!r}, which was "
                "found in a picture; add it there and repeat the command: "
                "masks that are there are not computed again."
            )
        return found

    def __iter__(self) -> Iterator[int]:
        return iter(range(1, len(self._names) + 1))

    def __len__(self) -> int:
        return len(self._names)

    def entries(self) -> list[dict[str, Any]]:
        """Content of "categories"."""
        if self._given is not None:
            pairs = [(i, n) for n, i in self._given.categories.items()]
        else:
            pairs = list(enumerate(self._names, start=1))
        return [{"id": number, "name": name} for number, name in pairs]


def _last(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).name


def _spellings(name: str) -> list[str]:
    others = [a for a, b in COCO_ALIASES.items() if b == name]
    return [name, *others, COCO_ALIASES.get(name, name)]


COCO = _Coco()
