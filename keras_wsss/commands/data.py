"""Command line of the data tools: verify, show, import, prepare and others.

    keras-wsss data verify --help

None of them needs TensorFlow.
"""

import argparse
import sys
from pathlib import Path

from keras_wsss.commands.data_flags import (
    add_config_flags,
    add_split_flags,
    check_locations,
    config_of,
    parse,
)
from keras_wsss.config import Config, data_of, split_of
from keras_wsss.errors import ConfigError

EXIT_PROBLEMS = 1


def main(arguments: list[str], name: str = "keras-wsss data") -> int:
    """Runs one verb and returns the exit code: 1 when verify found faults.

    Args:
        arguments: the command line after the program's name.
        name: what the user called the program.
    """
    flags = parse(_parser(name), arguments)
    return flags.run(flags)


def _parser(name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=name,
        description="Data tools.",
        allow_abbrev=False,
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for name, add_flags, run, text in (
        (
            "verify",
            _add_verify_flags,
            _verify,
            "Count pictures, pairs and pixels and list every problem. Exit "
            "code 1 when there are problems.",
        ),
        (
            "show",
            _add_show_flags,
            _show,
            "Write a contact sheet with masks and tags drawn over pictures.",
        ),
        (
            "import",
            _add_import_flags,
            _import,
            "Write data of any format as COCO JSON and a tags file, as they "
            "were understood.",
        ),
        (
            "prepare",
            _add_prepare_flags,
            _prepare,
            "Turn the official VOC 2012, SBD and COCO downloads into what "
            "training reads.",
        ),
        (
            "shapes",
            _add_shapes_flags,
            _shapes,
            "Write the embedded data set of shapes as ordinary files.",
        ),
        (
            "rehearse",
            _add_rehearse_flags,
            _rehearse,
            "Let source categories play target, to choose settings without "
            "any target mask.",
        ),
    ):
        verb = verbs.add_parser(
            name, help=text, description=text, allow_abbrev=False
        )
        add_flags(verb)
        verb.set_defaults(run=run)
    return parser


def _with_data(flags: argparse.Namespace) -> Config:
    """The config that the flags name, if it has data."""
    config = config_of(flags)
    check_locations(config)
    return config


def _add_verify_flags(parser: argparse.ArgumentParser) -> None:
    add_config_flags(parser)
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="Write counts and problems to this file too.",
    )
    parser.add_argument(
        "--exclude_images_with_target",
        action="store_true",
        help="As --config.data.exclude_images_with_target=True: count source "
        "pictures as training then does.",
    )
    parser.add_argument(
        "--min_pixels",
        metavar="N",
        help="As --config.data.min_pixels=N: count labels of source pictures "
        "as training then does.",
    )


def _verify(flags: argparse.Namespace) -> int:
    from keras_wsss.data.verify import verify
    from keras_wsss.files import write_json

    if flags.json:  # fails before the work, not after
        flags.json.parent.mkdir(parents=True, exist_ok=True)
    # Without a config, nothing is left out that nobody asked to leave out.
    if flags.exclude_images_with_target or not flags.config:
        text = str(flags.exclude_images_with_target)
        flags.overrides.insert(0, ("data.exclude_images_with_target", text))
    if flags.min_pixels is not None:
        flags.overrides.append(("data.min_pixels", flags.min_pixels))
    config = _with_data(flags)
    findings = verify(data_of(config), split_of(config))
    print(findings.text())
    if flags.json:
        write_json(flags.json, findings.as_dict())
        print(f"Written: {flags.json}", file=sys.stderr)
    return EXIT_PROBLEMS if findings.problems else 0


def _add_show_flags(parser: argparse.ArgumentParser) -> None:
    add_config_flags(parser)
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="PNG file to write.",
    )
    _add_number(parser, "count", 12, "Pictures of each part")
    _add_number(parser, "columns", 6, "Pictures in a row")
    _add_number(parser, "seed", 0, "Choice of the pictures")


def _add_number(
    parser: argparse.ArgumentParser,
    name: str,
    default: float,
    text: str,
    unit: str = "N",
) -> None:
    """A flag of the default's type."""
    parser.add_argument(
        f"--{name}",
        type=type(default),
        default=default,
        metavar=unit,
        help=f"{text} (default: {default:g}).",
    )


def _show(flags: argparse.Namespace) -> int:
    from keras_wsss.data.show import write_contact_sheet

    config = _with_data(flags)
    write_contact_sheet(
        flags.out,
        config.data,
        split_of(config),
        count=flags.count,
        columns=flags.columns,
        seed=flags.seed,
    )
    print(f"Written: {flags.out}")
    return 0


def _add_import_flags(parser: argparse.ArgumentParser) -> None:
    add_config_flags(parser)
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="Folder for source.json, evaluation.json and tags.csv.",
    )


def _import(flags: argparse.Namespace) -> int:
    from keras_wsss.data.import_data import import_data

    # Nothing is left out that nobody asked to leave out.
    if not flags.config:
        name = "data.exclude_images_with_target"
        flags.overrides.insert(0, (name, "False"))
    config = _with_data(flags)
    for line in import_data(config.data, split_of(config), flags.out):
        print(line)
    return 0


def _add_prepare_flags(parser: argparse.ArgumentParser) -> None:
    from keras_wsss.data.prepare import add_prepare_flags

    add_prepare_flags(parser)
    add_split_flags(parser)


def _prepare(flags: argparse.Namespace) -> int:
    from keras_wsss.data.prepare import prepare_from_flags

    for line in prepare_from_flags(flags, split_of(config_of(flags))):
        print(line)
    return 0


def _add_shapes_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="Folder to make; it must not exist yet.",
    )
    _add_number(parser, "seed", 0, "The same seed gives the same files")
    _add_number(parser, "image_size", 128, "Side of the pictures", "PIXELS")
    _add_number(
        parser,
        "share",
        1.0,
        "Share of the pictures to draw, for a quick look",
        "X",
    )


def _shapes(flags: argparse.Namespace) -> int:
    from keras_wsss.shapes.make import ShapesSize, write_shapes

    if not 0 < flags.share <= 1:
        raise ConfigError(
            f"--share is {flags.share}; use more than 0 and at most 1."
        )
    size = ShapesSize(flags.image_size).shared(flags.share)
    write_shapes(flags.out, seed=flags.seed, size=size, apart=True)
    source, target = flags.out / "source", flags.out / "target"
    print(
        f"Written: {flags.out}. Look at it with\n"
        "  keras-wsss data show --out sheet.png --split shapes \\\n"
        f"    --coco_annotations {source / 'instances.json'} \\\n"
        f"    --coco_images {source / 'images'} --voc_root {target} \\\n"
        f"    --tags_file {target / 'train_tags.csv'}"
    )
    return 0


def _add_rehearse_flags(parser: argparse.ArgumentParser) -> None:
    add_config_flags(parser)
    parser.add_argument(
        "--play",
        required=True,
        metavar="A,B,...",
        help="Source categories of which training is to know tags only.",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="Folder to make; it must not exist yet.",
    )


def _rehearse(flags: argparse.Namespace) -> int:
    from keras_wsss.data.rehearse import CONFIG_FILE, write_rehearsal

    config = _with_data(flags)
    if not (config.data.source_annotations and config.data.target_tags):
        raise ConfigError(
            "A rehearsal needs pictures with masks (--coco_annotations, or "
            "config.data.source_annotations) and tagged ones (--tags_file, "
            "config.data.target_tags)."
        )
    played = [name.strip() for name in flags.play.split(",")]
    counts = write_rehearsal(flags.out, config, played, flags.config)
    for name, count in counts.items():
        print(f"{name}: {count} pictures")
    written = flags.out / CONFIG_FILE
    print(
        f"Written: {flags.out}. Train and score with\n"
        f"  keras-wsss train --phase attention --config {written} \\\n"
        "    --workdir ATTENTION\n"
        f"  keras-wsss train --phase transfer --config {written} \\\n"
        "    --init_from ATTENTION --workdir RUN\n"
        "  keras-wsss evaluate --workdir RUN"
    )
    return 0
