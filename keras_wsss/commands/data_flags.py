"""The flags of the data tools that say which data and which split."""

import argparse
import re
from pathlib import Path

from keras_wsss.config import Config
from keras_wsss.config_fields import fields_of, range_problems
from keras_wsss.config_files import load_config, parse_override
from keras_wsss.errors import ConfigError

# Flags with names of their own, and the fields of the config that they set.
_LOCATIONS = {
    "coco_annotations": "data.source_annotations",
    "coco_images": "data.source_images",
    "voc_root": "data.eval_root",
    "eval_images": "data.eval_images",
    "image_set": "data.eval_set",
    "masks": "data.eval_masks",
    "tags_file": "data.target_tags",
    "tag_images": "data.target_images",
    "max_pixels": "data.max_pixels",
}
_SPLIT = {
    "split": "split.name",
    "source": "split.source",
    "target": "split.target",
    "scored": "split.scored",
    "ignored": "split.ignored",
}
_OVERRIDE = re.compile(r"--config\.([\w.]+)=(.*)", re.DOTALL)


def add_config_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that `config_of` reads."""
    parser.add_argument(
        "--config",
        metavar="NAME_OR_FILE",
        help="Config whose split and data are meant, as for train.py; "
        "--config.FIELD=VALUE and the flags below override it.",
    )
    parser.set_defaults(overrides=[])
    _add(parser, _LOCATIONS)
    # As it was called before; in predict --tags are the tags themselves.
    parser.add_argument("--tags", dest="tags_file", help=argparse.SUPPRESS)
    add_split_flags(parser)


def add_split_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of a split alone."""
    _add(parser, _SPLIT)


def _add(parser: argparse.ArgumentParser, flags: dict[str, str]) -> None:
    fields = fields_of(Config)
    for flag, name in flags.items():
        text = fields[name].metadata["text"]
        parser.add_argument(
            f"--{flag}", metavar="VALUE", help=f"config.{name}: {text}"
        )


def parse(
    parser: argparse.ArgumentParser, arguments: list[str]
) -> argparse.Namespace:
    """Parses a command line that may have `--config.FIELD=VALUE`."""
    found = [match for match in map(_OVERRIDE.fullmatch, arguments) if match]
    given = [match[0] for match in found]
    flags = parser.parse_args([a for a in arguments if a not in given])
    if given and not hasattr(flags, "overrides"):
        parser.error(f"unrecognized arguments: {' '.join(given)}")
    flags.overrides = [match.groups() for match in found]
    return flags


def config_of(flags: argparse.Namespace) -> Config:
    """The config whose split and data the flags name.

    Raises:
        ConfigError: no data are named, or a part lacks its folder.
    """
    config = Config()
    if getattr(flags, "config", None):
        config = load_config(flags.config)
    texts = [
        (name, getattr(flags, flag, None))
        for flag, name in {**_LOCATIONS, **_SPLIT}.items()
    ]
    for name, text in (*texts, *flags.overrides):
        if text is not None:
            config = config.replace(dict([parse_override(name, text)]))
    data = config.data
    # Folders of tags have pictures of their own.
    table = data.target_tags and Path(data.target_tags).is_file()
    if table and not data.target_images and data.eval_root:
        images = Path(data.eval_root) / "JPEGImages"
        config = config.replace({"data.target_images": images})
    if problems := range_problems(config.data, "config.data."):
        raise ConfigError(" ".join(problems))
    return config


def check_locations(config: Config) -> None:
    """Checks that there are data, each with the folder of its pictures.

    Raises:
        ConfigError: names field and flag of what is missing.
    """
    data = config.data
    if not (data.source_annotations or data.eval_root or data.target_tags):
        raise ConfigError(
            "No data given: name a --config with data, or at least one of "
            "--coco_annotations, --voc_root and --tags_file."
        )
    from keras_wsss.data import formats  # NumPy, which `--help` is without

    found: list[str] = []
    for part, (_, place, _) in formats.FIELDS.items():
        if data[place]:
            found += formats.problems(data, part)
    if found:
        raise ConfigError(" ".join(found))
