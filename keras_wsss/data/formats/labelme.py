"""LabelMe: a JSON file beside each picture."""

import base64
import binascii
import math
import os
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from keras_wsss.data.annotations import AnnotatedImage, Annotations
from keras_wsss.data.formats.coco_entries import is_name
from keras_wsss.data.formats.drawn import Drawn
from keras_wsss.data.formats.instance_format import InstanceFormat
from keras_wsss.data.images import decode_image
from keras_wsss.data.json_text import read_json
from keras_wsss.data.lookup import files_below, find_image
from keras_wsss.data.problems import (
    OnProblem,
    Problem,
    path_problem,
    problem_of,
)
from keras_wsss.data.segmentation import is_integer, is_number, shown
from keras_wsss.errors import DataError
from keras_wsss.progress import progress

NO_AREA = "points and lines, which mark no area"
_CIRCLE = 64  # corners
_PNG = b"\x89PNG"
_WHAT = "LabelMe file"
_LOOKED_AT = 3  # files of a folder, to know what they are


class _LabelMe(InstanceFormat):
    """A folder of JSON files, with the pictures in it or elsewhere."""

    name = "labelme"
    own_images = True

    def recognises(self, path, part):
        """Whether one of its first JSON files has shapes and a picture."""
        return path.is_dir() and any(
            _is_labelme(file) for file in _files(path)[:_LOOKED_AT]
        )

    def read_annotations(
        self, path, images, data, on_problem, image_set, masks=True
    ):
        """See `read_labelme`."""
        return read_labelme(
            path, images, on_problem, data.max_pixels, masks=masks
        )


def read_labelme(
    path: Path,
    images: Path,
    on_problem: OnProblem,
    max_pixels: int,
    *,
    masks: bool = True,
) -> Annotations:
    """Reads every LabelMe file of a folder and of those below it.

    The pictures in the files ("imageData") are not used.

    Args:
        path: the folder.
        images: folder of the pictures.
        on_problem: called with every problem; the faulty shape or file is left
            out.
        max_pixels: largest width times height of a picture.
        masks: whether outlines are kept.

    Raises:
        DataError: no such folder, or no such file in it.
    """
    files = _files(path) if path.is_dir() else []
    if not files:
        raise DataError(f"{path}: no folder with LabelMe files (NAME.json).")
    drawn = Drawn(path, masks)
    for file in progress(files, "reading annotations"):
        try:
            content = read_json(file, _WHAT)
            image = _image(content, file, path, images, max_pixels, drawn)
        except DataError as error:
            on_problem(problem_of(error, "unreadable file"))
            continue
        for number, shape in enumerate(content["shapes"]):
            text = _add(drawn, image, shape)
            if text:
                named = shape.get("label") if isinstance(shape, dict) else None
                drawn.add_fault(image, [named])
                record = f"shapes[{number}]"
                on_problem(Problem("bad polygon", str(file), record, text))
    return drawn.annotations()


def _files(path: Path) -> list[Path]:
    return files_below(path, ".json")


def _is_labelme(file: Path) -> bool:
    try:
        content = read_json(file, _WHAT)
    except DataError:
        return False
    return isinstance(content, dict) and {"shapes", "imagePath"} <= set(content)


def _image(
    content: Any,
    file: Path,
    root: Path,
    images: Path,
    max_pixels: int,
    drawn: Drawn,
) -> AnnotatedImage:
    """The picture of a file. Raises `DataError`."""
    if not isinstance(content, dict) or not isinstance(
        content.get("shapes"), list
    ):
        raise DataError(f'{file}: no LabelMe file (it has no list "shapes").')
    size = []
    for key in ("imageWidth", "imageHeight"):
        value = content.get(key)
        if not is_integer(value) or value < 1:
            raise DataError(
                f'{file}: "{key}" is {shown(value)}; it must be a positive '
                "number of pixels."
            )
        size.append(value)
    width, height = size
    if width * height > max_pixels:
        raise DataError(
            f"{file}: {width} x {height} is more than the limit of "
            f"{max_pixels} pixels; shrink the picture or raise --max_pixels."
        )
    written = content.get("imagePath")
    if not is_name(written):
        raise DataError(f'{file}: "imagePath" is {shown(written)}; name it.')
    # Relative to the file, perhaps with folders above it, perhaps of Windows.
    plain = PurePosixPath(written.replace("\\", "/"))
    if path_problem(plain.name):
        raise DataError(f'{file}: "imagePath" is {shown(written)}; name it.')
    below = PurePosixPath(file.parent.relative_to(root).as_posix())
    choices = [
        os.path.normpath(below / plain),
        str(below / plain.name),
        str(below / file.stem),
    ]
    if images != root:  # there, folders need not be those of the files
        choices += [plain.name, file.stem]
    name = next((c for c in choices if find_image(images, c)), choices[1])
    return drawn.add_image(name, width, height, file.name)


def _add(drawn: Drawn, image: AnnotatedImage, shape: Any) -> str | None:
    """Adds a shape, or says what is wrong with it."""
    if not isinstance(shape, dict):
        return f"is {shown(shape)}; it must be a JSON object"
    name, kind = shape.get("label"), shape.get("shape_type") or "polygon"
    if not is_name(name):
        return f'"label" is {shown(name)}; give the name of a category'
    if not drawn.masks:
        drawn.add_mention(image, name)
        return None
    points = shape.get("points")
    if not isinstance(points, list) or not all(map(_is_point, points)):
        return "its points must be a list of pairs [x, y] of finite numbers"
    if kind in ("point", "points", "line", "linestrip"):
        drawn.dropped[NO_AREA] += 1
        drawn.add_mention(image, name)
        return None
    if kind == "mask":
        return _add_mask(drawn, image, name, points, shape.get("mask"))
    if kind == "rectangle" and len(points) == 2:
        (left, top), (right, bottom) = points
        points = [[left, top], [right, top], [right, bottom], [left, bottom]]
    elif kind == "circle" and len(points) == 2:
        points = _circle(*points)
    elif kind not in ("polygon", "rectangle", "oriented_rectangle"):
        return f"its shape_type {shown(kind)} is not known; draw a polygon"
    return drawn.add_polygon(
        image, name, [v for point in points for v in point]
    )


def _is_point(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(map(is_number, value))
    )


def _circle(centre: list, rim: list) -> list[list[float]]:
    radius = math.dist(centre, rim)
    angles = [2 * math.pi * i / _CIRCLE for i in range(_CIRCLE)]
    return [
        [centre[0] + radius * math.cos(a), centre[1] + radius * math.sin(a)]
        for a in angles
    ]


def _add_mask(
    drawn: Drawn, image: AnnotatedImage, name: str, points: list, code: Any
) -> str | None:
    """Adds a mask that lies in the box of its two points, inclusive."""
    if len(points) != 2 or not isinstance(code, str):
        return "a mask needs two points, and a PNG in base64"
    left, top = (round(value) for value in points[0])
    if not (0 <= left < image.width and 0 <= top < image.height):
        return f"its mask begins at {left}, {top}, outside of the picture"
    try:
        data = base64.b64decode(code, validate=True)
        if not data.startswith(_PNG):
            return "its mask is no PNG; save the file again"
        part = decode_image(data, "its mask", image.width * image.height)
    except (binascii.Error, ValueError):
        return "its mask is not base64; save the file again"
    except DataError as error:
        return str(error).removesuffix(".")
    whole = np.zeros((image.height, image.width), bool)
    inside = whole[top : top + part.shape[0], left : left + part.shape[1]]
    right, bottom = (round(value) for value in points[1])
    size = (bottom - top + 1, right - left + 1)
    if not inside.shape == part.shape[:2] == size:
        return "its mask does not fit into the box of its points"
    inside[:] = part[..., 0] > 0
    drawn.add_mask(image, name, whole)
    return None


LABELME = _LabelMe()
