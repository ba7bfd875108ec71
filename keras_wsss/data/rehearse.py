"""A rehearsal: source categories that play target, to choose settings by.

Settings of a transfer must not be chosen by target masks: there are none, or
they are what the result is reported on. But some source categories can lend
their masks to scoring: in training they are known by tags only, like the
target categories, and afterwards their masks tell how well that went.
"""

import csv
import io
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_wsss.categories import IGNORE, Split
from keras_wsss.config import Config, split_of
from keras_wsss.config_files import load_config, yaml_text
from keras_wsss.data import formats
from keras_wsss.data.formats.tag_table import HEADER, UNKNOWN
from keras_wsss.data.formats.voc import write_classes
from keras_wsss.data.masks import write_palette_mask
from keras_wsss.data.records import Record
from keras_wsss.errors import ConfigError, DataError
from keras_wsss.files import atomic_folder, write_text

CONFIG_FILE = "config.yaml"
# A smaller share of a picture is not what a person would tag it with.
_MIN_SHARE = 0.01


def write_rehearsal(
    out: Path,
    config: Config,
    played: Sequence[str],
    base: str | None = None,
) -> dict[str, int]:
    """Writes the data of a rehearsal and the config that trains with them.

    `out` gets, in VOC layout, the true target pictures with their tags and
    the source pictures of the played categories with tags; their masks, of
    the played categories only, are in the image set "val". CONFIG_FILE has
    another split and these data: `train.py --config OUT/config.yaml ...`.

    Args:
        out: folder to make.
        config: its transfer is rehearsed, with its source pictures and its
            tagged target pictures.
        played: names of source categories.
        base: what `load_config` gives most of `config` for; the defaults if
            not given.

    Returns:
        Pictures of each played category.

    Raises:
        ConfigError: `out` exists, or a name is no source category.
        DataError: data that cannot be used, or a category without picture.
    """
    split, data = split_of(config), config.data
    if out.exists():
        raise ConfigError(f"{out} exists already; give another --out.")
    unknown = [name for name in played if split.find(name) is None]
    ids = tuple(found for found in map(split.find, played) if found)
    wrong = unknown or [
        split.name_of(i) for i in ids if i not in split.source_ids
    ]
    if wrong or not ids:
        raise ConfigError(
            f"--play {','.join(wrong) or '(nothing)'}: give source categories "
            f"of split '{split.name}': {', '.join(split.source)}."
        )
    # Pictures with true targets too: their masks show the played categories.
    data = data.replace({"min_pixels": 1, "exclude_images_with_target": False})
    source = formats.read(data, split, "source")
    target = formats.read(data, split, "target")
    counts = dict.fromkeys((split.name_of(i) for i in ids), 0)
    rows, names = [], []
    with atomic_folder(out) as folder:
        for number, record in enumerate(target.records):
            picture = _place(record, folder, f"target_{number:06d}")
            rows.append((picture, *_tags(record, record.labels, ids, split)))
        for number, record in enumerate(source.records):
            mask, shown = _played_mask(record, ids)
            if not shown:
                continue
            picture = _place(record, folder, f"played_{number:06d}")
            labels, unknown = _tags(record, shown, ids, split)
            rows.append((picture, labels, unknown))
            names.append(Path(picture).stem)
            masks = folder / "SegmentationClass"
            masks.mkdir(exist_ok=True)
            write_palette_mask(masks / f"{names[-1]}.png", mask)
            for label in labels:
                counts[label] += 1
        _write_lists(folder, rows, names, list(counts))
        text = _config_text(out, config, list(counts), base)
        write_text(folder / CONFIG_FILE, text)
        missing = [name for name, count in counts.items() if not count]
        if missing:
            raise DataError(
                f"{data.source_annotations}: no picture shows enough of "
                f"{', '.join(missing)}; let other categories play."
            )
    return counts


def _played_mask(
    record: Record, ids: Sequence[int]
) -> tuple[np.ndarray, list[int]]:
    """Mask with index 1, 2, ... for `ids`, and those that show enough."""
    mask = record.read_mask()
    table = np.zeros(256, np.uint8)
    table[IGNORE] = IGNORE
    table[list(ids)] = np.arange(1, len(ids) + 1)
    shown = [i for i in ids if (mask == i).mean() >= _MIN_SHARE]
    return table[mask], shown


def _tags(
    record: Record, labels: Sequence[int], played: Sequence[int], split: Split
) -> tuple[list[str], list[str]]:
    """Names of a picture's tags, and of what nobody knows of it.

    The tags of a target picture say nothing of source categories, and a
    played one that shows too little is neither there nor absent.
    """
    absent = set(record.absent)
    unknown = [
        i
        for i in (*split.target_ids, *played)
        if i not in labels and i not in absent
    ]
    return [split.name_of(i) for i in labels], [
        split.name_of(i) for i in unknown
    ]


def _place(record: Record, folder: Path, stem: str) -> str:
    """Puts a record's picture into the folder, without a copy if possible.

    The stem must be new there: what was linked before is the user's own file.
    """
    name = f"{stem}{record.image_path.suffix}"
    path = folder / "JPEGImages" / name
    path.parent.mkdir(exist_ok=True)
    try:
        os.link(record.image_path.resolve(), path)
    except FileExistsError:
        raise
    except OSError:  # another disk, or one without links
        shutil.copyfile(record.image_path, path)
    return name


def _write_lists(folder: Path, rows, names, classes) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*HEADER, UNKNOWN))
    writer.writerows(
        (picture, ";".join(labels), ";".join(unknown))
        for picture, labels, unknown in rows
    )
    write_text(folder / "train_tags.csv", text.getvalue())
    lists = folder / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    write_text(lists / "val.txt", "".join(f"{name}\n" for name in names))
    write_classes(folder, classes)


def _config_text(
    out: Path, config: Config, played: Sequence[str], base: str | None
) -> str:
    """The rehearsal's config: its base, and what differs from it."""
    split, data = split_of(config), config.data
    out = out.resolve()
    changed = config.replace(
        {
            "name": f"{config.name}_rehearsal",
            "split": {
                "name": f"rehearsal of {split.name}",
                "source": [n for n in split.source if n not in played],
                "target": [*split.target, *played],
                "scored": list(played),
                "aliases": [f"{a}={n}" for a, n in split.aliases.items()],
            },
            # From whatever folder it is used.
            "data": {
                "source_annotations": Path(data.source_annotations).resolve(),
                "source_images": data.source_images
                and Path(data.source_images).resolve(),
                "target_tags": out / "train_tags.csv",
                "target_images": out / "JPEGImages",
                "tags_format": "csv",
                "tags_image_column": "",
                "tags_label_column": "",
                "target_masks": "",
                "eval_format": "voc",
                "eval_root": out,
                "eval_images": "",
                "eval_set": "val",
                "eval_masks": "SegmentationClass",
                # They may show what is scored here.
                "eval_negatives": "",
            },
        }
    )
    start = load_config(base) if base else Config()
    if base and Path(base).is_file():
        base = os.fspath(Path(base).resolve())
    return (
        f"# A rehearsal: {', '.join(played)} play target.\n"
        f"{yaml_text(changed, start, base)}"
    )
