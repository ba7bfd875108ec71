"""The formats of masks and tags: one module each, found by name."""

import zipfile
from pathlib import Path
from typing import Any

from keras_wsss.categories import Split
from keras_wsss.data.formats.format import Format
from keras_wsss.data.problems import OnProblem, raise_problem
from keras_wsss.data.records import Dataset
from keras_wsss.errors import ConfigError, DataError
from keras_wsss.registry import Registry

# Fields of `config.data` that a part has: its format, its place, and the
# folder of its pictures.
FIELDS = {
    "source": ("source_format", "source_annotations", "source_images"),
    "target": ("tags_format", "target_tags", "target_images"),
    "evaluation": ("eval_format", "eval_root", "eval_images"),
}
AUTO = "auto"  # found by content

# Asked in this order for what they know by its content; the last ones take
# whatever is a file or a folder.
_FORMATS: Registry[Format] = Registry(
    "format",
    {
        "labelstudio": "keras_wsss.data.formats.labelstudio:LABEL_STUDIO",
        "labelme": "keras_wsss.data.formats.labelme:LABELME",
        "cvat": "keras_wsss.data.formats.cvat:CVAT",
        "png": "keras_wsss.data.formats.index_pngs:INDEX_PNGS",
        "yolo": "keras_wsss.data.formats.yolo:YOLO",
        "folders": "keras_wsss.data.formats.class_folders:CLASS_FOLDERS",
        "coco": "keras_wsss.data.formats.coco:COCO",
        "csv": "keras_wsss.data.formats.tags:CSV",
        "voc": "keras_wsss.data.formats.voc:VOC",
    },
)


def format_names() -> tuple[str, ...]:
    """What the fields of `config.data` that end in `_format` may be."""
    return _FORMATS.names()


def get_format(name: str) -> Format:
    """The format called `name`. Raises `ConfigError` if there is none."""
    return _FORMATS.get(name)


def register_format(new_format: Format) -> Format:
    """Makes a format known by its name; gives it back."""
    return _FORMATS.register(new_format)


def format_of(data: Any, part: str) -> Format:
    """The format of a part of the data, by name or by content.

    Args:
        data: group `data` of a config, of which the part's place exists.
        part: "source", "target" or "evaluation".

    Raises:
        ConfigError: no such name, or nothing that any format knows.
        DataError: there is no file and no folder of that name.
    """
    format_field, place_field, _ = FIELDS[part]
    name = getattr(data, format_field)
    if name != AUTO:
        return get_format(name)
    path = Path(getattr(data, place_field))
    if not path.exists():
        raise DataError(
            f"{path}: no such file or folder; check config.data.{place_field}."
        )
    if path.is_file():
        _require_readable(path)
    if path.is_file() and zipfile.is_zipfile(path):
        raise DataError(
            f"{path}: a zip archive; unpack it, and name the folder that is in "
            f"it by config.data.{place_field}."
        )
    if (found := _recognised(path, part)) is not None:
        return found
    raise ConfigError(
        f"{path}: of no format that is known by its content; name it by "
        f"config.data.{format_field}: {', '.join(format_names())}."
    )


def _require_readable(path: Path) -> None:
    """Raises `DataError` for what another program has to open first."""
    if path.suffix.lower() in (".xlsx", ".xls", ".ods"):
        raise DataError(
            f"{path}: a spreadsheet; save it as CSV in UTF-8, and name that."
        )
    with path.open("rb") as file:
        if file.read(2) == b"\x1f\x8b":
            raise DataError(f"{path}: compressed by gzip; unpack it.")


def _recognised(path: Path, part: str) -> Format | None:
    known = map(get_format, format_names())
    return next((f for f in known if f.recognises(path, part)), None)


def problems(data: Any, part: str) -> list[str]:
    """Sentences about why a part of the data cannot be read.

    Args:
        data: group `data` of a config.
        part: "source", "target" or "evaluation".
    """
    format_field, place_field, images_field = FIELDS[part]
    place = getattr(data, place_field)
    empty = [] if place else [place_field]
    found: list[str] = []
    own_images = False
    try:
        if getattr(data, format_field) != AUTO:
            own_images = get_format(getattr(data, format_field)).own_images
        elif place and Path(place).exists():
            own_images = format_of(data, part).own_images
        elif place:
            # What does not exist is told of when it is opened; what it would
            # be, its name may tell.
            guess = _recognised(Path(place), part)
            own_images = guess is None or guess.own_images
    except ConfigError as error:
        found.append(f"config.data.{format_field}: {error}")
    if not own_images and not getattr(data, images_field):
        empty.append(images_field)
    return [
        f"config.data.{field} is empty; set it in the config file or with "
        f"--config.data.{field}=PATH."
        for field in empty
    ] + found


def read(
    data: Any, split: Split, part: str, on_problem: OnProblem = raise_problem
) -> Dataset:
    """The pictures of a part, by its format; see `Format`.

    Args:
        data: group `data` of a config.
        split: categories to use.
        part: "source", "target" or "evaluation".
        on_problem: called with every problem; what is at fault is left out.

    Raises:
        ConfigError: no such format, one without such a reader, or a location
            is missing.
        DataError: a file that cannot be used.
    """
    if found := problems(data, part):
        raise ConfigError(" ".join(found))
    reader = getattr(format_of(data, part), f"read_{part}")
    return reader(data, split, on_problem)
