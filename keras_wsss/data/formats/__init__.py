"""The formats of masks and tags: one module each, found by name."""

from typing import Any

from keras_wsss.categories import Split
from keras_wsss.data.formats.format import Format
from keras_wsss.data.records import Dataset
from keras_wsss.errors import ConfigError
from keras_wsss.registry import Registry

# Fields of `config.data` that a part needs: its format, then its places.
_FIELDS = {
    "source": ("source_format", "source_annotations", "source_images"),
    "target": ("tags_format", "target_tags", "target_images"),
    "evaluation": ("eval_format", "eval_root"),
}

_FORMATS: Registry[Format] = Registry(
    "format",
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


def problems(data: Any, part: str) -> list[str]:
    """Sentences about why a part of the data cannot be read.

    Args:
        data: group `data` of a config.
        part: "source", "target" or "evaluation".
    """
    format_field, *places = _FIELDS[part]
    found = [
        f"config.data.{field} is empty; set it in the config file or with "
        f"--config.data.{field}=PATH."
        for field in places
        if not getattr(data, field)
    ]
    try:
        get_format(getattr(data, format_field))
    except ConfigError as error:
        found.append(f"config.data.{format_field}: {error}")
    return found


def read(data: Any, split: Split, part: str) -> Dataset:
    """The pictures of a part, by its format; see `Format`.

    Args:
        data: group `data` of a config.
        split: categories to use.
        part: "source", "target" or "evaluation".

    Raises:
        ConfigError: no such format, one without such a reader, or a location
            is missing.
        DataError: a file that cannot be used.
    """
    if found := problems(data, part):
        raise ConfigError(" ".join(found))
    format_field = _FIELDS[part][0]
    reader = getattr(get_format(getattr(data, format_field)), f"read_{part}")
    return reader(data, split)
