"""The formats that masks are written in: one module each, found by name."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from keras_wsss.data.writers.writer import (
    LabelledPicture,
    Writer,
    WriterOptions,
)
from keras_wsss.registry import Registry

_WRITERS: Registry[Writer] = Registry(
    "format",
    {
        "png": "keras_wsss.data.writers.png:PNG",
        "coco": "keras_wsss.data.writers.coco:COCO",
        "cvat": "keras_wsss.data.writers.cvat:CVAT",
        "labelstudio": "keras_wsss.data.writers.labelstudio:LABEL_STUDIO",
    },
)


def get_writer(name: str) -> Writer:
    """The writer called `name`. Raises `ConfigError` if there is none."""
    return _WRITERS.get(name)


def register_writer(writer: Writer) -> Writer:
    """Makes a format known by its name; gives it back."""
    return _WRITERS.register(writer)


def check_writers(
    formats: Sequence[str],
    file_names: Sequence[str],
    names: Sequence[str],
    options: WriterOptions,
) -> None:
    """Refuses what could not be written in these formats; see `Writer`."""
    for each in formats:
        get_writer(each).check(file_names, names, options)


def write_formats(
    formats: Sequence[str],
    pictures: Callable[[], Iterable[LabelledPicture]],
    out: Path,
    names: Sequence[str],
    options: WriterOptions,
) -> list[Path]:
    """Writes pictures in every one of the formats.

    Args:
        formats: names of writers.
        pictures: gives the pictures, once for each format.
        out: folder to write to.
        names: of the categories, id 1 first.
        options: what the formats are told.

    Returns:
        What was written.
    """
    written = []
    for each in dict.fromkeys(formats):
        written += get_writer(each).write(pictures(), out, names, options)
    return written
