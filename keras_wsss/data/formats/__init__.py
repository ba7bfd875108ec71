"""The formats of masks and tags: one module each, found by name."""

from typing import Any

from keras_wsss.categories import Split
from keras_wsss.data.formats.format import Format
from keras_wsss.data.records import Dataset
from keras_wsss.errors import ConfigError
from keras_wsss.registry import Registry

_FORMATS: Registry[Format] = Registry(
    "config.data: format",
    {
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


def register_format(found: Format) -> Format:
    """Makes a format known by its name; gives it back."""
    return _FORMATS.register(found)


def read_source(data: Any, split: Split) -> Dataset:
    """Pictures with masks to train on; see `Format.read_source`.

    Raises:
        ConfigError: no such format, or a location is missing.
        DataError: a file that cannot be used.
    """
    _require(data, "source_annotations", "source_images")
    return get_format(data.source_format).read_source(data, split)


def read_target(data: Any, split: Split) -> Dataset:
    """Pictures with tags to train on; see `Format.read_target`.

    Raises:
        ConfigError: no such format, or a location is missing.
        DataError: a file that cannot be used.
    """
    _require(data, "target_tags", "target_images")
    return get_format(data.tags_format).read_target(data, split)


def read_evaluation(data: Any, split: Split) -> Dataset:
    """Pictures with masks to score on; see `Format.read_evaluation`.

    Raises:
        ConfigError: no such format, or a location is missing.
        DataError: a file that cannot be used.
    """
    _require(data, "eval_root")
    return get_format(data.eval_format).read_evaluation(data, split)


def _require(data: Any, *fields: str) -> None:
    for field in fields:
        if not getattr(data, field):
            raise ConfigError(
                f"config.data.{field} is empty; set it in the config file or "
                f"with --config.data.{field}=PATH."
            )
