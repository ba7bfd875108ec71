"""Label Studio's JSON export: brushes, polygons, rectangles and choices."""

import math
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from keras_wsss.data.annotations import AnnotatedImage, Annotations
from keras_wsss.data.brush_rle import decode_brush
from keras_wsss.data.formats.coco_entries import is_name
from keras_wsss.data.formats.drawn import Drawn
from keras_wsss.data.formats.format import starts_with
from keras_wsss.data.formats.instance_format import InstanceFormat
from keras_wsss.data.images import upright_size
from keras_wsss.data.json_text import read_json
from keras_wsss.data.lookup import find_image, is_image_name
from keras_wsss.data.problems import (
    OnProblem,
    Problem,
    path_problem,
    problem_of,
)
from keras_wsss.data.segmentation import is_integer, is_number, shown
from keras_wsss.errors import DataError

NOT_DONE = "tasks without an annotation, of which nothing is known"
OLDER = "older annotations of a task, of which the newest counts"
NO_AREA = "results that mark no area"
UNNAMED = "results without a label"
# Of these keys one says where the region of a result lies.
_AREAS = {"rle", "points", "width", "radiusX"}
_UPLOADED = re.compile(r"[0-9a-f]{8}-")  # before the name of an upload
_ELLIPSE = 64  # corners


class _LabelStudio(InstanceFormat):
    """An export in the form "JSON", and a folder of its pictures."""

    name = "labelstudio"

    def recognises(self, path, part):
        """Whether it is a list in JSON."""
        return starts_with(path, "[")

    def read_annotations(
        self, path, images, data, on_problem, image_set, masks=True
    ):
        """See `read_labelstudio`."""
        return read_labelstudio(
            path, images, on_problem, data.max_pixels, masks=masks
        )


def read_labelstudio(
    path: Path,
    images: Path,
    on_problem: OnProblem,
    max_pixels: int,
    *,
    masks: bool = True,
) -> Annotations:
    """Reads all tasks that somebody has annotated.

    Pictures are looked up by the end of their address, without the eight
    signs that Label Studio puts before the name of an upload.

    Args:
        path: the export.
        images: folder of the pictures.
        on_problem: called with every problem; the faulty part is left out.
        max_pixels: largest width times height of a picture.
        masks: whether outlines are kept; choices are tags without.

    Raises:
        DataError: no list of tasks.
    """
    tasks = read_json(path, "Label Studio export")
    if not isinstance(tasks, list):
        raise DataError(
            f"{path}: no list of tasks; export the project as JSON."
        )
    if tasks and isinstance(tasks[0], dict) and "image_id" in tasks[0]:
        raise DataError(
            f"{path}: a list of results, not of tasks; give COCO's instances "
            "JSON, with images, annotations and categories."
        )
    drawn = Drawn(path, masks)
    for number, task in enumerate(tasks):
        record = f"[{number}]"
        try:
            annotation, older = _annotation(task)
            drawn.dropped[OLDER] += older
            if annotation is None:
                drawn.dropped[NOT_DONE] += 1
                continue
            name = _picture(task, annotation, images)
            size = _size(annotation, images, name, max_pixels)
        except _Wrong as wrong:
            on_problem(Problem("wrong entry", str(path), record, str(wrong)))
            continue
        except DataError as error:
            on_problem(problem_of(error, "unreadable image"))
            continue
        image = drawn.add_image(name, *size, record)
        for place, result in enumerate(annotation):
            text = _add(drawn, image, result)
            if text:
                value = result["value"]
                drawn.add_fault(image, _labels(value, str(result.get("type"))))
                where = f"{record} result {place}"
                on_problem(Problem("bad polygon", str(path), where, text))
    return drawn.annotations()


class _Wrong(Exception):
    """A task cannot be used: why, without a final full stop."""


def _annotation(task: Any) -> tuple[list | None, int]:
    """Results of the newest annotation, and how many others there are."""
    if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
        raise _Wrong('has no "data"; export the project as JSON, not JSON-MIN')
    found = task.get("annotations", task.get("completions"))
    if not isinstance(found, list):
        raise _Wrong('has no list "annotations"; export the project as JSON')
    done = [
        each
        for each in found
        if isinstance(each, dict)
        and not each.get("was_cancelled")
        and isinstance(each.get("result"), list)
    ]
    if not done:
        return None, 0
    newest = max(done, key=lambda each: str(each.get("updated_at", "")))
    return newest["result"], len(done) - 1


def _picture(task: dict, results: list, images: Path) -> str:
    """Name of a task's picture below the folder. Raises `_Wrong`."""
    values = {k: v for k, v in task["data"].items() if is_name(v)}
    written: list[str] = []
    found: dict[str, str] = {}  # key of the data -> name
    for key, value in values.items():
        pictures = [name for name in _names(value) if is_image_name(name)]
        written += pictures[-1:]
        there = [name for name in pictures if find_image(images, name)]
        if there:
            found[key] = there[0]
    if not written:
        raise _Wrong(
            f"its data {shown(task['data'])} name no picture; they must end "
            "like one"
        )
    if len(set(found.values())) > 1:
        drawn_on = {
            str(r.get("to_name")) for r in results if isinstance(r, dict)
        } & set(found)
        if len(drawn_on) != 1:
            raise _Wrong(
                f"its data name several pictures ({', '.join(found)}), and not "
                "which of them was annotated; export them as tasks of their own"
            )
        return found[drawn_on.pop()]
    return next(iter(found.values()), written[0])


def _size(
    results: list, images: Path, name: str, max_pixels: int
) -> tuple[int, int]:
    """Width and height of what was annotated.

    As the results say, or as the file says; nothing is drawn without either.

    Raises:
        DataError: a picture that cannot be used.
    """
    for result in results:
        if not isinstance(result, dict):
            continue
        width = result.get("original_width")
        height = result.get("original_height")
        if not is_integer(width) or not is_integer(height):
            continue
        if min(width, height) > 0 and width * height <= max_pixels:
            return width, height
    path = find_image(images, name)
    if path is None:
        return 1, 1
    return upright_size(path, max_pixels)


def _names(address: str) -> Iterator[str]:
    """Names below the folder of pictures that an address may mean."""
    try:
        parts = urlsplit(address)
    except ValueError:  # brackets that are no address of IPv6
        return
    local = parse_qs(parts.query).get("d")
    path = local[0] if local else unquote(parts.path)
    path = path.replace("\\", "/").lstrip("/")
    steps = PurePosixPath(path).parts
    for start in range(len(steps)):
        name = "/".join(steps[start:])
        if path_problem(name) is None:
            yield name
    if steps and _UPLOADED.match(steps[-1]):
        yield steps[-1][9:]


def _add(drawn: Drawn, image: AnnotatedImage, result: Any) -> str | None:
    """Adds a result, or says what is wrong with it."""
    if not isinstance(result, dict) or not isinstance(
        result.get("value"), dict
    ):
        return None  # relations, for example
    value = result["value"]
    kind = str(result.get("type"))
    names = _labels(value, kind)
    if not names:
        # Outlines without names stand beside a result "labels" of the same.
        drawn.dropped[UNNAMED] += 1
        return None
    if not drawn.masks or kind == "choices" or not (_AREAS & set(value)):
        for name in names:
            drawn.add_mention(image, name)
        if drawn.masks and kind != "choices":
            drawn.dropped[NO_AREA] += 1
        return None
    if result.get("image_rotation"):
        return (
            "its picture was turned in Label Studio by "
            f"{shown(result['image_rotation'])} degrees; turn the file itself"
        )
    size = (result.get("original_width"), result.get("original_height"))
    if size != (image.width, image.height):
        return (
            f"it was drawn on {shown(size[0])} x {shown(size[1])} pixels, but "
            f"others on {image.width} x {image.height}"
        )
    for name in names:
        text = _add_region(drawn, image, name, value)
        if text:
            return text
    return None


def _labels(value: dict, kind: str) -> list[str]:
    found = value.get(kind, value.get("labels"))
    return [n for n in found if is_name(n)] if isinstance(found, list) else []


def _add_region(
    drawn: Drawn, image: AnnotatedImage, name: str, value: dict
) -> str | None:
    if "rle" in value:
        code = value["rle"]
        if not isinstance(code, list) or not all(map(is_integer, code)):
            return 'its "rle" is no list of bytes'
        try:
            mask = decode_brush(code, image.height, image.width)
        except (ValueError, OverflowError) as error:
            return str(error)
        drawn.add_mask(image, name, mask)
        return None
    try:
        points = _points(value)
    except (KeyError, TypeError, ValueError):
        return "its outline needs finite numbers, in percent of the picture"
    sides = (image.width / 100, image.height / 100)
    pixels = [(x * sides[0], y * sides[1]) for x, y in points]
    angle = value.get("rotation")
    if angle and "points" not in value:
        if not is_number(angle):
            return f"its rotation is {shown(angle)}; it must be a number"
        about = (value["x"] * sides[0], value["y"] * sides[1])
        pixels = [_turned(point, about, angle) for point in pixels]
    flat = [value for point in pixels for value in point]
    return drawn.add_polygon(image, name, flat)


def _points(value: dict) -> list[tuple[float, float]]:
    """Corners in percent. Raises `KeyError`, `TypeError`, `ValueError`."""
    if "points" in value:
        points = [(x, y) for x, y in value["points"]]
        if not all(is_number(v) for point in points for v in point):
            raise ValueError
        return points
    ellipse = "radiusX" in value
    keys = ("radiusX", "radiusY") if ellipse else ("width", "height")
    numbers = [value[key] for key in ("x", "y", *keys)]
    if not all(map(is_number, numbers)):
        raise ValueError
    x, y, width, height = numbers
    if not ellipse:
        right, bottom = x + width, y + height
        return [(x, y), (right, y), (right, bottom), (x, bottom)]
    angles = [2 * math.pi * i / _ELLIPSE for i in range(_ELLIPSE)]
    return [(x + width * math.cos(a), y + height * math.sin(a)) for a in angles]


def _turned(
    point: tuple[float, float], about: tuple[float, float], degrees: float
) -> tuple[float, float]:
    """A point turned clockwise, as y goes down."""
    angle = math.radians(degrees)
    x, y = point[0] - about[0], point[1] - about[1]
    return (
        about[0] + x * math.cos(angle) - y * math.sin(angle),
        about[1] + x * math.sin(angle) + y * math.cos(angle),
    )


LABEL_STUDIO = _LabelStudio()
