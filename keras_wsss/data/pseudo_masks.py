"""Pseudo labels: masks of target pictures that a model made from the tags.

A folder in VOC layout, so that any other trainer can read it: masks in
`SegmentationClass`, names in `ImageSets/Segmentation/train.txt` and
`classes.txt`, and `pseudo_labels.json`, which says what made them. Training
takes target masks from such a folder only; true masks of target pictures must
never reach it by mistake.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

from keras_wsss.categories import IGNORE, Split
from keras_wsss.data.formats.index_masks import IndexMask
from keras_wsss.data.formats.voc import CLASSES_FILE, read_classes
from keras_wsss.data.records import Dataset, Records
from keras_wsss.errors import DataError

MANIFEST = "pseudo_labels.json"
MASKS = "SegmentationClass"
_REMEDY = "write the folder with `python pseudo_labels.py`"


def with_pseudo_masks(
    dataset: Dataset, folder: Path, split: Split, max_pixels: int
) -> Dataset:
    """Gives every target record its pseudo label.

    Mask indices get the ids of `split` by their names, so the run that made
    the masks may have had other categories, or another order. Pixels of a
    category that `split` lacks are ignored: they are neither background nor
    anything else that it knows.

    Args:
        dataset: records of `read_tags`.
        folder: what `write_pseudo_labels` wrote, complete.
        split: categories of the records.
        max_pixels: largest width times height of a mask.

    Returns:
        The same records in the same order, with masks.

    Raises:
        DataError: no such folder, unfinished, without names, or a picture
            has no mask.
    """
    manifest = read_manifest(folder)
    if not manifest.get("complete"):
        raise DataError(
            f"{folder / MANIFEST}: the pseudo labels are not complete; repeat "
            "the `python pseudo_labels.py` command, it goes on where it was."
        )
    names = _read_names(folder)
    ids = tuple(split.find(name) or IGNORE for name in names)
    records = Records()
    for record in dataset.records:
        path = mask_path(folder, record.image_id)
        if not path.exists():
            raise DataError(
                f"{path}: no such file; the picture {record.image_id} has no "
                f"pseudo label: {_REMEDY} for these pictures."
            )
        mask = IndexMask(path, ids, max_pixels)
        records.append(dataclasses.replace(record, mask=mask))
    return dataclasses.replace(dataset, records=records)


def unknown_categories(folder: Path, split: Split) -> dict[str, int | None]:
    """Categories of pseudo labels that a split lacks, and how many show them.

    Returns:
        Name to number of pictures, as the manifest has counted them; None
        where it has not. Without those that no picture shows.

    Raises:
        DataError: the folder was not written by `write_pseudo_labels`.
    """
    unknown = [n for n in _read_names(folder) if split.find(n) is None]
    shown = read_manifest(folder).get("pictures_with")
    if not isinstance(shown, dict):
        return dict.fromkeys(unknown)
    return {name: shown[name] for name in unknown if name in shown}


def _read_names(folder: Path) -> tuple[str, ...]:
    # Without the file, the indices of a VOC folder would be VOC's.
    if not (folder / CLASSES_FILE).exists():
        raise DataError(
            f"{folder / CLASSES_FILE}: no such file, so nothing tells what the "
            f"masks' indices mean: {_REMEDY} anew."
        )
    return read_classes(folder)


def mask_path(folder: Path, image_id: str) -> Path:
    """File of a picture's pseudo label."""
    return folder / MASKS / f"{image_id}.png"


def read_manifest(folder: Path) -> dict[str, Any]:
    """What made the pseudo labels in a folder.

    Raises:
        DataError: the folder was not written by `write_pseudo_labels`.
    """
    path = folder / MANIFEST
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise DataError(
            f"{path}: cannot be read. Target masks for training must be "
            f"pseudo labels: {_REMEDY}, or leave config.data.target_masks "
            "empty."
        ) from None
    except ValueError:
        raise DataError(f"{path}: no valid JSON; {_REMEDY} anew.") from None
    if not isinstance(values, dict):
        raise DataError(f"{path}: no JSON object; {_REMEDY} anew.")
    return values
